package spill

import (
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
)

// all returns the numbers of a hash, sorted.
func all(t *testing.T, x *Index, hash uint64) (numbers []uint64) {
	t.Helper()
	for nth := 0; ; nth++ {
		n, ok, err := x.Find(hash, nth)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			slices.Sort(numbers)
			return numbers
		}
		numbers = append(numbers, n)
	}
}

// An Index is what a map is, whatever the hashes are: spread, the same for many keys, or
// with the same beginning, and when most of its pages are in the file.
func TestIndexIsAMap(t *testing.T) {
	const few, many = 2 * pageSize, 64 << 20 // bytes in memory
	for _, c := range []struct {
		name   string
		memory int
		hash   func(*rand.Rand) uint64
	}{
		{"spread", many, (*rand.Rand).Uint64},
		{"spread, in the file", few, (*rand.Rand).Uint64},
		{"some alike", few, func(r *rand.Rand) uint64 { return (r.Uint64N(2000) * 0x9e3779b97f4a7c15) >> 24 << 24 }},
		{"one beginning", few, func(r *rand.Rand) uint64 { return 0xab<<56 | r.Uint64()>>8 }},
		{"all ones or zeros first", few, func(r *rand.Rand) uint64 {
			h := r.Uint64() >> 8
			if h&1 == 0 {
				h = ^h
			}
			return h
		}},
	} {
		t.Setenv("TMPDIR", t.TempDir())
		pages := NewPages(c.memory)
		x, other := NewIndex(pages), NewIndex(pages)
		rng := rand.New(rand.NewPCG(1, 2))
		want := map[uint64][]uint64{} // by the bits that count
		var hashes []uint64
		for i := range 20_000 {
			if i%3 == 2 {
				h := hashes[rng.IntN(len(hashes))]
				if numbers := want[h>>24]; len(numbers) > 0 {
					if err := x.Remove(h, numbers[0]); err != nil {
						t.Fatal(err)
					}
					want[h>>24] = numbers[1:]
				}
				if err := x.Remove(h, MaxNumber); err != nil { // which is not there
					t.Fatal(err)
				}
				continue
			}
			h, number := c.hash(rng), uint64(i)<<16
			if err := x.Add(h, number); err != nil {
				t.Fatal(err)
			}
			if err := other.Add(h, 1); i%10 == 0 && err != nil {
				t.Fatal(err)
			}
			want[h>>24] = append(want[h>>24], number)
			hashes = append(hashes, h)
		}
		other.Clear()
		for _, h := range hashes {
			if got := all(t, x, h); !slices.Equal(got, want[h>>24]) {
				t.Fatalf("%s: %x has %d, want %d", c.name, h, got, want[h>>24])
			}
		}
		if got := all(t, other, hashes[0]); len(got) > 0 {
			t.Errorf("%s: after Clear there is %d", c.name, got)
		}
		if c.memory == few && (len(pages.frames) != 2 || pages.file == nil) {
			t.Errorf("%s: %d pages in memory, want 2", c.name, len(pages.frames))
		}
		x.Clear()
		if len(pages.free) != len(pages.where) {
			t.Errorf("%s: %d pages are not in use, want %d", c.name, len(pages.free), len(pages.where))
		}
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("files with names: %v, %v", left, err)
		}
		if err := pages.Close(); err != nil {
			t.Error(err)
		}
	}
}

// More keys with one hash than fit into a page are an error, not a loop.
func TestTooManyKeysWithOneHash(t *testing.T) {
	x := NewIndex(NewPages(1 << 30))
	var err error
	n := 0
	for ; err == nil && n < 10_000; n++ {
		err = x.Add(42<<20, uint64(n))
	}
	if err == nil || n != mostInPage+1 {
		t.Errorf("error %v with %d entries, want one with %d", err, n, mostInPage+1)
	}
	if err := x.Add(0, MaxNumber+1); err == nil {
		t.Error("a number that is too large is no error")
	}
}

// Numbers of a Queue keep their positions, and Pages are used again.
func TestQueue(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	pages := NewPages(3 * pageSize)
	q, other := NewQueue(pages), NewQueue(pages)
	rng := rand.New(rand.NewPCG(3, 4))
	var want []uint64 // from the first position on
	var first uint64
	for i := range 100_000 {
		switch p := rng.IntN(10); {
		case p < 2 && len(want) > 0 || len(want) > 20_000:
			q.Remove()
			want, first = want[1:], first+1
		case p < 4 && len(want) > 0:
			j := rng.IntN(len(want))
			want[j] = rng.Uint64()
			if err := q.Set(first+uint64(j), want[j]); err != nil {
				t.Fatal(err)
			}
		case i%5000 == 4999:
			q.Clear()
			first += uint64(len(want))
			want = nil
		default:
			v := rng.Uint64()
			at, err := q.Add(v)
			if err != nil || at != first+uint64(len(want)) {
				t.Fatalf("position %d, %v, want %d", at, err, first+uint64(len(want)))
			}
			want = append(want, v)
			if _, err := other.Add(1); err != nil {
				t.Fatal(err)
			}
			other.Remove()
		}
		if q.Len() != len(want) || q.First() != first {
			t.Fatalf("%d numbers from %d on, want %d from %d on", q.Len(), q.First(), len(want), first)
		}
		if len(want) > 0 {
			j := rng.IntN(len(want))
			if got, err := q.Get(first + uint64(j)); err != nil || got != want[j] {
				t.Fatalf("number %d is %x, %v, want %x", j, got, err, want[j])
			}
		}
	}
	if most := 20_000/inPart + 4; len(pages.where) > most {
		t.Errorf("%d pages, want %d at most", len(pages.where), most)
	}
	if err := pages.Close(); err != nil {
		t.Error(err)
	}
}

// Where the file cannot be written, all pages stay in memory.
func TestPagesWithoutATemporaryFile(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/null/none")
	x := NewIndex(NewPages(0))
	rng := rand.New(rand.NewPCG(5, 6))
	hashes := make([]uint64, 5000)
	for i := range hashes {
		hashes[i] = rng.Uint64()
		if err := x.Add(hashes[i], uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, h := range hashes {
		if got := all(t, x, h); !slices.Equal(got, []uint64{uint64(i)}) {
			t.Fatalf("%x has %d, want %d", h, got, i)
		}
	}
}

// Memory does not grow with the number of entries, but for a byte or so.
func TestMemoryOfManyEntries(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const inMemory, n = 16 * pageSize, 100_000
	before := heapInUse()
	pages := NewPages(inMemory)
	x, q := NewIndex(pages), NewQueue(pages)
	for i := range uint64(n) {
		at, err := q.Add(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Add(i*0x9e3779b97f4a7c15, at); err != nil {
			t.Fatal(err)
		}
	}
	if more, most := heapInUse()-before, int64(2*inMemory+n); more > most {
		t.Errorf("%d bytes, want %d at most", more, most)
	}
	if got := all(t, x, 7*0x9e3779b97f4a7c15&(1<<64-1)); len(got) != 1 || got[0] != 7 {
		t.Errorf("the eighth entry is %d", got)
	}
	if err := pages.Close(); err != nil {
		t.Error(err)
	}
}

// heapInUse returns how many bytes are in use after a collection.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
