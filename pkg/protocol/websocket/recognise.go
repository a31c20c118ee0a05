package websocket

import (
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// A connection begins with a handshake of HTTP.
func begins(record.Direction, []byte) parse.Verdict { return parse.No }

// A byte is the beginning of a frame by chance with a probability of less than 1/20. So
// it takes a chain of frames to be certain.
const (
	chainAtStart = 4 // where the bytes begin, which is often where a frame does
	chainWithin  = 8
)

// within implements parse.Protocol.Within.
func within(dir record.Direction, data []byte) (at, needed int, found bool) {
	for at := range data {
		n := chainWithin
		if at == 0 {
			n = chainAtStart
		}
		if needed, ok, _ := chain(dir, data[at:], n); ok {
			return at, at + needed, true
		}
	}
	return 0, 0, false
}

// chain reports whether data begin with n headers of frames, each behind the payload of
// the one before, and how many bytes show that. more says that there may be so many when
// more bytes are there.
func chain(dir record.Direction, data []byte, n int) (needed int, ok, more bool) {
	at := 0
	known, open := false, false // whether a message goes on
	for range n {
		h, ok, err := parseHeader(dir, data[at:])
		if err != nil || ok && !h.plausible() {
			return 0, false, false
		}
		if !ok {
			return 0, false, true
		}
		switch continues := h.op == opContinuation; {
		case h.op >= opClose: // may be anywhere
		case known && open != continues:
			return 0, false, false // it continues no message, or another one
		case !h.fin && h.length == 0:
			return 0, false, false // nobody sends that
		default:
			known, open = true, !h.fin
		}
		needed = at + h.size
		next := uint64(needed) + h.length
		if next > uint64(len(data)) {
			at = len(data)
			continue
		}
		at = int(next)
	}
	return needed, true, false
}

// plausible reports whether a frame is one that programs send. Zeros, of which other
// protocols have many, are a frame that continues a message with nothing, and are not.
func (h *header) plausible() bool { return (h.op != opContinuation || h.length > 0) && !h.long }

// maxSearch is how many bytes may wait for a chain to end.
const maxSearch = 64 << 10

// Sync implements parse.Parser.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	data := s.Bytes()
	for at := range data {
		_, ok, more := chain(s.Dir(), data[at:], chainAtStart)
		switch {
		case ok:
			return at, true
		case more && len(data)-at <= maxSearch:
			return at, false
		}
	}
	return len(data), false
}
