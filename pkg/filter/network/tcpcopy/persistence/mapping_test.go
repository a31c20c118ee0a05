package persistence

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

func TestMappingsAreAligned(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "mapped"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const n = largePage + 3*pageSize
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
		populate(m.mem[:largePage])
		populate(m.mem[pageSize : 3*pageSize]) // too little for a large one
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

func TestMappingReportsAFault(t *testing.T) {
	if m, err := newMapping(1<<20, pageSize); err == nil || m.mem != nil {
		t.Errorf("a file that is not open is mapped: %v", err)
	}
}

// The room that aligns the batches takes no memory.
func TestSpoolsTakeWhatTheyHold(t *testing.T) {
	s, fault, err := newSpool(Config{Spool: t.TempDir()}, spoolHeader{Dir: t.TempDir(), Run: "r", Window: "w", Workers: 2, Batch: 16 << 10})
	if err != nil || fault != nil {
		t.Fatal(err, fault)
	}
	defer s.remove()
	info, err := s.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	size, states, batches := spoolSize(2, 16<<10)
	took := info.Sys().(*syscall.Stat_t).Blocks * 512
	if most := int64(states + size - batches + 4*pageSize); info.Size() != int64(size) || took > most {
		t.Errorf("%d bytes take %d, want %d that take %d at most", info.Size(), took, size, most)
	}
}
