package http2

import (
	"bytes"
	"encoding/binary"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// chain judges whether bytes from the middle of a stream are frames. A single header of 9
// bytes says little: bodies are full of zeros and small numbers. So evidence is added
// up along a chain of frames, each of which begins where the one before ends, until
// there is enough. One that cannot be a frame ends it.
//
// The verdict depends on the bytes that it needed alone, not on how many more there are.
type chain struct {
	dir     record.Direction
	longest int    // bytes of a frame
	most    int    // bytes that are waited for
	enough  int    // evidence
	calls   *calls // streams that are known; nil if none are
	reader  *blockReader
}

// Evidence is counted in bits, roughly, and carefully: what is zero in a frame's header is often zero elsewhere.
const (
	enoughAfterGap = 40
	enoughWithin   = 56

	evidenceFixed  = 20 // a header with a length that is fixed for its type
	evidenceLength = 8  // a header with another length
	evidenceStream = 16 // of a stream that is known
)

const (
	// unknownFrame is how long frames may be where it is not known what the other side takes.
	unknownFrame = 64 << 10
	// mostWithin is how many bytes are needed at most to be certain of a chain of which nothing is known.
	mostWithin = 96 << 10
)

// judge returns whether b begins with frames, and how many bytes of b it needed, or needs
// at least.
func (c *chain) judge(b []byte) (verdict parse.Verdict, need int) {
	if c.dir == record.In && len(b) > 0 && b[0] == protocol.HTTP2Preface[0] {
		n := min(len(b), len(protocol.HTTP2Preface))
		if string(b[:n]) == protocol.HTTP2Preface[:n] {
			if n == len(protocol.HTTP2Preface) {
				return parse.Yes, n
			}
			return parse.Maybe, len(protocol.HTTP2Preface)
		}
	}
	var open protocol.HTTP2Frame // of a header block that goes on
	var seen uint32              // the stream of the frame before
	evidence := 0
	for at := 0; ; {
		if len(b)-at < protocol.HTTP2FrameHeader {
			if len(b) > 0 && at == 0 && int(b[0])<<16 > c.longest {
				return parse.No, 0
			}
			return parse.Maybe, at + protocol.HTTP2FrameHeader
		}
		f := protocol.ReadHTTP2Frame(b[at:])
		if !c.isPlausible(f) || open.Length > 0 && (f.Type != protocol.HTTP2Continuation || f.Stream != open.Stream) {
			return parse.No, 0
		}
		at += protocol.HTTP2FrameHeader
		need = at
		known := f.Stream != 0 && (f.Stream == seen || c.calls != nil && c.calls.find(f.Stream) != nil)
		if known {
			evidence += evidenceStream
		}
		seen = f.Stream
		open = protocol.HTTP2Frame{}
		switch f.Type {
		case protocol.HTTP2Data, protocol.HTTP2GoAway:
			evidence += evidenceLength
		case protocol.HTTP2Continuation:
			evidence += evidenceLength
			if !f.Has(protocol.HTTP2EndHeaders) {
				open = f
			}
		case protocol.HTTP2Headers, protocol.HTTP2PushPromise:
			evidence += evidenceLength
			if !f.Has(protocol.HTTP2EndHeaders) {
				open = f
				break
			}
			if at+f.Length > c.most {
				return parse.No, 0
			}
			if len(b)-at < f.Length {
				return parse.Maybe, at + f.Length
			}
			block, ok := fragment(f, b[at:at+f.Length])
			if !ok {
				return parse.No, 0
			}
			found, ok := c.blockEvidence(block)
			if !ok {
				return parse.No, 0
			}
			evidence += found
			need = at + f.Length
		default:
			evidence += evidenceFixed
			if f.Length > 0 && f.Type != protocol.HTTP2Ping {
				if len(b)-at < f.Length {
					return parse.Maybe, at + f.Length
				}
				if !isPlausiblePayload(f, b[at:at+f.Length]) {
					return parse.No, 0
				}
				need = at + f.Length
			}
		}
		if evidence >= c.enough {
			return parse.Yes, need
		}
		if at += f.Length; at+protocol.HTTP2FrameHeader > c.most {
			return parse.No, 0
		}
	}
}

func (c *chain) isPlausible(f protocol.HTTP2Frame) bool {
	if f.Length > c.longest {
		return false
	}
	if f.Type == protocol.HTTP2PushPromise {
		return c.dir == record.Out && f.Stream&1 == 1 && f.Length > 4 && !f.Reserved
	}
	if c.calls != nil && f.Stream != 0 && f.Stream&1 == 0 && c.calls.find(f.Stream) != nil {
		f.Stream++ // the server has promised it
	}
	return f.IsPlausible()
}

// fragment returns the part of a header block in the payload of a frame that has the whole
// block.
func fragment(f protocol.HTTP2Frame, payload []byte) (block []byte, ok bool) {
	from, padding := 0, 0
	if f.Has(protocol.HTTP2Padded) && len(payload) > 0 {
		from, padding = 1, int(payload[0])
	}
	switch {
	case f.Type == protocol.HTTP2PushPromise:
		from += 4
	case f.Has(protocol.HTTP2HasPriority):
		from += 5
	}
	if from+padding > len(payload) {
		return nil, false
	}
	return payload[from : len(payload)-padding], true
}

// isPlausiblePayload reports whether a frame with a fixed length has what programs send.
func isPlausiblePayload(f protocol.HTTP2Frame, b []byte) bool {
	switch f.Type {
	case protocol.HTTP2Reset:
		return binary.BigEndian.Uint32(b) < 1<<8
	case protocol.HTTP2WindowUpdate:
		n := binary.BigEndian.Uint32(b)
		return n > 0 && n < 1<<31
	case protocol.HTTP2Settings:
		for ; len(b) >= 6; b = b[6:] {
			// Those of RFCs; above them, what some programs send.
			if id := binary.BigEndian.Uint16(b); id == 0 || id > 0x10 && id < 0xf000 && id&0x0f0f != 0x0a0a {
				return false
			}
		}
	}
	return true
}

const (
	mostFieldEvidence = 40      // of a block
	longestTable      = 2 << 10 // entries of a dynamic table, as far as plausible
)

// blockEvidence returns how much speaks for it that b is a header block; ok is false if
// it is none.
func (c *chain) blockEvidence(b []byte) (evidence int, ok bool) {
	regular := false // a field that is no pseudo-header field has come
	first := true
	c.reader.decoded = c.reader.decoded[:0]
	for at := 0; at < len(b); {
		rep, ok := readRepresentation(b, at)
		if !ok || rep.kind != resize && rep.index > uint64(len(staticTable)+longestTable) {
			return 0, false
		}
		at = rep.end
		if rep.kind == resize {
			if !first {
				return 0, false
			}
			continue
		}
		kind := fieldUnknown
		evidence++
		switch {
		case rep.index > uint64(len(staticTable)):
		case rep.index > 0:
			kind = staticTable[rep.index-1].kind
			evidence++
			if first && kind.isPseudo() {
				evidence += 4
			}
		default:
			name, ok := c.reader.text(b, rep.name)
			if !ok || !isFieldName(name) {
				return 0, false
			}
			kind = kindOf(string(name))
			evidence += len(name)
		}
		if kind != fieldUnknown {
			if kind.isPseudo() && regular {
				return 0, false
			}
			regular = regular || !kind.isPseudo()
		}
		if rep.kind != indexed {
			value, ok := c.reader.text(b, rep.value)
			if !ok || bytes.IndexByte(value, 0) >= 0 || bytes.IndexByte(value, '\n') >= 0 {
				return 0, false
			}
			evidence += len(value) / 2
		}
		first = false
	}
	return min(evidence, mostFieldEvidence), !first
}

// isFieldName reports whether name may be that of a field in HTTP/2: letters are in lower
// case.
func isFieldName(name []byte) bool {
	if len(name) > 1 && name[0] == ':' {
		name = name[1:]
	}
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0:
		default:
			return false
		}
	}
	return len(name) > 0
}
