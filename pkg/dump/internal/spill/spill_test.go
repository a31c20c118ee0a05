package spill

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

func TestValuesAreKept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	rng := rand.New(rand.NewPCG(1, 2))
	var f File
	defer func() { _ = f.Close() }()
	value := func() []byte { return bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(1500)) }
	var at []int64
	var want [][]byte
	for i := range 20_000 {
		if i > 0 && rng.IntN(3) == 0 {
			j := rng.IntN(len(at))
			want[j] = value()
			var err error
			if at[j], err = f.Replace(at[j], want[j]); err != nil {
				t.Fatal(err)
			}
		} else {
			v := value()
			p, err := f.Put(v)
			if err != nil {
				t.Fatal(err)
			}
			at, want = append(at, p), append(want, v)
		}
		j := rng.IntN(len(at))
		if got, err := f.Get(at[j]); err != nil || !bytes.Equal(got, want[j]) {
			t.Fatalf("value %d: %d bytes of %d, %v", j, len(got), len(want[j]), err)
		}
	}
	for i := range at {
		if got, err := f.Get(at[i]); err != nil || !bytes.Equal(got, want[i]) {
			t.Fatalf("value %d: %d bytes of %d, %v", i, len(got), len(want[i]), err)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("files with names: %v, %v", left, err)
	}
}

func TestWithoutASpaceThereIsAnError(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/null/none")
	var f File
	if _, err := f.Put([]byte("x")); err == nil {
		t.Error("no error")
	}
	if err := f.Close(); err != nil {
		t.Error(fmt.Errorf("close: %w", err))
	}
}
