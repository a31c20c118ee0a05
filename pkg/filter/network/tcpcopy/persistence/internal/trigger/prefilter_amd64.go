package trigger

import "golang.org/x/sys/cpu"

// fast returns the first block of p between at and end with places where a window may be,
// and the set of these places; an empty set, and how far it has looked, if there are none. It
// reads no byte behind the second one from end on.
func (f *prefilter) fast(p []byte, at, end int) (int, uint32) {
	if !cpu.X86.HasAVX2 || end-at < block {
		return at, 0
	}
	n := (end - at) &^ (block - 1)
	found, set := findWindows(&f.tables, &p[at], n)
	if at += found; set != 0 || at == end {
		return at, set
	}
	// The rest is less than a block: it is looked at together with places before it.
	_, set = findWindows(&f.tables, &p[end-block], block)
	if set &= ^uint32(0) << (block - (end - at)); set == 0 {
		return end, 0
	}
	return end - block, set
}

// findWindows looks at n places, a multiple of 32 but not 0. It reads n+2 bytes.
//
//go:noescape
func findWindows(t *tables, p *byte, n int) (at int, set uint32)
