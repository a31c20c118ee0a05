package persistence

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// memory is what a session's encoders work in. Like the batches' it lies outside Go's
// heap, so that a large buffer does not make the collector let the heap grow,
// and goes back to the system when the window closes.
type memory struct {
	all  []byte
	rest []byte
}

// newMemory maps n bytes. They take no memory before they are used.
func newMemory(n int) (*memory, error) {
	all, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of buffer: %w", n, err)
	}
	// Large pages spare about a tenth of the encoding; a system that has none to
	// give is as good otherwise.
	_ = unix.Madvise(all, unix.MADV_HUGEPAGE)
	return &memory{all: all, rest: all}, nil
}

// take returns the next n bytes, which belong to the caller until free.
func (m *memory) take(n int) []byte {
	p := m.rest[:n:n]
	m.rest = m.rest[n:]
	return p
}

// free gives everything back. Nothing may use the memory any more.
func (m *memory) free() {
	if m.all != nil {
		_ = unix.Munmap(m.all) // fails only for an address that is not a mapping's
		m.all, m.rest = nil, nil
	}
}

// populated is how much of a batch, in bytes, has its pages when a window opens: what a
// worker that keeps up lets come together at most loads.
const populated = 1 << 20

// populate has the system find pages for mem now, and not when somebody waits for
// them. A system that cannot does it then.
func populate(mem []byte) {
	_ = unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
}
