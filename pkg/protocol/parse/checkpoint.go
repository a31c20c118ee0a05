package parse

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// MarshalBinary returns the state of the runner and of its parser.
func (r *Runner) MarshalBinary() ([]byte, error) {
	parser, err := r.parser.MarshalBinary()
	if err != nil {
		return nil, err
	}
	var b State
	b.Uint(r.order)
	b.Bool(r.left)
	for i := range r.streams {
		r.streams[i].append(&b)
	}
	b.Bytes(parser)
	return b, nil
}

// append appends the state of a stream.
func (s *Stream) append(b *State) {
	b.Bool(s.started)
	b.Bool(s.synced)
	b.Bool(s.torn)
	b.Uint(s.offset)
	b.Bytes(s.data)
	b.Uint(uint64(len(s.marks)))
	for _, m := range s.marks {
		b.Uint(m.offset)
		b.Time(m.at)
		b.Uint(m.order)
	}
	b.Uint(uint64(s.need))
	b.Time(s.last)
	b.Uint(s.skip)
	b.Uint(s.value.Call)
	b.Uint(uint64(s.value.Kind))
	b.String(s.value.Name)
	b.String(s.value.Encoding)
	b.Bool(s.value.More)
	b.Bytes(s.value.Key[:])
	b.Uint(s.passed)
	b.Uint(s.missing)
	b.Uint(uint64(s.misled))
}

// read reads what append has appended.
func (s *Stream) read(b *StateReader) {
	s.started, s.synced, s.torn = b.Bool(), b.Bool(), b.Bool()
	s.offset = b.Uint()
	s.data = b.Bytes()
	s.pending, s.own = s.data, true
	for range b.Int() {
		if !b.Rest() {
			break
		}
		s.marks = append(s.marks, mark{b.Uint(), b.Time(), b.Uint()})
	}
	s.need = b.Int()
	s.last = b.Time()
	s.skip = b.Uint()
	s.value = Value{Call: b.Uint(), Kind: call.Kind(b.Uint()), Name: b.String(), Encoding: b.String(), More: b.Bool()} //nolint:gosec // a kind that is not known is none
	copy(s.value.Key[:], b.Bytes())
	s.passed, s.missing = b.Uint(), b.Uint()
	s.misled = b.Int()
}

// isSound reports whether the marks are of the data, in their order.
func (s *Stream) isSound() bool {
	end := s.offset + uint64(len(s.data))
	if end < s.offset || len(s.data) > 0 && (len(s.marks) == 0 || s.marks[0].offset > s.offset) {
		return false
	}
	before := uint64(0)
	for _, m := range s.marks {
		if m.offset < before || m.offset > end {
			return false
		}
		before = m.offset
	}
	return true
}

// Restore makes r go on from what MarshalBinary returned. r must be new, and of the same
// protocol.
func (r *Runner) Restore(state []byte) error {
	b := NewStateReader(state)
	r.order, r.left = b.Uint(), b.Bool()
	for i := range r.streams {
		s := &r.streams[i]
		*s = Stream{dir: record.Direction(i), spans: s.spans} //nolint:gosec // 0 or 1
		s.read(b)
	}
	parser := b.Bytes()
	if err := b.Err(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if !r.streams[record.In].isSound() || !r.streams[record.Out].isSound() {
		return fmt.Errorf("restore: %w", ErrState)
	}
	return r.parser.UnmarshalBinary(parser)
}
