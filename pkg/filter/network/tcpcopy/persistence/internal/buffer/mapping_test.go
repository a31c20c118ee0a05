package buffer

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"mosn.io/tcpcopy/internal/safedir"
)

func TestMappingsAreAligned(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "mapped"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const n = largePage + 3*PageSize
	if err := f.Truncate(n); err != nil {
		t.Fatal(err)
	}
	for name, fd := range map[string]int{"plain": plain, "file": int(f.Fd())} {
		m, err := newMapping(fd, n)
		if err != nil {
			t.Fatal(err)
		}
		if at := uintptr(unsafe.Pointer(&m.mem[0])); at%largePage != 0 || len(m.mem) != n {
			t.Errorf("%s: %d bytes at %#x", name, len(m.mem), at)
		}
		m.mem[0], m.mem[n-1] = 1, 2
		m.free()
		m.free() // there is none any more
	}
	content, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if want := append(append([]byte{1}, make([]byte, n-2)...), 2); !bytes.Equal(content, want) {
		t.Error("the file does not have what was written to its mapping")
	}
}

// Large or small, what is populated has its pages.
func TestPopulateFindsPages(t *testing.T) {
	m, err := newMapping(plain, 2*largePage)
	if err != nil {
		t.Fatal(err)
	}
	defer m.free()
	if err := unix.Madvise(m.mem[2*largePage-PageSize:], unix.MADV_POPULATE_WRITE); err != nil {
		t.Skip("this kernel has no MADV_POPULATE_WRITE:", err)
	}
	for _, part := range [][]byte{m.mem[PageSize : 3*PageSize], m.mem[:largePage]} {
		if err := populate(part); err != nil {
			t.Fatal(err)
		}
		there := make([]byte, len(part)/PageSize)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&part[0])), uintptr(len(part)), uintptr(unsafe.Pointer(&there[0])))
		if errno != 0 {
			t.Fatal(errno)
		}
		if i := bytes.IndexByte(there, 0); i >= 0 {
			t.Errorf("page %d of %d is not there", i, len(there))
		}
	}
}

func TestMappingReportsAFault(t *testing.T) {
	if m, err := newMapping(1<<20, PageSize); err == nil || m.mem != nil {
		t.Errorf("a file that is not open is mapped: %v", err)
	}
}

// The room that aligns the batches takes no memory.
func TestTheAlignmentOfASpoolTakesNoBlocks(t *testing.T) {
	dump := safedir.New(t.TempDir())
	defer dump.Close()
	s, fault, err := NewSpool(t.TempDir(), dump, SpoolHeader{Dir: dump.Path(), Run: "r", Window: "w", Workers: 2, Batch: 16 << 10}, nil)
	if err != nil || fault != nil {
		t.Fatal(err, fault)
	}
	defer s.Remove()
	info, err := s.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	size, states, batches := spoolSize(2, 16<<10)
	took := info.Sys().(*syscall.Stat_t).Blocks * 512
	if most := int64(states + size - batches + 4*PageSize); info.Size() != int64(size) || took > most {
		t.Errorf("%d bytes take %d, want %d that take %d at most", info.Size(), took, size, most)
	}
}
