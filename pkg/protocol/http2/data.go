package http2

import (
	"time"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// dataFrame is a data frame whose payload is being passed over.
type dataFrame struct {
	open    bool
	stream  uint32 // 0 if its call is not known, or its message has ended
	end     bool   // it ends its stream
	padding int    // bytes that come behind its data
}

// beginData consumes the header of a data frame, and what is there of its payload. ok is false if not all of
// the header is there.
func (p *parser) beginData(s *parse.Stream, d *side, f protocol.HTTP2Frame) (ok bool, err error) {
	header, padding := protocol.HTTP2FrameHeader, 0
	if f.Has(protocol.HTTP2Padded) {
		if f.Length == 0 {
			return false, &frameError{f, "it has no length of its padding"}
		}
		if !d.has(s, f, 1) {
			return false, nil
		}
		padding = int(payload(s, 1)[0])
		f.Length--
		if header++; padding > f.Length {
			return false, &frameError{f, "its padding is longer than itself"}
		}
	}
	st := p.calls.find(f.Stream)
	if st != nil && st.ended[s.Dir()] {
		st = nil
	}
	n, stream := uint64(0), uint32(0)
	if st != nil {
		n, stream = st.call.N, st.id
		p.beginBody(st, s.Dir(), s.Offset(), s.TimeAt(s.Offset()))
	} else if s.Dir() == record.Out {
		p.unasked(f.Stream)
	}
	d.data = dataFrame{true, stream, f.Has(protocol.HTTP2EndStream), padding}
	s.Advance(header)
	if d.data.end && f.Length == padding {
		p.bodyEnds(st, s)
	}
	s.Skip(uint64(f.Length-padding), parse.Value{Call: n, Kind: call.KindBody, More: !d.data.end})
	p.endData(s, d)
	return true, nil
}

// beginBody adds the beginning of a data frame at an offset to the message that it is of.
func (p *parser) beginBody(st *stream, dir record.Direction, at uint64, first time.Time) {
	m := st.message(dir)
	st.begin(dir, at)
	if !m.HasBody {
		m.HasBody, m.Body.Offset = true, at
	}
	if m.First.IsZero() {
		m.First = first
	}
}

// bodyEnds reports that a body of which more was announced ends here.
func (p *parser) bodyEnds(st *stream, s *parse.Stream) {
	if p.env.Spans && st != nil && st.message(s.Dir()).HasBody {
		p.env.Sink.Span(call.Span{Call: st.call.N, Direction: s.Dir(), Range: call.Range{Offset: s.Offset()}, Kind: call.KindBody})
	}
}

// endData ends the data frame, if all of it was passed over.
func (p *parser) endData(s *parse.Stream, d *side) {
	for !s.Skipping() && d.data.open {
		p.passed(s, d)
		if d.data.padding > 0 {
			s.Skip(uint64(d.data.padding), parse.Value{})
			d.data.padding = 0
			continue
		}
		d.data.open = false
		if st := p.calls.find(d.data.stream); st != nil && d.data.end {
			p.ends(st, s.Dir())
		}
	}
}

// passed adds what was passed over of a data frame to the message that it is of.
func (p *parser) passed(s *parse.Stream, d *side) {
	st := p.calls.find(d.data.stream)
	if st == nil {
		return
	}
	m := st.message(s.Dir())
	p.cover(st, s)
	m.Body.Length = m.Range.End() - m.Body.Offset
	p.miss(st, s.Dir(), s.Missing())
}

// miss says that n bytes of a stream's data frames were not recorded.
func (p *parser) miss(st *stream, dir record.Direction, n uint64) {
	if n > 0 {
		st.message(dir).Missing += n
		st.call.Incomplete |= call.Gap
	}
}

// cover makes the stream's message end where s is now.
func (p *parser) cover(st *stream, s *parse.Stream) {
	dir := s.Dir()
	m := st.message(dir)
	m.Length = s.Offset() - m.Offset
	m.Last = s.LastTime()
	st.own[dir] += s.Offset() - p.sides[dir].from
	p.sides[dir].from = s.Offset()
	m.Between = m.Length - st.own[dir]
	st.seen[dir] = p.sides[dir].lost
}
