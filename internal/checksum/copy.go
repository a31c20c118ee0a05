package checksum

import "math/bits"

// Copy copies src to dst, which is as long at least, and returns the sum with src
// behind the n bytes that it is of, an odd number too.
//
// When far is true, nobody is expected to read dst soon, and long copies go past the
// processor's caches: that spares what is there, and the time to fetch what is
// overwritten. They are as visible to others as an ordinary copy when Copy returns.
func (s Sum) Copy(dst, src []byte, n int, far bool) Sum {
	t := copySum(dst[:len(src)], src, far && len(src) >= farMin)
	if n%2 != 0 {
		// RFC 1071, 2(B): swapping the bytes of all words swaps those of the sum.
		t = Sum(bits.ReverseBytes16(t.Fold()))
	}
	return s.Plus(t)
}

// farMin is how many bytes make it worth to pass the caches: the end of such a copy
// waits about 100 ns until the memory has all.
const farMin = 4 << 10

// copySumPlain copies src to dst, in parts that stay in the first-level cache until
// they are summed.
func copySumPlain(dst, src []byte) (s Sum) {
	const part = 4 << 10
	for len(src) > part {
		copy(dst, src[:part])
		s = s.Add(src[:part])
		dst, src = dst[part:], src[part:]
	}
	copy(dst, src)
	return s.Add(src)
}
