// Package checksum computes the Internet checksum (RFC 1071), also while the bytes
// are copied.
package checksum

import (
	"encoding/binary"
	"math/bits"
)

// Sum is a running one's complement sum, kept in 64 bits over little-endian words:
// its value is that of the big-endian sum with the bytes swapped, so that what Field
// returns is stored little-endian and needs no swap. The zero Sum is that of nothing.
type Sum uint64

// Add returns the sum with b behind what it is of, which must be an even number of
// bytes.
func (s Sum) Add(b []byte) Sum {
	sum := uint64(s)
	var carry uint64
	for len(b) >= 64 {
		w := b[:64:64]
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[0:]), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[8:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[16:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[24:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[32:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[40:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[48:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(w[56:]), carry)
		sum += carry // cannot carry again: a sum that carried is at most 2^64-2
		b = b[64:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	return Sum(sum).Plus(Sum(tail))
}

// Plus returns the sum of what both are of, one behind the other. s must be of an
// even number of bytes.
func (s Sum) Plus(t Sum) Sum {
	sum, carry := bits.Add64(uint64(s), uint64(t), 0)
	return Sum(sum + carry)
}

// Of16 returns the sum of a big-endian number of 16 bits.
func Of16(n uint16) Sum { return Sum(bits.ReverseBytes16(n)) }

// Of32 returns the sum of a big-endian number of 32 bits.
func Of32(n uint32) Sum { return Sum(bits.ReverseBytes32(n)) }

// Fold returns the sum in 16 bits, which is the same to Field and Plus.
func (s Sum) Fold() uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// Field returns the checksum field, to be stored little-endian.
func (s Sum) Field() uint16 { return ^s.Fold() }
