package pcapng

import (
	"encoding/binary"
	"math/bits"
)

// byteOrder is that of a section's numbers: little-endian unless big is set. It is no
// binary.ByteOrder, because a call through an interface costs more than the reading.
type byteOrder struct{ big bool }

// Uint16 returns the number that begins b.
func (o byteOrder) Uint16(b []byte) uint16 {
	n := binary.LittleEndian.Uint16(b)
	if o.big {
		n = bits.ReverseBytes16(n)
	}
	return n
}

// Uint32 returns the number that begins b.
func (o byteOrder) Uint32(b []byte) uint32 {
	n := binary.LittleEndian.Uint32(b)
	if o.big {
		n = bits.ReverseBytes32(n)
	}
	return n
}

// Uint64 returns the number that begins b.
func (o byteOrder) Uint64(b []byte) uint64 {
	n := binary.LittleEndian.Uint64(b)
	if o.big {
		n = bits.ReverseBytes64(n)
	}
	return n
}
