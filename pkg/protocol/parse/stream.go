package parse

import (
	"math"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Stream is one direction of a connection as its parser sees it: the bytes that are
// there and not consumed. The Runner fills it, the parser consumes.
type Stream struct {
	dir     record.Direction
	started bool   // offset is set
	synced  bool   // data begins with a message, or is within one that the parser knows
	torn    bool   // the direction had a gap, or began in its middle
	offset  uint64 // of the first byte that is not consumed
	data    []byte // what is there from offset on: the caller's bytes while Data runs, else in pending
	pending []byte // the stream's memory for data between two calls of Data, from its beginning on
	own     bool   // data are in it
	marks   []mark // when the bytes of data passed, in their order
	need    int    // how many it wants at least

	last time.Time // when the byte before offset passed; zero if it was not recorded

	skip    uint64 // bytes to pass over from offset on
	value   Value  // what they are
	spans   call.Sink
	passed  uint64 // bytes of the skip that were passed over
	missing uint64 // those of them that were not recorded
	misled  int    // how often in a row Sync found what is no message
}

// mark says when a piece of the stream passed.
type mark struct {
	offset uint64 // of its first byte
	at     time.Time
	order  uint64 // counts the pieces of both directions
}

// Value says what the bytes of a skip are, for the spans that are made of them. Its zero
// value is for bytes of no interest.
type Value struct {
	Call     uint64
	Kind     call.Kind
	Name     string
	Encoding string
	More     bool // the value goes on behind the skip

	// Key is XORed over the bytes (RFC 6455, section 5.3); spans then have the encoding XOR
	// if Encoding is empty.
	Key [4]byte
}

// XOR is the encoding of spans whose bytes have a key XORed over them.
const XOR = "xor"

// Until is the length of a skip that goes on until the connection ends.
const Until = math.MaxUint64

// Dir returns the stream's direction.
func (s *Stream) Dir() record.Direction { return s.dir }

// Offset returns the offset of the first byte of Bytes.
func (s *Stream) Offset() uint64 { return s.offset }

// Bytes returns the bytes that are there and not consumed. They are valid until Parse
// or Sync returns.
func (s *Stream) Bytes() []byte { return s.data }

// Need says that Parse need not be called before Bytes has n bytes. It holds for the
// next call only.
func (s *Stream) Need(n int) { s.need = n }

// Advance consumes the first n of Bytes.
func (s *Stream) Advance(n int) {
	if n > 0 {
		s.last = s.TimeAt(s.offset + uint64(n) - 1)
		s.consume(n)
	}
}

func (s *Stream) consume(n int) {
	s.data = s.data[n:]
	s.offset += uint64(n)
	passed := 0
	for passed+1 < len(s.marks) && s.marks[passed+1].offset <= s.offset {
		passed++
	}
	if passed > 0 {
		s.marks = s.marks[:copy(s.marks, s.marks[passed:])]
	}
}

// Skip consumes n bytes: those that are there now, the others as they come, gaps in them
// included. If Skipping after it, Parse returns, and is called again behind them. A value
// with a kind is reported as spans.
func (s *Stream) Skip(n uint64, v Value) {
	s.skip, s.value, s.passed, s.missing = n, v, 0, 0
	s.skipData()
}

// skipData passes over what is there of a skip.
func (s *Stream) skipData() {
	n := int(min(s.skip, uint64(len(s.data))))
	if n == 0 {
		return
	}
	if s.skip != Until {
		s.skip -= uint64(n)
	}
	if s.spans != nil && s.value.Kind != 0 {
		s.span(s.data[:n])
	}
	s.passed += uint64(n)
	s.Advance(n)
}

// span reports bytes of a skip.
func (s *Stream) span(data []byte) {
	encoding := s.value.Encoding
	if key := s.value.Key; key != [4]byte{} {
		data = append([]byte(nil), data...)
		for i := range data {
			data[i] ^= key[(s.passed+uint64(i))%4]
		}
		if encoding == "" {
			encoding = XOR
		}
	}
	s.spans.Span(call.Span{
		Call: s.value.Call, Direction: s.dir, Range: call.Range{Offset: s.offset, Length: uint64(len(data))},
		Kind: s.value.Kind, Name: s.value.Name, Encoding: encoding, More: s.skip > 0 || s.value.More, Value: data,
	})
}

// skipGap passes over the part of a gap of n bytes that lies in a skip, and returns its
// length.
func (s *Stream) skipGap(n uint64) uint64 {
	n = min(n, s.skip)
	if s.skip != Until {
		s.skip -= n
	}
	s.passed += n
	s.missing += n
	s.offset += n
	s.last = time.Time{}
	return n
}

// Skipping reports whether a skip goes on.
func (s *Stream) Skipping() bool { return s.skip > 0 }

// EndSkip ends a skip where the stream is now, with what was passed over so far. It is for a parser that
// learns in the other direction that the message has ended.
func (s *Stream) EndSkip() { s.skip = 0 }

// Missing returns how many bytes of the last skip were not recorded.
func (s *Stream) Missing() uint64 { return s.missing }

// TimeAt returns when the byte at offset passed, which is one of Bytes.
func (s *Stream) TimeAt(offset uint64) time.Time {
	var at time.Time
	for i := range s.marks {
		if s.marks[i].offset > offset {
			break
		}
		at = s.marks[i].at
	}
	return at
}

// LastTime returns when the last byte that was consumed passed. It is zero if that byte
// was not recorded.
func (s *Stream) LastTime() time.Time { return s.last }

// FromStart reports whether all of the stream so far was there, from its first byte on.
func (s *Stream) FromStart() bool { return !s.torn }

// Astray reports whether bytes were missing, and no message was found since.
func (s *Stream) Astray() bool { return s.started && !s.synced }

// begin starts the stream at offset.
func (s *Stream) begin(offset uint64) {
	s.started, s.offset = true, offset
	if offset == 0 {
		s.synced = true
	} else {
		s.torn = true
	}
}

// maxMarks is how many pieces of a unit that is not all there are known apart. Of a unit of more
// pieces, neighbours count as one, and have the time of the first of them.
const maxMarks = 4 << 10

// add appends b to data. If nothing waits, data is b itself until keep.
func (s *Stream) add(b []byte, at time.Time, order uint64) {
	if len(s.data) == 0 {
		s.marks = append(s.marks[:0], mark{s.offset, at, order})
		s.data, s.own = b, false
		return
	}
	if len(s.marks) == maxMarks {
		for i := range maxMarks / 2 {
			s.marks[i] = s.marks[2*i]
		}
		s.marks = s.marks[:maxMarks/2]
	}
	s.marks = append(s.marks, mark{s.offset + uint64(len(s.data)), at, order})
	before := cap(s.data)
	s.data = append(s.data, b...)
	if cap(s.data) != before {
		s.pending = s.data
	}
}

// maxIdle is how much memory a stream without pending bytes may keep.
const maxIdle = 4 << 10

// keep makes sure that what is left of data is in memory of the stream's own, which is not much larger.
func (s *Stream) keep() {
	switch spare := cap(s.pending) > max(maxIdle, 4*len(s.data)); {
	case spare:
		s.pending = nil
	case s.own && len(s.data) > 0:
		return
	}
	s.pending = append(s.pending[:0], s.data...)
	s.data, s.own = s.pending, true
}

// drop gives up all that is there and returns its range.
func (s *Stream) drop() call.Range {
	r := call.Range{Offset: s.offset, Length: uint64(len(s.data))}
	s.offset += r.Length
	s.data, s.pending, s.marks = nil, s.pending[:0], s.marks[:0]
	s.need = 0
	return r
}
