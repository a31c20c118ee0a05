package checksum

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// lineSize is that of the processor's caches, bytes.
const lineSize = 64

// copySum copies src to dst, which is as long, past the caches if far is true.
func copySum(dst, src []byte, far bool) (s Sum) {
	if len(src) < 2*lineSize || !cpu.X86.HasAVX2 {
		return copySumPlain(dst, src)
	}
	if far {
		// Lines of dst are written whole. An odd distance to the first one would split
		// words.
		head := int(-uintptr(unsafe.Pointer(&dst[0])) & (lineSize - 1))
		if far = head%2 == 0; far && head > 0 {
			s = copySumPlain(dst[:head], src[:head])
			dst, src = dst[head:], src[head:]
		}
	}
	n := len(src) &^ (lineSize - 1)
	if far {
		s = s.Plus(Sum(copySumFar(&dst[0], &src[0], n)))
	} else {
		s = Sum(copySumNear(&dst[0], &src[0], n))
	}
	if n == len(src) {
		return s
	}
	return s.Plus(copySumPlain(dst[n:], src[n:]))
}

// copySumNear copies n bytes, a multiple of lineSize but not 0, and returns the sum
// of their 32-bit words.
//
//go:noescape
func copySumNear(dst, src *byte, n int) uint64

// copySumFar is copySumNear past the caches. dst is a multiple of lineSize.
//
//go:noescape
func copySumFar(dst, src *byte, n int) uint64
