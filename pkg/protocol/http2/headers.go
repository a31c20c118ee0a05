package http2

import (
	"encoding/binary"
	"time"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
)

// headerBlock is a header block: a frame of headers or a promise, and the continuations
// that follow it.
type headerBlock struct {
	open     bool // continuations follow
	stream   uint32
	promised uint32 // the stream that is promised; 0 if none is
	end      bool   // it ends its stream
	last     bool   // its last frame is being passed over
	state    blockState
	start    uint64 // offset of its first frame
	first    time.Time
	data     []byte
	parts    []blockPart
}

type blockState uint8

const (
	blockWhole blockState = iota
	blockLong             // it is longer than what is decoded
	blockLost             // not all of it was recorded
)

// blockPart says where the bytes of a block from at on are in the stream.
type blockPart struct {
	at     int
	offset uint64
}

// blockPartSize is roughly what a part costs.
const blockPartSize = 16

// begin makes h the block that begins with a frame at start.
func (h *headerBlock) begin(f protocol.HTTP2Frame, start uint64, first time.Time) {
	*h = headerBlock{
		stream: f.Stream, end: f.Type == protocol.HTTP2Headers && f.Has(protocol.HTTP2EndStream),
		start: start, first: first, data: h.data[:0], parts: h.parts[:0],
	}
}

// drop gives up the bytes of the block.
func (h *headerBlock) drop(state blockState) { h.state, h.data, h.parts = state, nil, h.parts[:0] }

// headers consumes a frame of a header block, which is there whole. With the last one, the block is
// decoded.
func (p *parser) headers(s *parse.Stream, d *side, f protocol.HTTP2Frame) error {
	h := &d.block
	b := payload(s, f.Length)
	from := 0
	if f.Type == protocol.HTTP2Continuation {
		if !h.open { // its beginning was not recorded
			d.table.forget()
			s.Advance(protocol.HTTP2FrameHeader + f.Length)
			return nil
		}
	} else {
		padding := 0
		if f.Has(protocol.HTTP2Padded) && len(b) > 0 {
			padding = int(b[0])
			from++
		}
		promise := from
		switch {
		case f.Type == protocol.HTTP2PushPromise:
			from += 4
		case f.Has(protocol.HTTP2HasPriority):
			from += 5
		}
		if from+padding > len(b) {
			return &frameError{f, "it is shorter than what it has to have"}
		}
		b = b[:len(b)-padding]
		h.begin(f, s.Offset(), s.TimeAt(s.Offset()))
		if f.Type == protocol.HTTP2PushPromise {
			h.promised = binary.BigEndian.Uint32(b[promise:]) &^ (1 << 31)
		}
	}
	h.open = !f.Has(protocol.HTTP2EndHeaders)
	b, at := b[from:], s.Offset()+protocol.HTTP2FrameHeader+uint64(from)
	single := !h.open && f.Type != protocol.HTTP2Continuation
	if h.state == blockWhole && (len(b) > 0 || single) {
		h.parts = append(h.parts, blockPart{len(h.data), at})
		if !single {
			h.data = append(h.data, b...)
			b = h.data
		}
		if len(b)+len(h.parts)*blockPartSize > p.limit+blockPartSize {
			h.drop(blockLong)
		}
	} else {
		b = h.data
	}
	if h.open {
		s.Advance(protocol.HTTP2FrameHeader + f.Length)
		return nil
	}
	return p.blockEnds(s, d, f, b)
}

// blockEnds decodes the block, which ends with a frame that s begins with. data are the
// block's bytes.
func (p *parser) blockEnds(s *parse.Stream, d *side, f protocol.HTTP2Frame, data []byte) error {
	h := &d.block
	var fields []field
	known := h.state == blockWhole
	if known {
		var err error
		if fields, known, err = p.reader.read(data, &d.table); err != nil {
			if d.torn {
				return &frameError{f, err.Error()} // it need not be a frame
			}
			known = false
			d.table.forget()
		}
	} else {
		d.table.forget()
	}
	s.Advance(protocol.HTTP2FrameHeader + f.Length)
	if h.state != blockLost {
		p.fields(s, d, fields, known)
	} else {
		p.lostFields(s, d)
	}
	if cap(h.data) > maxIdle {
		h.data = nil
	}
	if cap(h.parts)*blockPartSize > maxIdle {
		h.parts = nil
	}
	return nil
}

// passOverBlock begins to pass over a frame of a header block that is too long to be decoded.
func (p *parser) passOverBlock(s *parse.Stream, d *side, f protocol.HTTP2Frame) {
	h := &d.block
	d.table.forget()
	if f.Type != protocol.HTTP2Continuation {
		h.begin(f, s.Offset(), s.TimeAt(s.Offset()))
	}
	if f.Type != protocol.HTTP2Continuation || h.open {
		if h.state == blockWhole {
			h.drop(blockLong)
		}
		h.open = !f.Has(protocol.HTTP2EndHeaders)
		h.last = !h.open
	}
	s.Advance(protocol.HTTP2FrameHeader)
	s.Skip(uint64(f.Length), parse.Value{})
	p.endBlock(s, d)
}

// endBlock ends the block whose last frame is passed over, if all of it was.
func (p *parser) endBlock(s *parse.Stream, d *side) {
	h := &d.block
	if !h.last || s.Skipping() {
		return
	}
	h.last = false
	if h.state == blockLost {
		p.lostFields(s, d)
	} else {
		p.fields(s, d, nil, false)
	}
}

// where gives each the ranges of the stream that have length bytes of the block from at on.
func (h *headerBlock) where(at, length int, each func(r call.Range, more bool)) {
	i := len(h.parts) - 1
	for i > 0 && h.parts[i].at > at {
		i--
	}
	for {
		n := length
		if i+1 < len(h.parts) {
			n = min(n, h.parts[i+1].at-at)
		}
		r := call.Range{Offset: h.parts[i].offset + uint64(at-h.parts[i].at), Length: uint64(n)}
		at, length = at+n, length-n
		i++
		each(r, length > 0)
		if length <= 0 {
			return
		}
	}
}
