package http2

import (
	"bytes"
	"encoding/binary"
	"math/bits"

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
//
// The evidence for later frames is none for the first one, if that leads to them by chance: in bodies of small
// integers, much looks like the header of a data frame, whose length may be any. So a chain
// begins with another frame, or with a data frame of a stream that is known; the
// latter are weak.
type chain struct {
	dir     record.Direction
	longest int    // bytes of a frame
	most    int    // bytes that are waited for
	enough  int    // evidence
	calls   *calls // streams that are known; nil if none are
	reader  *blockReader
}

// Evidence is counted in bits, roughly. The numbers are such that bodies full of small integers, whose bytes are
// mostly zero, do not add up to frames (see the tests).
const (
	enoughAfterGap = 32
	enoughWithin   = 56
)

// headerEvidence returns how much it speaks for a frame that its header is plausible. What may have any
// value says nothing, and what bodies are full of says little.
func headerEvidence(f protocol.HTTP2Frame) (evidence int) {
	const zero, small, parity = 1, 6, 4 // in half bits
	evidence = 3 * zero
	for _, c := range [...]byte{f.Type, f.Flags} {
		if c > 0 {
			evidence += small
		}
	}
	switch f.Type {
	case protocol.HTTP2Data, protocol.HTTP2Headers, protocol.HTTP2PushPromise, protocol.HTTP2Continuation:
	default:
		if f.Length > 0 {
			evidence += small
		}
	}
	return (evidence + parity) / 2
}

// streamEvidence returns how much it speaks for a frame that its stream is one that is known, or
// that of the frame before.
func streamEvidence(stream uint32) int { return 4 + (bits.Len32(stream)-1)/8*5 }

const (
	nextEvidence = 6       // for headers that their stream may be the next one of the client
	nextStreams  = 1 << 14 // how many streams that are
)

const (
	// unknownFrame is how long frames may be where it is not known what the other side accepts.
	unknownFrame = 64 << 10
	// longestBlock is how long a header block may be that is looked into: each byte may be looked at that often.
	longestBlock = 2 << 10
	// mostWithin is how many bytes are needed at most to be certain of a chain of which nothing is known.
	mostWithin = 96 << 10
)

// find returns where in b a chain begins, and how many bytes of b it needed to be certain
// of it. If that needs more bytes, the verdict is Maybe, and need is how many. If it is No, there is none before at.
func (c *chain) find(b []byte) (at, need int, verdict parse.Verdict) {
	for ; at < len(b); at++ {
		verdict, need = c.judge(b[at:])
		if verdict == parse.No {
			continue
		}
		need += at
		if verdict == parse.Yes {
			if length, weak := isWeak(b[at:]); weak {
				return c.within(b, at, length, need)
			}
		}
		return at, need, verdict
	}
	return at, 0, parse.No
}

// within returns where the chain begins, if a weak one begins at at with a frame of a
// length, and needs so many bytes of b: what begins another way within this frame is believed, if those bytes are enough to see it.
func (c *chain) within(b []byte, at, length, need int) (int, int, parse.Verdict) {
	strong := *c
	strong.calls = nil
	for i := at + 1; i < min(at+length, need); i++ {
		if verdict, n := strong.judge(b[i:need]); verdict == parse.Yes {
			return i, i + n, verdict
		}
	}
	return at, need, parse.Yes
}

// judge returns whether b begins with frames, and how many bytes of b it needed, or needs
// at least.
func (c *chain) judge(b []byte) (verdict parse.Verdict, need int) {
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
		if !c.isPlausible(f) || at == 0 && !c.mayBegin(f) || open.Length > 0 && (f.Type != protocol.HTTP2Continuation || f.Stream != open.Stream) {
			return parse.No, 0
		}
		at += protocol.HTTP2FrameHeader
		need = at
		evidence += headerEvidence(f) + c.streamEvidence(f, seen)
		seen = f.Stream
		open = protocol.HTTP2Frame{}
		switch f.Type {
		case protocol.HTTP2Data, protocol.HTTP2GoAway:
		case protocol.HTTP2Continuation:
			if !f.Has(protocol.HTTP2EndHeaders) {
				open = f
			}
		case protocol.HTTP2Headers, protocol.HTTP2PushPromise:
			if !f.Has(protocol.HTTP2EndHeaders) {
				open = f
				break
			}
			if f.Length > longestBlock {
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
	if c.calls != nil && f.Stream != 0 && f.Stream&1 == 0 && c.calls.has(f.Stream) {
		f.Stream++ // the server has promised it
	}
	return f.IsPlausible()
}

// streamEvidence returns how much the stream of a frame speaks for it. seen is that of the frame before.
func (c *chain) streamEvidence(f protocol.HTTP2Frame, seen uint32) int {
	switch {
	case f.Stream == 0:
	case f.Stream == seen, c.calls != nil && c.calls.has(f.Stream):
		return streamEvidence(f.Stream)
	case c.calls != nil && c.dir == record.In && f.Type == protocol.HTTP2Headers && f.Stream > c.calls.last && f.Stream <= c.calls.last+nextStreams:
		return nextEvidence
	}
	return 0
}

// mayBegin reports whether a chain may begin with a frame.
func (c *chain) mayBegin(f protocol.HTTP2Frame) bool {
	switch f.Type {
	case protocol.HTTP2Data:
		return c.calls != nil && c.calls.has(f.Stream)
	case protocol.HTTP2Headers, protocol.HTTP2PushPromise:
		return f.Has(protocol.HTTP2EndHeaders) && f.Length <= longestBlock
	case protocol.HTTP2GoAway, protocol.HTTP2Continuation:
		return false
	}
	return true
}

// isWeak reports whether a chain that begins b is weak, and how long its first frame is.
func isWeak(b []byte) (length int, weak bool) {
	f := protocol.ReadHTTP2Frame(b)
	return protocol.HTTP2FrameHeader + f.Length, f.Type == protocol.HTTP2Data
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
		for ; len(b) >= settingSize; b = b[settingSize:] {
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
			if !ok || !isFieldValue(value) {
				return 0, false
			}
			evidence += len(value) / 2
		}
		first = false
	}
	return min(evidence, mostFieldEvidence), !first
}

// isFieldValue reports whether value may be that of a field: it has no control characters.
func isFieldValue(value []byte) bool {
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
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
