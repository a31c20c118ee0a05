package dump

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestInetSumMatchesDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
			if n%3 == 0 {
				b[i] = 0xff // carries all the way
			}
		}
		var want uint32
		for i, c := range b {
			if i%2 == 0 {
				want += uint32(c) << 8
			} else {
				want += uint32(c)
			}
		}
		want = want>>16 + want&0xffff
		want = want>>16 + want&0xffff

		var got [2]byte
		cut := rng.IntN(n/2+1) * 2
		binary.LittleEndian.PutUint16(got[:], inetFold(inetSum(inetSum(0, b[:cut]), b[cut:])))
		if g := binary.BigEndian.Uint16(got[:]); g != ^uint16(want) {
			t.Fatalf("%d bytes cut at %d: sum %04x, want %04x", n, cut, g, ^uint16(want))
		}
	}
}
