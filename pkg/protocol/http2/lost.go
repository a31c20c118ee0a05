package http2

import (
	"time"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// partFrame is a frame whose header is there, and whose payload is not.
type partFrame struct {
	is    bool // there is one
	frame protocol.HTTP2Frame
	start uint64 // offset of its header
	first time.Time
}

// end returns the offset of the frame behind it.
func (f *partFrame) end() uint64 {
	return f.start + protocol.HTTP2FrameHeader + uint64(f.frame.Length)
}

// Lost implements parse.Parser. A gap within a frame whose header is known harms that frame alone:
// the one behind it is found again.
func (p *parser) Lost(s *parse.Stream) {
	d := &p.sides[s.Dir()]
	d.torn, d.preface, d.search = true, false, search{}
	d.gapped = true
	switch {
	case d.unsynced:
		d.passed = true
	case d.harmed.is && s.Offset() <= d.harmed.end():
		// Another gap in the same frame.
	case d.waiting.is && s.Offset() <= d.waiting.end():
		d.harmed = d.waiting
		p.harm(s, d)
	default:
		p.lose(s, d)
	}
	d.waiting.is = false
}

// lose says that it is not known any more where a frame begins, and which there were.
func (p *parser) lose(s *parse.Stream, d *side) {
	d.unsynced, d.passed = true, false
	d.lost++
	d.harmed.is = false
	d.table.forget()
	d.block = headerBlock{}
	if d.data.open { // the gap began in its padding
		d.data.open = false
		if st := p.calls.find(d.data.stream); st != nil && d.data.end {
			p.ends(st, s.Dir())
		}
	}
}

// harm says that the payload of a frame was not recorded whole.
func (p *parser) harm(s *parse.Stream, d *side) {
	f := &d.harmed
	st := p.calls.find(f.frame.Stream)
	if st != nil {
		st.call.Incomplete |= call.Gap
	}
	switch f.frame.Type {
	case protocol.HTTP2Data: // its padding is not known
		if st != nil {
			p.beginBody(st, s.Dir(), f.start, f.first)
			p.miss(st, s.Dir(), s.Offset()-f.start-protocol.HTTP2FrameHeader)
		}
	case protocol.HTTP2Headers, protocol.HTTP2PushPromise, protocol.HTTP2Continuation:
		d.table.forget()
		h := &d.block
		if f.frame.Type != protocol.HTTP2Continuation {
			h.begin(f.frame, f.start, f.first)
		}
		h.drop(blockLost)
		if f.frame.Type == protocol.HTTP2PushPromise {
			h.stream = 0 // what it promises is not known
		}
	case protocol.HTTP2Settings:
		p.sides[1-s.Dir()].maxFrame = longestFrame
	}
}

// endHarmed ends the frame that was not recorded whole. It ends where s is now.
func (p *parser) endHarmed(s *parse.Stream, d *side) {
	f := d.harmed.frame
	d.harmed.is = false
	switch f.Type {
	case protocol.HTTP2Data:
		if st := p.calls.find(f.Stream); st != nil {
			p.cover(st, s)
			m := st.message(s.Dir())
			m.Body.Length = m.Range.End() - m.Body.Offset
			if f.Has(protocol.HTTP2EndStream) {
				p.ends(st, s.Dir())
			}
		}
	case protocol.HTTP2Headers, protocol.HTTP2PushPromise, protocol.HTTP2Continuation:
		if d.block.open = !f.Has(protocol.HTTP2EndHeaders); !d.block.open {
			p.lostFields(s, d)
		}
	case protocol.HTTP2Reset:
		p.reset(s.Dir(), f.Stream, nil)
	}
}

// Sync implements parse.Parser.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	d := &p.sides[s.Dir()]
	if !d.harmed.is {
		n, found = p.find(s, d)
		d.passed = d.passed || n > 0
		return n, found
	}
	left, there := d.harmed.end()-s.Offset(), len(s.Bytes())
	return int(min(left, uint64(there))), left <= uint64(there)
}

// search is where looking for a frame has come to.
type search struct {
	from uint64 // offset of what may be a frame
	due  uint64 // the stream must reach to here before that can be decided
}

// find looks for frames in s.
func (p *parser) find(s *parse.Stream, d *side) (n int, found bool) {
	b, end := s.Bytes(), s.Offset()+uint64(len(s.Bytes()))
	if d.search.due > end && d.search.from == s.Offset() {
		return 0, false
	}
	c := chain{
		dir: s.Dir(), most: p.limit, enough: enoughAfterGap, calls: &p.calls, reader: &p.reader,
		longest: min(max(maxFrame, d.maxFrame), p.limit),
	}
	if d.maxFrame == 0 && p.sides[1-s.Dir()].torn {
		c.longest = min(unknownFrame, p.limit)
	}
	n, need, verdict := c.find(b)
	if verdict == parse.Maybe {
		d.search = search{s.Offset() + uint64(n), s.Offset() + uint64(need)}
	}
	return n, verdict == parse.Yes
}

// within looks for frames in bytes from the middle of a connection of which nothing is known.
func within(dir record.Direction, data []byte) (at, needed int, found bool) {
	c := chain{dir: dir, most: mostWithin, enough: enoughWithin, longest: unknownFrame, reader: &blockReader{}}
	at, needed, verdict := c.find(data)
	return at, needed, verdict == parse.Yes
}
