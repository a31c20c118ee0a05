package buffer

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is memory outside Go's heap. It begins at a multiple of largePage, so that
// the system can give it large pages. The zero mapping is none.
type mapping struct {
	mem     []byte
	address unsafe.Pointer // of the address space around mem, which is largePage longer
}

// largePage is the size of large pages on amd64 and arm64 where others have 4 KiB, in
// bytes.
const largePage = 2 << 20

// plain is the file of a mapping that has none.
const plain = -1

// sparse is the file of a mapping in plain memory of which little will be used.
const sparse = -2

// newMapping maps the first n bytes of the file fd, or plain memory. They take no
// memory before they are used.
func newMapping(fd, n int) (mapping, error) {
	length, flags := uintptr(n)+largePage, unix.MAP_PRIVATE|unix.MAP_ANON
	if fd == sparse {
		flags |= unix.MAP_NORESERVE
	}
	address, err := unix.MmapPtr(-1, 0, nil, length, unix.PROT_NONE, flags)
	if err != nil {
		return mapping{}, err
	}
	offset := -uintptr(address) & (largePage - 1)
	start := unsafe.Add(address, offset)
	m := mapping{mem: unsafe.Slice((*byte)(start), n), address: address}
	if fd < 0 {
		if err := unix.Mprotect(m.mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			m.free()
			return mapping{}, err
		}
		return m, nil
	}
	if _, err := unix.MmapPtr(fd, 0, start, uintptr(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_FIXED|unix.MAP_SHARED); err != nil {
		// What was at start may be gone, and another thread's there by now: only
		// what is before it is ours for certain.
		if offset > 0 {
			_ = unix.MunmapPtr(address, offset)
		}
		return mapping{}, err
	}
	return m, nil
}

// free gives everything back. Nothing may use the memory any more.
func (m *mapping) free() {
	if m.address != nil {
		_ = unix.MunmapPtr(m.address, uintptr(len(m.mem))+largePage) // fails only for an address that is not a mapping's
		*m = mapping{}
	}
}

// populate has the system find pages for mem now, and not when somebody waits for
// them: large ones where it has some, which a copy and a direct write both take
// less time with. A system that cannot does it later, or with small ones; then there
// is an error.
func populate(mem []byte) error {
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // plain memory
	_ = unix.Madvise(mem, unix.MADV_COLLAPSE) // a file in memory; since Linux 6.1
	return unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
}
