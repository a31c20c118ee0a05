package parse

import (
	"encoding/binary"
	"errors"
	"time"
)

// State is the bytes of a checkpoint while they are written: one value after the other,
// which StateReader reads in the same order.
type State []byte

// Uint appends a number.
func (s *State) Uint(v uint64) { *s = binary.AppendUvarint(*s, v) }

// Bool appends a truth value.
func (s *State) Bool(v bool) {
	n := uint64(0)
	if v {
		n = 1
	}
	s.Uint(n)
}

// Flags appends truth values, of which there are at most 64.
func (s *State) Flags(flags ...bool) {
	v := uint64(0)
	for i, flag := range flags {
		if flag {
			v |= 1 << i
		}
	}
	s.Uint(v)
}

// Bytes appends bytes with their number.
func (s *State) Bytes(b []byte) {
	s.Uint(uint64(len(b)))
	*s = append(*s, b...)
}

// String appends text.
func (s *State) String(v string) {
	s.Uint(uint64(len(v)))
	*s = append(*s, v...)
}

// Time appends a time, to the nanosecond.
func (s *State) Time(t time.Time) {
	if t.IsZero() {
		s.Uint(0)
		return
	}
	s.Uint(1)
	*s = binary.AppendVarint(*s, t.UnixNano())
}

// StateReader reads what a State has. After an error all values are zero.
type StateReader struct {
	b   []byte
	err error
}

// ErrState is that the bytes of a checkpoint are not those of a state. Whoever reads one checks all that its code stands on: the
// bytes may come from anywhere.
var ErrState = errors.New("the state of a connection is cut short or malformed")

// NewStateReader returns a reader of b, which stays the caller's.
func NewStateReader(b []byte) *StateReader { return &StateReader{b: b} }

// Err returns the error that there was, also where bytes are left.
func (r *StateReader) Err() error {
	if r.err == nil && len(r.b) > 0 {
		return ErrState
	}
	return r.err
}

// Rest reports whether there are more values.
func (r *StateReader) Rest() bool { return r.err == nil && len(r.b) > 0 }

// Failed reports whether a value was not there. Who reads a list ends there.
func (r *StateReader) Failed() bool { return r.err != nil }

func (r *StateReader) fail() {
	r.b, r.err = nil, ErrState
}

// Uint reads a number.
func (r *StateReader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Int reads a number that is one in memory.
func (r *StateReader) Int() int {
	v := r.Uint()
	if v > 1<<40 {
		r.fail()
		return 0
	}
	return int(v) //nolint:gosec // it was compared
}

// Bool reads a truth value.
func (r *StateReader) Bool() bool { return r.Uint() != 0 }

// Flags reads as many truth values as State.Flags was given.
func (r *StateReader) Flags(flags ...*bool) {
	v := r.Uint()
	if v>>len(flags) != 0 {
		r.fail()
		v = 0
	}
	for i, flag := range flags {
		*flag = v>>i&1 == 1
	}
}

// Bytes reads bytes. They are the caller's.
func (r *StateReader) Bytes() []byte { return append([]byte(nil), r.bytes()...) }

// String reads text.
func (r *StateReader) String() string { return string(r.bytes()) }

// bytes reads bytes, and returns them where they are.
func (r *StateReader) bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// Time reads a time, in UTC.
func (r *StateReader) Time() time.Time {
	if r.Uint() == 0 {
		return time.Time{}
	}
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return time.Time{}
	}
	r.b = r.b[n:]
	return time.Unix(0, v).UTC()
}
