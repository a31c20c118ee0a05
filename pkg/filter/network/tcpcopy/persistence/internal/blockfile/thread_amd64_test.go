package blockfile

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestAThreadWrites(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mem := pages(t, 1<<20)
	for i := range mem {
		mem[i] = byte(i * 7)
	}
	th, err := newThread()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		at := i * 5000
		for !th.write(f.Fd(), [][]byte{mem[at : at+2000], mem[at+2000 : at+5000]}, int64(at)) {
			runtime.Gosched()
			for ok := true; ok; {
				_, ok = th.result()
			}
		}
		if i%7 == 0 {
			runtime.GC()
		}
	}
	if err := func() error {
		for th.seen != th.next {
			if r, ok := th.result(); ok && r != (written{n: 5000}) {
				t.Error(r)
			}
			runtime.Gosched()
		}
		return th.close()
	}(); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, mem[:500000]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
