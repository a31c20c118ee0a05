package grep

import (
	"encoding/binary"
	"errors"
)

// stream is one direction of a connection: what of it is not decided yet, and the matches
// whose context is not complete.
type stream struct {
	buf     []byte // the last bytes
	base    uint64 // offset of buf[0] in the stream
	at      int    // where the search goes on, in buf
	quiet   int    // see text
	waiting []span // matches before at
}

// span is a range of stream.buf.
type span struct{ start, end int }

// longBuffer is how much of a stream is kept before new bytes are appended where it is, and
// not copied to the search's memory with them.
const longBuffer = 4 << 10

// data searches the stream with more bytes, which begin at an offset. end says that
// nothing follows them.
func (s *Search) data(of *stream, offset uint64, b []byte, end bool) {
	if len(of.buf) == 0 {
		of.base = offset
	}
	owned := len(of.buf) > longBuffer
	t := text{end: end, quiet: of.quiet}
	switch {
	case len(of.buf) == 0:
		t.b = b
	case owned:
		of.buf = append(of.buf, b...)
		t.b = of.buf
	default:
		s.joined = append(append(s.joined[:0], of.buf...), b...)
		t.b = s.joined
	}
	s.current = of
	of.at = s.scanner.scan(&t, of.at)
	of.quiet = t.quiet
	s.emit(of, &t)
	keep := of.at
	if len(of.waiting) > 0 {
		keep = min(keep, of.waiting[0].start)
	}
	keep = max(0, keep-max(s.context, 1))
	if end {
		keep = len(t.b)
	}
	of.keep(t.b, keep, owned)
}

// emit reports the matches whose context is complete.
func (s *Search) emit(of *stream, t *text) {
	n := 0
	for _, m := range of.waiting {
		if s.err != nil || !t.end && m.end+s.context > len(t.b) {
			break
		}
		n++
		s.matches++
		s.match.Offset = of.base + uint64(m.start)
		s.match.Before = t.b[max(0, m.start-s.context):m.start]
		s.match.Bytes = t.b[m.start:m.end]
		s.match.After = t.b[m.end:min(len(t.b), m.end+s.context)]
		s.err = s.found(&s.match)
	}
	of.waiting = append(of.waiting[:0], of.waiting[n:]...)
	if len(of.waiting) == 0 {
		of.waiting = nil
	}
}

// keep keeps what of b, the stream's bytes so far, is from an index on. owned says that b
// is buf.
func (of *stream) keep(b []byte, from int, owned bool) {
	rest := b[from:]
	switch {
	case owned && 2*len(rest) > cap(of.buf):
		if from > 0 {
			of.buf = of.buf[:copy(of.buf, rest)]
		}
	case owned || cap(of.buf) < len(rest) || cap(of.buf) > 4*len(rest)+128:
		of.buf = append([]byte(nil), rest...) // a long buffer is given back
	default:
		of.buf = append(of.buf[:0], rest...)
	}
	of.base += uint64(from)
	of.at -= from
	of.quiet = max(0, of.quiet-from)
	for i := range of.waiting {
		of.waiting[i].start -= from
		of.waiting[i].end -= from
	}
}

// size returns how many bytes of memory the stream has beside itself.
func (of *stream) size() int { return cap(of.buf) + cap(of.waiting)*16 }

// append appends the bytes of the stream.
func (of *stream) append(dst []byte) []byte {
	for _, n := range [...]uint64{of.base, uint64(of.at), uint64(of.quiet), uint64(len(of.waiting))} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, m := range of.waiting {
		dst = binary.AppendUvarint(dst, uint64(m.start))
		dst = binary.AppendUvarint(dst, uint64(m.end))
	}
	dst = binary.AppendUvarint(dst, uint64(len(of.buf)))
	return append(dst, of.buf...)
}

var errState = errors.New("a search's state in a temporary file has changed")

// parse reads what append has appended and returns what follows.
func (of *stream) parse(b []byte) (rest []byte, err error) {
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = errState
			return 0
		}
		b = b[size:]
		return n
	}
	of.base, of.at, of.quiet = number(), int(number()), int(number())
	for range number() {
		if err != nil {
			return nil, err
		}
		of.waiting = append(of.waiting, span{int(number()), int(number())})
	}
	n := number()
	if err != nil || n > uint64(len(b)) {
		return nil, errState
	}
	of.buf = append([]byte(nil), b[:n]...)
	return b[n:], nil
}
