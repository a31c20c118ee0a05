package trigger

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// prefilter finds the places where patterns may be. It looks for three bytes of each
// pattern at all places at once, as Teddy does, the algorithm of Hyperscan
// (https://github.com/intel/hyperscan, src/fdr/teddy.c): a table for each half of each of the
// three bytes has the set of the buckets that allow it. It is immutable.
type prefilter struct {
	tables  tables
	buckets [numBuckets][]int16 // patterns
	short   []int16             // patterns of less than window bytes
}

const (
	numBuckets = 8
	window     = 3
	block      = 32 // places that are looked at at once
)

// tables has, for each byte of a window and each half of it, lower first, a bit for each
// bucket that allows the half. Each is there twice, for both halves of a register.
type tables [window][2][block]byte

// newPrefilter returns the prefilter for those of the patterns that are of the triggers in
// active. It is nil if there are none.
func newPrefilter(patterns []pattern, active uint64) *prefilter {
	f := &prefilter{}
	var chosen []int16
	for i := range patterns {
		if patterns[i].owners&active != 0 {
			chosen = append(chosen, int16(i)) //nolint:gosec // maxPatternBytes bounds it
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	// Patterns with like windows share a bucket.
	slices.SortStableFunc(chosen, func(a, b int16) int {
		return slices.Compare(patterns[a].windowBytes(), patterns[b].windowBytes())
	})
	for k, i := range chosen {
		bucket := k * numBuckets / max(len(chosen), numBuckets)
		f.buckets[bucket] = append(f.buckets[bucket], i)
		w := patterns[i].windowBytes()
		if len(w) < window {
			f.short = append(f.short, i)
		}
		for at := range window {
			for half := range 16 {
				for side := range 2 {
					if at >= len(w) || int(w[at]>>(4*side)&15) == half {
						f.tables[at][side][half] |= 1 << bucket
						f.tables[at][side][half+16] |= 1 << bucket
					}
				}
			}
		}
	}
	return f
}

// windowBytes returns the bytes of the pattern that the prefilter looks for.
func (p *pattern) windowBytes() []byte {
	return []byte(p.text[p.window:min(p.window+window, len(p.text))])
}

// chooseWindow returns where in a text the three bytes are that are rarest in traffic.
func chooseWindow(text string) int {
	best, rarest := 0, 1<<30
	for at := 0; at+window <= len(text); at++ {
		a, b, c := text[at], text[at+1], text[at+2]
		common := frequency(a) + frequency(b) + frequency(c)
		if a == b && b == c {
			common += 200 // lines of dashes, padding
		}
		if common < rarest {
			best, rarest = at, common
		}
	}
	return best
}

// frequency returns how frequent a byte is in what proxies pass on, roughly: text, JSON, header fields and frames
// of binary protocols. It is a logarithm.
func frequency(b byte) int {
	switch {
	case b == 0 || b == ' ' || b == 'e':
		return 100
	case 'a' <= b && b <= 'z':
		const rank = "etaoinsrhldcumfpgwybvkxjqz"
		for i := range len(rank) {
			if rank[i] == b {
				return 95 - 2*i
			}
		}
		return 0
	case '0' <= b && b <= '9', b == '"', b == ',', b == ':':
		return 85
	case b == '-', b == '.', b == '/', b == '_', b == '\r', b == '\n', b == '=', b == 0xff, b == 1:
		return 70
	case 'A' <= b && b <= 'Z':
		return 55
	case b < 0x80:
		return 45
	default:
		return 35
	}
}

// allowed returns the buckets that allow the first three of four bytes, which are in
// little-endian order.
func (t *tables) allowed(four uint32) byte {
	return t[0][0][four&15] & t[0][1][four>>4&15] & t[1][0][four>>8&15] & t[1][1][four>>12&15] & t[2][0][four>>16&15] & t[2][1][four>>20&15]
}

// places returns the first place from at on, and before len(p)-3, where a block begins in
// which there may be windows, and the set of these places in it. It returns len(p)-3 or more if
// there are none.
func (f *prefilter) places(p []byte, at int) (int, uint32) {
	end := len(p) - window
	at, set := f.fast(p, at, end)
	if set != 0 {
		return at, set
	}
	for at < end {
		n := min(block, end-at)
		for i := range n {
			if f.tables.allowed(binary.LittleEndian.Uint32(p[at+i:])) != 0 {
				set |= 1 << i
			}
		}
		if set != 0 {
			return at, set
		}
		at += n
	}
	return at, 0
}

// next removes the first place from a set and returns it.
func next(set *uint32) int {
	i := bits.TrailingZeros32(*set)
	*set &= *set - 1
	return i
}
