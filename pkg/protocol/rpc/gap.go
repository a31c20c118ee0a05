package rpc

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Lost implements parse.Parser. A gap within a frame whose length is known is the
// frame's loss only.
func (p *parser) Lost(s *parse.Stream) {
	dir := s.Dir()
	w := &p.sides[dir]
	w.Torn = true
	if w.Open && p.loseTrailer(s, w) {
		return
	}
	w.Following = s.Offset() <= w.Partly.End
	switch {
	case !w.Following:
		w.Gaps++
		w.Searched = true
	case !w.Partly.Identified:
		w.Gaps++
	case w.Partly.Kind == Answer:
		for x := p.waiting[1-dir].byID[w.Partly.ID]; x != nil; x = x.same {
			x.InGap = true
		}
	}
	if p.waiting[record.In].count > 0 || dir == record.In {
		p.doubt.begin()
	}
}

// loseTrailer marks a frame of which a part of the trailer is missing, and reports whether it goes on behind the gap.
func (p *parser) loseTrailer(s *parse.Stream, w *side) bool {
	from := w.HeldAt + uint64(w.Held) // where the gap begins
	p.miss(s.Dir(), w, min(s.Offset(), w.End)-from)
	w.Held, w.HeldAt, w.InTrailer = 0, s.Offset(), true
	if s.Offset() < w.End {
		return true
	}
	p.finish(s.Dir(), w, time.Time{})
	w.Following, w.Partly = s.Offset() == w.End, partly{End: w.End, Identified: true}
	return w.Following
}

// end ends a frame that goes on where the bytes are not known, or where the recording
// ends, at the offset at.
func (p *parser) end(dir record.Direction, w *side, at uint64) {
	x := w.x
	w.Open, w.x = false, nil
	if x == nil {
		return
	}
	if m := message(x, dir); m != nil {
		m.Length = min(m.Length, at-m.Offset)
		if m.HasBody {
			m.Body.Offset = min(m.Body.Offset, at)
			m.Body.Length = min(m.Body.Length, at-m.Body.Offset)
		}
	}
}

// Sync implements parse.Parser.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	w := &p.sides[s.Dir()]
	data := s.Bytes()
	if w.Open {
		return 0, true // the frame goes on
	}
	if w.Following {
		left := w.Partly.End - s.Offset()
		if left > uint64(len(data)) {
			return len(data), false
		}
		return int(left), true
	}
	waited := w.Waited
	w.Waited = s.Offset() + uint64(len(data))
	for at := range data {
		switch _, v := p.match(s.Dir(), data[at:], true); v {
		case parse.Yes:
			w.Waited = waited
			return at, true
		case parse.Maybe:
			return at, false
		}
	}
	return len(data), false
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
	for _, dir := range record.Directions() {
		w, s := &p.sides[dir], e.Streams[dir]
		if !w.Open {
			continue
		}
		x := w.x
		if w.Skipped && s.Skipping() {
			p.miss(dir, w, s.Missing())
		}
		p.end(dir, w, s.Offset()+uint64(len(s.Bytes())))
		if x == nil {
			continue
		}
		x.Call.Incomplete |= cut
		switch {
		case w.IsAnswer:
			x.Call.Failed = x.Call.Failed || dir == record.Out && e.AnswerWasNotSent()
			p.emit(x)
		case x.OneWay:
			p.unanswered(x, 0, false)
		case x.Answered:
			p.emit(x)
		}
	}
	for dir := range p.waiting {
		w := &p.waiting[dir]
		for w.first != nil {
			x := w.first
			w.remove(x)
			if p.mayBeLost(x) || e.Streams[1-dir].Astray() {
				p.unanswered(x, call.Gap, false)
			} else {
				p.unanswered(x, cut, e.AnswerWasNotSent())
			}
		}
	}
}
