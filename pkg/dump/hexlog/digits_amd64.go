package hexlog

import "golang.org/x/sys/cpu"

// hexBlock is how many bytes hexBlocks encodes at a time.
const hexBlock = 16

// encodeHexBlocks writes the text of the first n bytes of data to out, each byte as
// two digits and a space, and returns n: as many as can be had fast.
func encodeHexBlocks(out, data []byte) (n int) {
	if n = len(data) &^ (hexBlock - 1); n == 0 || !cpu.X86.HasAVX {
		return 0
	}
	_ = out[3*n-1]
	hexBlocks(&out[0], &data[0], n)
	return n
}

// hexBlocks writes the text of n bytes, a multiple of hexBlock but not 0.
//
//go:noescape
func hexBlocks(dst, src *byte, n int)
