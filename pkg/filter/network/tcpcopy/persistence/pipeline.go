package persistence

import (
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// A stage sees each batch before the outputs do, in the goroutine of its pipeline.
// Stages run in their order.
type stage interface {
	process(b *buffer.Batch)
}

// pipeline carries the batches of one source through the stages to the outputs, and
// accounts for every byte: it is written where all files have it and lost where one
// has not. Only one goroutine uses it.
type pipeline struct {
	session  *Session
	source   source
	clock    buffer.Clock // of what is not in a batch
	flows    flowTable
	stages   []stage   // the flow table is the first
	outputs  []*output // files, one per format
	live     []*output // one per live stream
	streams  *[]*Live  // the live streams that live is for
	rejected spans     // parts of the current batch that a file did not accept
	freed    []uint32
}

func newPipeline(s *Session, src source) *pipeline {
	p := &pipeline{session: s, source: src, clock: buffer.NewClock(s.begun)}
	p.flows = flowTable{window: s.window.ID, ports: s.contents.addPort}
	p.stages = []stage{&p.flows}
	for i, f := range s.store.config.Formats {
		p.outputs = append(p.outputs, newFileOutput(p, i, f))
	}
	return p
}

// write has the outputs write a batch. What a file does not accept is in p.rejected.
func (p *pipeline) write(b *buffer.Batch) {
	for _, s := range p.stages {
		s.process(b)
	}
	p.rejected = p.rejected[:0]
	p.followStreams()
	for _, o := range p.live {
		o.write(b)
	}
	for _, o := range p.outputs {
		p.rejected = append(p.rejected, o.write(b)...)
	}
}

// account counts each byte of the batch as written or lost, and ends the work on it.
func (p *pipeline) account(b *buffer.Batch) {
	var t buffer.Tally
	p.freed = p.freed[:0]
	var e buffer.Entry
	for at := 0; at < b.Len(); {
		next, ok := b.Entry(at, &e)
		if !ok {
			break
		}
		f := p.flows.flows[e.Slot]
		switch e.Kind {
		case buffer.KindData:
			n := uint64(len(e.Payload))
			reason := record.ReasonNone
			if p.rejected.contain(at) {
				reason = record.ReasonWriteError
				t.Lost[e.Dir][reason] += n
			} else {
				t.Written.Add(e.Dir, n)
				if e.Flags&buffer.FlagMore == 0 {
					t.Records.Add(e.Dir, 1)
				}
			}
			count(f.traffic, reason, n)
			f.next.Set(e.Dir, e.Offset+n)
		case buffer.KindGap:
			n := e.Length()
			count(f.traffic, e.Reason, n)
			f.next.Set(e.Dir, e.Offset+n)
		case buffer.KindClose:
			p.flows.flows[e.Slot] = nil
			p.freed = append(p.freed, e.Slot)
		}
		at = next
	}
	for _, o := range p.live {
		o.forget(p.freed)
	}
	for _, o := range p.outputs {
		o.forget(p.freed)
	}
	p.source.done(b, &t, p.freed, p.flows.known)
}

// release drops all but the source, whose tally stays: who refers to a closed session
// must not keep its connections. No batch comes after it.
func (p *pipeline) release() {
	p.flows, p.stages, p.outputs, p.live = flowTable{}, nil, nil, nil
}

// flush makes a last try to write the pending gaps of the files, and hands the
// segments what was counted of the listeners.
func (p *pipeline) flush() {
	for _, o := range p.outputs {
		o.flush()
	}
	if p.session.segments != nil {
		for l, t := range p.flows.traffic {
			p.session.segments.Count(l, t)
		}
	}
}

// retry has the files tried at the next batch, even soon after a failure.
func (p *pipeline) retry() {
	for _, o := range p.outputs {
		o.files.Retry()
	}
}

// span is a range of positions in a batch, at which entries are.
type span struct{ from, to int }

type spans []span

func (s spans) contain(at int) bool {
	for _, m := range s {
		if at >= m.from && at < m.to {
			return true
		}
	}
	return false
}
