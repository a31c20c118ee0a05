package blockfile

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

const paddingByte = 0xee

// checkedFile is a File with what must be in it.
type checkedFile struct {
	*File
	path      string
	put       []byte // what has been put and appended, without padding
	committed int    // of it
}

func newCheckedFile(t *testing.T, direct bool) *checkedFile {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	const minPadding = 12
	padding := func(dst []byte, n int) []byte {
		if n < minPadding || n%4 != 0 {
			t.Errorf("a padding block of %d bytes", n)
		}
		return append(dst, bytes.Repeat([]byte{paddingByte}, n)...)
	}
	b, err := Open(f, pages(t, 1<<20), Options{Padding: padding, MinPadding: minPadding})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		f.Close()
	})
	if !direct {
		b.Close()
	} else if b.direct == nil {
		t.Skip("the file system of the temporary directory refuses direct I/O")
	}
	return &checkedFile{File: b, path: f.Name()}
}

// pages returns page-aligned memory of n bytes for the time of the test.
func pages(t *testing.T, n int) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	return mem
}

// agrees reports whether the file has what was committed.
func (l *checkedFile) agrees() error {
	content, err := os.ReadFile(l.path)
	if err != nil {
		return err
	}
	if got, want := int64(len(content)), l.Committed(); got != want {
		return fmt.Errorf("the file has %d bytes, %d are committed", got, want)
	}
	if got := bytes.ReplaceAll(content, []byte{paddingByte}, nil); !bytes.Equal(got, l.put[:l.committed]) {
		return fmt.Errorf("the file has %d bytes without padding, not the %d that were committed", len(got), l.committed)
	}
	return nil
}

// randomBlock fills block with bytes that are not padding's.
func randomBlock(r *rand.Rand, block []byte) {
	seed := r.Uint32()
	for i := range block {
		block[i] = byte(seed+uint32(i)*7) % paddingByte
	}
}

// Whatever is put, appended, committed and given up, from whatever places in memory: the
// file has what was committed, in order.
func TestTheFileHasWhatWasCommitted(t *testing.T) {
	for _, direct := range []bool{true, false} {
		t.Run(fmt.Sprint("direct ", direct), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			file := newCheckedFile(t, direct)
			batch := pages(t, 8<<20)
			runs := 0
			for range 40 {
				at := 4 * r.IntN(5000)
				for range 1 + r.IntN(4) {
					if r.IntN(3) == 0 { // as openings are
						n := 4 * (1 + r.IntN(300))
						dst, err := file.Room(n)
						if err != nil {
							t.Fatal(err)
						}
						start := len(dst)
						dst = dst[:start+n]
						randomBlock(r, dst[start:])
						file.Put(dst)
						file.put = append(file.put, dst[start:]...)
					}
					for range r.IntN(80) {
						n := 4 * (1 + r.IntN(8000))
						if at+n > len(batch) {
							break
						}
						block := batch[at : at+n]
						randomBlock(r, block)
						if err := file.AppendZeroCopy(block); err != nil {
							t.Fatal(err)
						}
						file.put = append(file.put, block...)
						at += n
						runs = max(runs, len(file.run))
					}
					at += 4 * r.IntN(3) // what does not adjoin
				}
				var err error
				if r.IntN(5) == 0 {
					err = file.Rollback()
					file.put = file.put[:file.committed]
				} else {
					err = file.Commit()
					file.committed = len(file.put)
				}
				if err = errors.Join(err, file.agrees()); err != nil {
					t.Fatal(err)
				}
			}
			if runs < directMin {
				t.Errorf("the longest run has %d bytes: none was written from where it lies", runs)
			}
		})
	}
}
