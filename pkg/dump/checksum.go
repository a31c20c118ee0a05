package dump

import (
	"encoding/binary"
	"math/bits"
)

// inetSum adds b to a running Internet checksum (RFC 1071) and returns the new
// one. What came before b must have had an even number of bytes. The sum is kept
// in 64 bits of one's complement over little-endian words: its value is that of
// the big-endian sum with the bytes swapped, so that inetFold's result is stored
// little-endian and needs no swap.
func inetSum(sum uint64, b []byte) uint64 {
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
	sum, carry = bits.Add64(sum, tail, 0)
	return sum + carry
}

// inetFold closes a sum of inetSum: the result is the checksum field, to be
// stored little-endian.
func inetFold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum)
}
