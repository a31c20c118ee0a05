package replay

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"
)

// pingSeeds are what clients sent, with pings and without. The unit test and the
// fuzz target share them.
func pingSeeds(t testing.TB) []struct{ sent, want []byte } {
	t.Helper()
	var seeds []struct{ sent, want []byte }
	for _, pings := range []int{0, 1, 3} {
		sent, want := bytes.NewBufferString(http2.ClientPreface), bytes.NewBufferString(http2.ClientPreface)
		all, kept := http2.NewFramer(sent, nil), http2.NewFramer(want, nil)
		for i := range 3 {
			for _, f := range []*http2.Framer{all, kept} {
				if err := f.WriteData(uint32(2*i+1), i == 2, bytes.Repeat([]byte{6}, i*20)); err != nil {
					t.Fatal(err)
				}
				if err := f.WritePing(true, [8]byte{1, 2}); err != nil {
					t.Fatal(err)
				}
			}
			for range pings {
				if err := all.WritePing(false, [8]byte{3, 4}); err != nil {
					t.Fatal(err)
				}
			}
		}
		seeds = append(seeds, struct{ sent, want []byte }{sent.Bytes(), want.Bytes()})
	}
	return seeds
}

// filterPieces filters what was sent in pieces that rng makes up.
func filterPieces(sent []byte, rng *rand.Rand) []byte {
	f := newPingFilter()
	var got []byte
	for len(sent) > 0 {
		n := 1 + rng.IntN(len(sent))
		got = append(got, f.filter(sent[:n])...)
		sent = sent[n:]
	}
	return got
}

func TestPingsInAnyPiecesAreRemoved(t *testing.T) {
	for i, c := range pingSeeds(t) {
		if got := newPingFilter().filter(c.sent); !bytes.Equal(got, c.want) {
			t.Errorf("case %d: %q, want %q", i, got, c.want)
		}
		for seed := range uint64(100) {
			if got := filterPieces(c.sent, rand.New(rand.NewPCG(seed, 0))); !bytes.Equal(got, c.want) {
				t.Fatalf("case %d, seed %d: %q, want %q", i, seed, got, c.want)
			}
		}
	}
}

// FuzzPingFilter filters anything: the result must not depend on the pieces.
func FuzzPingFilter(f *testing.F) {
	for _, c := range pingSeeds(f) {
		f.Add(c.sent, uint64(1))
	}
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		whole := append([]byte(nil), newPingFilter().filter(sent)...)
		if got := filterPieces(sent, rand.New(rand.NewPCG(seed, 0))); !bytes.Equal(got, whole) {
			t.Errorf("%q in pieces is %q, at once %q", sent, got, whole)
		}
	})
}
