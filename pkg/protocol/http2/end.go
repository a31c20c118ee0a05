package http2

import (
	"encoding/binary"
	"math"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// The codes of RST_STREAM that are no failure (RFC 9113, section 7).
const (
	codeNoError = 0
	codeCancel  = 8
)

// uncertain reports whether frames of a stream may be in what was missed of a direction
// since the stream was opened.
func (p *parser) uncertain(st *stream, dir record.Direction) bool {
	d := &p.sides[dir]
	return d.unsynced || st.lost[dir] != d.lost
}

// isSure reports whether all frames of a stream in a direction were recorded since the last
// one that was seen.
func (p *parser) isSure(st *stream, dir record.Direction) bool {
	d := &p.sides[dir]
	return !d.unsynced && st.seen[dir] == d.lost && !(d.harmed.is && d.harmed.frame.Stream == st.id)
}

// unsure says that frames of a stream in a direction were missed.
func (p *parser) unsure(st *stream, dir record.Direction) {
	const never = math.MaxUint64
	st.lost[dir], st.seen[dir] = never, never
}

// unasked says that frames of an answer were passed over whose request is not known. It may still be in
// bytes that are not decided.
func (p *parser) unasked(id uint32) {
	if p.sides[record.In].unsynced {
		p.calls.cameEarly(id)
	}
}

// ends says that a direction's message has ended.
func (p *parser) ends(st *stream, dir record.Direction) {
	st.ended[dir] = true
	st.message(dir).Ended = true
	if st.ended[record.Out] && (st.ended[record.In] || !p.isSure(st, record.In) || !st.heads[record.In]) && !p.mayBeAsked(st) {
		p.finish(st, nil)
	}
}

// mayBeAsked reports whether the request of an answer may be in bytes that have come and
// are not decided, because it is not known yet where frames begin.
func (p *parser) mayBeAsked(st *stream) bool {
	return !st.heads[record.In] && p.sides[record.In].unsynced
}

// finishAnswered finishes the calls whose answer has ended and whose request did not come in
// what was decided now.
func (p *parser) finishAnswered() {
	for st := p.calls.oldest; st != nil; {
		next := st.newer
		if st.exchange != nil && st.ended[record.Out] && !st.heads[record.In] {
			p.finish(st, nil)
		}
		st = next
	}
	p.calls.early, p.calls.earlyMany = nil, false
}

// reset ends a stream by RST_STREAM.
func (p *parser) reset(dir record.Direction, id uint32, payload []byte) {
	st := p.calls.find(id)
	if st == nil {
		switch {
		case p.sides[record.In].unsynced:
			p.calls.cameEarly(id)
		case p.sides[record.In].torn || p.sides[record.Out].torn:
			p.calls.forget(id)
		}
		return
	}
	st.reset, st.codeLost = true, payload == nil
	if payload != nil {
		st.code = binary.BigEndian.Uint32(payload)
	}
	st.seen[dir] = p.sides[dir].lost
	p.calls.forget(id)
	p.finish(st, nil)
}

// goAway says which streams of the client the server does not process any more.
func (p *parser) goAway(dir record.Direction, payload []byte) {
	if dir == record.Out {
		p.calls.processed = min(p.calls.processed, binary.BigEndian.Uint32(payload)&^(1<<31))
	}
}

// evict packs the streams, and gives up calls while they need more memory than they may. More of them may come:
// so they are marked. An eighth of the memory is made free, so that it is not looked for at each stream.
func (p *parser) evict() {
	c := &p.calls
	if c.size <= c.limit {
		return
	}
	c.packAll()
	for enough := c.limit - c.limit/8; c.size > enough && c.oldest != nil; {
		st := c.oldest
		c.unpack(st)
		st.call.Incomplete |= call.Gap
		c.forget(st.id)
		p.finish(st, nil)
	}
}

// finish gives the call of a stream to the sink. e is nil while the recording goes on.
func (p *parser) finish(st *stream, e *parse.End) {
	p.calls.remove(st)
	c := &st.call
	for _, dir := range record.Directions() {
		switch {
		case !p.uncertain(st, dir), dir == record.In && st.pushed:
		case p.sides[dir].gapped:
			c.Incomplete |= call.Gap
		default: // what came first in the window depends on what came before it
			c.Incomplete |= call.BeganBefore
		}
	}
	if !c.Request.Present {
		p.calls.forget(st.id)
		c.Request = call.Message{}
		c.Incomplete |= call.NoRequest
		if first := p.calls.first; p.sides[record.In].late && (first == 0 || st.id < first) {
			c.Incomplete |= call.BeganBefore
		} else {
			c.Incomplete |= call.Gap
		}
	}
	if !c.Response.Present {
		c.Response = call.Message{}
		c.Incomplete |= call.NoAnswer
	}
	if e != nil && !(st.ended[record.In] && st.ended[record.Out]) {
		switch {
		case e.Left, e.Closed && !e.Recorded[record.Out] && st.began[record.Out]:
			c.Incomplete |= call.Gap
		case !e.Closed:
			c.Incomplete |= call.CutByWindow
		}
	}
	// unanswered says that no more of the answer will come.
	unanswered := !st.ended[record.Out] && p.isSure(st, record.Out) && p.isSure(st, record.In) &&
		(e != nil && e.AnswerWasNotSent() && e.Recorded[record.In] || p.isRefused(st))
	if c.Protocol == call.GRPC {
		p.grpcStatus(st, unanswered)
	} else {
		c.Code = st.status
		c.Failed = st.status >= 500 || !st.reset && unanswered || p.isResetKnown(st) && st.code != codeNoError && st.code != codeCancel
	}
	p.env.Sink.Call(c)
	p.calls.reuse(st)
}

// isRefused reports whether the server has said that it does not process the stream.
func (p *parser) isRefused(st *stream) bool { return st.id&1 == 1 && st.id > p.calls.processed }

// isResetKnown reports whether it is known that, and with which code, the stream was reset before it
// had ended.
func (p *parser) isResetKnown(st *stream) bool {
	return st.reset && !st.codeLost && (st.ended[record.Out] || p.isSure(st, record.Out))
}

// Leave implements parse.Answering.
func (p *parser) Leave(*parse.Stream) {
	p.sides[record.In].gapped = true
	for st := p.calls.oldest; st != nil; st = st.newer {
		p.calls.unpack(st)
		if !st.ended[record.In] {
			p.unsure(st, record.In) // its frames may be in what follows
		}
	}
}

// Due implements parse.Answering.
func (p *parser) Due() bool { return p.calls.oldest != nil || p.sides[record.Out].block.open }

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	for dir := range p.sides {
		d := &p.sides[dir]
		if d.data.open && e.Streams[dir].Skipping() {
			p.passed(e.Streams[dir], d)
		}
		d.unsynced = d.unsynced || d.harmed.is
	}
	for st := p.calls.oldest; st != nil; st = p.calls.oldest {
		p.calls.unpack(st)
		p.finish(st, &e)
	}
}
