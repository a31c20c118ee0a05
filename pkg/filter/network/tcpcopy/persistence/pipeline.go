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
// accounts for every byte that an entry stands for: it is written where all files have it
// and lost where one has not. Only one goroutine uses it.
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
}

func newPipeline(s *Session, src source, shard int) *pipeline {
	p := &pipeline{session: s, source: src, clock: buffer.NewClock(s.begun)}
	p.flows = flowTable{window: s.window.ID, ports: s.contents.addPort, selector: newSelector(s.selection, shard)}
	p.stages = []stage{&p.flows}
	if s.stream != nil {
		p.live = []*output{newLiveOutput(p, s.stream)}
		return p
	}
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

// account counts each byte of the batch as written or lost, and ends the work on it. Of a
// ring that others read too, it counts apart what none of them has counted.
func (p *pipeline) account(b *buffer.Batch) {
	var t, firsts buffer.Tally
	var e buffer.Entry
	shared, counts := p.session.flight != nil, b.Counts()
	counts.Lock()
	for s, ok := p.flows.selected.find(b.Start(), b.Len()); ok; {
		at, lost, keep := s.from, s.lost, uint64(s.keep)
		next, _ := b.Entry(at, &e)
		f := p.flows.flows[e.Slot]
		n := e.Length()
		if e.Kind == buffer.KindData || e.Kind == buffer.KindGap {
			first := shared && !b.IsOutline() && counts.First(at)
			if e.Kind == buffer.KindGap {
				lost = e.Reason
			} else if lost == record.ReasonNone {
				keep = n
			}
			if keep > 0 && p.rejected.contain(at) {
				p.lose(f, &t, &firsts, first, &e, record.ReasonWriteError, keep)
			} else if keep > 0 {
				add := func(t *buffer.Tally) {
					t.Seen.Add(e.Dir, keep)
					t.Written.Add(e.Dir, keep)
					if e.Flags&buffer.FlagMore == 0 || lost != record.ReasonNone {
						t.Records.Add(e.Dir, 1)
					}
				}
				add(&t)
				if first {
					add(&firsts)
				}
				count(f.traffic, record.ReasonNone, keep)
			}
			if n > keep {
				p.lose(f, &t, &firsts, first, &e, lost, n-keep)
			}
			f.next.Set(e.Dir, e.Offset+n)
		}
		s, ok = p.flows.selected.find(next, b.Len())
	}
	counts.Unlock()
	if b.IsOutline() {
		firsts = *b.First()
	}
	for _, slot := range p.flows.ended {
		p.flows.flows[slot] = nil
	}
	for _, o := range p.live {
		o.forget(p.flows.ended)
	}
	for _, o := range p.outputs {
		o.forget(p.flows.ended)
	}
	p.source.done(b, &t, &firsts, p.flows.known)
}

// lose counts n bytes of e as lost, in t, and in firsts if nobody has counted them.
func (p *pipeline) lose(f *flow, t, firsts *buffer.Tally, first bool, e *buffer.Entry, reason record.Reason, n uint64) {
	t.Lose(e.Dir, reason, n)
	if first {
		firsts.Lose(e.Dir, reason, n)
	}
	count(f.traffic, reason, n)
}

// release drops all but the source, whose tally stays: who refers to a closed session
// must not keep its connections. No batch comes after it.
func (p *pipeline) release() {
	p.flows, p.stages, p.outputs, p.live = flowTable{}, nil, nil, nil
}

// flush makes a last try to write the pending gaps, and hands the segments what was counted
// of the listeners.
func (p *pipeline) flush() {
	for _, o := range p.live {
		if l := p.session.stream; l != nil {
			o.destination = liveDestination{live: l, last: true}
		}
		o.flush()
	}
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
