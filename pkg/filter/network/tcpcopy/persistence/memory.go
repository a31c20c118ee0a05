package persistence

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// memory is what a session's encoders work in. Like the batches' it lies outside Go's
// heap, so that a large buffer does not make the collector let the heap grow,
// and goes back to the system when the window closes.
type memory struct {
	all  mapping
	rest []byte
}

// newMemory maps n bytes. They take no memory before they are used.
func newMemory(n int) (*memory, error) {
	all, err := newMapping(plain, n)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of buffer: %w", n, err)
	}
	// Large pages spare about a tenth of the encoding; a system that has none to
	// give is as good otherwise.
	_ = unix.Madvise(all.mem, unix.MADV_HUGEPAGE)
	return &memory{all: all, rest: all.mem}, nil
}

// take returns the next n bytes, which belong to the caller until free.
func (m *memory) take(n int) []byte {
	p := m.rest[:n:n]
	m.rest = m.rest[n:]
	return p
}

// free gives everything back. Nothing may use the memory any more.
func (m *memory) free() {
	m.all.free()
	m.rest = nil
}
