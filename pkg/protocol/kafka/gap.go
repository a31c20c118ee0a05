package kafka

import (
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Lost implements parse.Parser. A gap that ends within its message loses its bytes only.
func (p *parser) Lost(s *parse.Stream) {
	w := &p.sides[s.Dir()]
	if w.Skipped {
		w.Skipped = false
		p.miss(s.Dir(), w, s.Missing())
	}
	if w.Open && s.Offset() <= w.End {
		missing := s.Offset() - w.Next - uint64(w.Waiting)
		p.miss(s.Dir(), w, max(missing, 1))
		if w.Walking {
			p.misunderstood(w)
		}
		if s.Offset() == w.End {
			p.finish(s.Dir(), w, time.Time{})
			w.Known = s.Offset()
		}
		return
	}
	w.Torn, w.Trusted = true, 0
	if s.Dir() == record.In {
		p.loseRequest(w)
	} else {
		p.loseAnswer(w)
	}
}

// loseRequest ends a request whose end was not recorded.
func (p *parser) loseRequest(w *side) {
	p.tokens = false
	if !w.Open {
		return
	}
	x := w.x
	w.Open, w.x = false, nil
	p.cut(&x.Call.Request, w)
	if w.Walking {
		x.Unknown = true
	}
	x.Call.Incomplete |= call.Gap
	p.endRequest(x)
}

// loseAnswer ends an answer whose end was not recorded. Requests that wait may have been
// answered.
func (p *parser) loseAnswer(w *side) {
	if w.Open {
		x := w.x
		w.Open, w.x = false, nil
		p.cut(&x.Call.Response, w)
		w.Unknown = w.Unknown || w.Walking
		x.Call.Incomplete |= call.Gap
		p.endAnswer(w, x)
	}
	for _, x := range slices.Clone(p.queue) {
		x.OutGap = true
		if x.Token && !x.Parsing { // its answer has no number
			p.unanswered(x, call.Gap, false)
			p.remove(x)
		}
	}
}

// cut ends a message where its bytes do.
func (p *parser) cut(m *call.Message, w *side) {
	m.Length = min(m.Length, w.Next+uint64(w.Waiting)-m.Offset)
	if m.HasBody {
		m.Body.Length = max(m.Range.End(), m.Body.Offset) - m.Body.Offset
	}
}

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	cut := call.CutByWindow
	switch {
	case e.Left:
		cut = call.Gap // the rest is in what follows
	case e.Closed:
		cut = 0
	}
	// What came since a gap in the answers need not be what it looks like.
	out := &p.sides[record.Out]
	astray := out.Torn && (out.Trusted == 0 || e.Streams[record.Out].Astray())
	failed := e.AnswerWasNotSent() && !astray
	for _, dir := range record.Directions() {
		w := &p.sides[dir]
		if !w.Open {
			continue
		}
		s := e.Streams[dir]
		w.Next, w.Waiting = s.Offset(), len(s.Bytes())
		if w.Skipped {
			p.miss(dir, w, s.Missing())
		}
		x := w.x
		if dir == record.In {
			p.cut(&x.Call.Request, w)
			if w.Walking {
				x.Unknown = true
			}
			x.Call.Incomplete |= cut
			p.endRequest(x)
			continue
		}
		p.cut(&x.Call.Response, w)
		x.Call.Incomplete |= cut
		p.status(w, x)
		x.Call.Failed = x.Call.Failed || failed
		p.emit(x)
		p.remove(x)
	}
	for _, x := range p.queue {
		if x.OutGap || astray {
			p.unanswered(x, call.Gap, false)
			continue
		}
		silent := x.Unsure || x.Key == produce && x.Unknown && x.Acks < 0 // perhaps
		p.unanswered(x, cut, failed && !silent)
	}
	p.queue = nil
}

// Sync implements parse.Parser. Messages begin anywhere; what looks like one must be
// one as far as it can be seen.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	if w := &p.sides[s.Dir()]; w.Open || w.Known > 0 && w.Known == s.Offset() {
		return 0, true // within a message, whose end is known
	}
	data := s.Bytes()
	match := p.matchAnswer
	if s.Dir() == record.In {
		match = p.matchRequest
	}
	for at := range data {
		switch match(data[at:]) {
		case parse.Yes:
			return at, true
		case parse.Maybe:
			return at, false
		}
	}
	return len(data), false
}
