package buffer

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Memory is what a session's encoders work in. Like that of the batches it lies outside Go's
// heap, so that a large buffer does not make the collector let the heap grow,
// and goes back to the system when the window closes.
type Memory struct {
	all  mapping
	rest []byte
}

// NewMemory maps n bytes. They take no memory before they are used.
func NewMemory(n int) (*Memory, error) {
	all, err := newMapping(plain, n)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of buffer: %w", n, err)
	}
	// Large pages spare about a tenth of the encoding; a system that has none to
	// give is as good otherwise.
	_ = unix.Madvise(all.mem, unix.MADV_HUGEPAGE)
	return &Memory{all: all, rest: all.mem}, nil
}

// Next returns the next n bytes, which belong to the caller until Free.
func (m *Memory) Next(n int) []byte {
	p := m.rest[:n:n]
	m.rest = m.rest[n:]
	return p
}

// Free gives everything back. Nothing may use the memory any more.
func (m *Memory) Free() {
	m.all.free()
	m.rest = nil
}
