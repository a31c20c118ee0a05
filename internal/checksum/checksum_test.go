package checksum

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// reference is the checksum field of b by its definition.
func reference(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// stored is what a packet has whose field is stored as Field says.
func stored(s Sum) uint16 {
	var b [2]byte
	binary.LittleEndian.PutUint16(b[:], s.Field())
	return binary.BigEndian.Uint16(b[:])
}

// content returns n bytes: any, or such that carry all the way.
func content(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	ones := r.IntN(3) == 0
	for i := range b {
		if b[i] = 0xff; !ones {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

func TestSumMatchesDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		b := content(r, n)
		cut := r.IntN(n/2+1) * 2
		s := Sum(0).Add(b[:cut]).Add(b[cut:])
		if got, want := stored(s), reference(b); got != want {
			t.Fatalf("%d bytes cut at %d: %04x, want %04x", n, cut, got, want)
		}
		if got, want := stored(Sum(s.Fold())), reference(b); got != want {
			t.Fatalf("%d bytes, folded: %04x, want %04x", n, got, want)
		}
	}
}

func TestSumsOfNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 1000 {
		b := content(r, 6)
		got := stored(Of32(binary.BigEndian.Uint32(b)).Plus(Of16(binary.BigEndian.Uint16(b[4:]))))
		if want := reference(b); got != want {
			t.Fatalf("%x: %04x, want %04x", b, got, want)
		}
	}
}

// checkCopy copies b in two parts to the place at in memory and compares.
func checkCopy(b []byte, at, cut int, far bool) error {
	mem := bytes.Repeat([]byte{0xa5}, at+len(b)+100)
	dst := mem[at : at+len(b)]
	s := Sum(0).Copy(dst, b[:cut], 0, far)
	s = s.Copy(dst[cut:], b[cut:], cut, far)
	if !bytes.Equal(dst, b) {
		return fmt.Errorf("%d bytes to %d, cut at %d, far %v: copied wrongly", len(b), at, cut, far)
	}
	if got, want := stored(s), reference(b); got != want {
		return fmt.Errorf("%d bytes to %d, cut at %d, far %v: %04x, want %04x", len(b), at, cut, far, got, want)
	}
	for i, c := range mem {
		if (i < at || i >= at+len(b)) && c != 0xa5 {
			return fmt.Errorf("%d bytes to %d, cut at %d, far %v: byte %d beside them is written", len(b), at, cut, far, i)
		}
	}
	return nil
}

func TestCopiesAndSums(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 6000 {
		n := r.IntN(400)
		if i%4 == 0 {
			n = r.IntN(3 * farMin)
		}
		if err := checkCopy(content(r, n), r.IntN(130), r.IntN(n+1), i%3 > 0); err != nil {
			t.Fatal(err)
		}
	}
}

// The way for processors without AVX2 does the same.
func TestPlainCopiesAndSums(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		b := content(r, r.IntN(4*farMin))
		dst := make([]byte, len(b))
		if got, want := stored(copySumPlain(dst, b)), reference(b); got != want || !bytes.Equal(dst, b) {
			t.Fatalf("%d bytes: %04x, want %04x; copied: %v", len(b), got, want, bytes.Equal(dst, b))
		}
	}
}

func TestSumsLongCopies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	b := bytes.Repeat([]byte{0xff}, 16<<20)
	copy(b[r.IntN(1<<20):], content(r, 1<<20))
	for _, far := range []bool{false, true} {
		if err := checkCopy(b, 4, 0, far); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	data := make([]byte, 16<<10)
	b.SetBytes(int64(len(data)))
	for range b.N {
		Sum(0).Add(data)
	}
}

// Copies to memory that no cache has, as batches are.
func BenchmarkCopy(b *testing.B) {
	mem := make([]byte, 64<<20)
	for _, size := range []int{1 << 10, 4 << 10, 16 << 10} {
		src := make([]byte, size)
		for name, f := range map[string]func(dst []byte){
			"copy":         func(dst []byte) { copy(dst, src) },
			"near":         func(dst []byte) { Sum(0).Copy(dst, src, 0, false) },
			"far":          func(dst []byte) { copySum(dst, src, true) },
			"copy and sum": func(dst []byte) { copySumPlain(dst, src) },
		} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, name), func(b *testing.B) {
				b.SetBytes(int64(size))
				at := 4
				for range b.N {
					f(mem[at : at+size])
					if at += size + 128; at+size > len(mem) {
						at = 4
					}
				}
			})
		}
	}
}
