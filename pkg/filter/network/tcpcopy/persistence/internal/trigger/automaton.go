package trigger

import "slices"

// pattern is a text that is looked for.
type pattern struct {
	text   string
	owners uint64 // the triggers that have it, a bit each
	window int    // offset of the three bytes that the prefilter looks for
}

// automaton is that of Aho and Corasick for the patterns of one direction: its state after
// some bytes is the longest of their suffixes that a pattern begins with. It follows a stream
// across its records. It is immutable.
type automaton struct {
	patterns []pattern
	longest  int // bytes of the longest pattern

	classes [256]uint8 // bytes that no pattern distinguishes are of one class
	width   int        // number of classes
	next    []uint16   // state and class to state
	depth   []uint16   // of each state: how many bytes its prefix has
	ends    []int16    // of each state: the pattern that is its prefix, or -1
	of      []int16    // of each state: a pattern that begins with its prefix
	link    []uint16   // of each state: the longest suffix that is a pattern, 0 if there is none
}

// root is the state before any byte.
const root = 0

// newAutomaton returns the automaton for patterns, which are different texts that are not empty.
func newAutomaton(patterns []pattern) *automaton {
	a := &automaton{patterns: patterns}
	a.classify()
	nodes := 1
	for i := range patterns {
		nodes += len(patterns[i].text)
		a.longest = max(a.longest, len(patterns[i].text))
	}
	a.next = make([]uint16, a.width, nodes*a.width)
	a.depth, a.ends, a.of, a.link = make([]uint16, 1, nodes), []int16{-1}, []int16{0}, make([]uint16, 1, nodes)
	for i := range patterns {
		a.add(i)
	}
	a.close()
	a.next = slices.Clip(a.next)
	return a
}

// classify gives each byte of the patterns a class of its own, and all others class 0. Where all bytes occur,
// there is no other.
func (a *automaton) classify() {
	var occurs [256]bool
	for i := range a.patterns {
		for _, b := range []byte(a.patterns[i].text) {
			occurs[b] = true
		}
	}
	a.width = 1
	if !slices.Contains(occurs[:], false) {
		a.width = 0
	}
	for b, is := range occurs {
		if is {
			a.classes[b] = uint8(a.width) //nolint:gosec // less than 256
			a.width++
		}
	}
}

// add adds the states for a pattern.
func (a *automaton) add(i int) {
	s := 0
	for _, b := range []byte(a.patterns[i].text) {
		at := s*a.width + int(a.classes[b])
		if a.next[at] == root {
			a.next[at] = uint16(len(a.depth)) //nolint:gosec // maxPatternBytes bounds it
			a.next = append(a.next, make([]uint16, a.width)...)
			a.depth = append(a.depth, a.depth[s]+1)
			a.ends = append(a.ends, -1)
			a.of = append(a.of, int16(i)) //nolint:gosec // as above
			a.link = append(a.link, root)
		}
		s = int(a.next[at])
	}
	a.ends[s] = int16(i) //nolint:gosec // as above
}

// close adds the transitions at which a shorter suffix goes on, in the order of the depths.
func (a *automaton) close() {
	fail := make([]uint16, len(a.depth))
	queue := []uint16{}
	for class := range a.width {
		if s := a.next[class]; s != root {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		s := int(queue[0])
		queue = queue[1:]
		f := int(fail[s])
		if a.ends[f] >= 0 {
			a.link[s] = fail[s]
		} else {
			a.link[s] = a.link[f]
		}
		for class := range a.width {
			to := &a.next[s*a.width+class]
			shorter := a.next[f*a.width+class]
			if *to == root {
				*to = shorter
				continue
			}
			fail[*to] = shorter
			queue = append(queue, *to)
		}
	}
}

// step returns the state after one more byte.
func (a *automaton) step(s uint16, b byte) uint16 {
	return a.next[int(s)*a.width+int(a.classes[b])]
}

// run returns the state after more bytes.
func (a *automaton) run(s uint16, p []byte) uint16 {
	for _, b := range p {
		s = a.next[int(s)*a.width+int(a.classes[b])]
	}
	return s
}

// prefix returns the bytes that a state stands for.
func (a *automaton) prefix(s uint16) []byte { return []byte(a.patterns[a.of[s]].text[:a.depth[s]]) }

// each calls found with each pattern that ends where the state is.
func (a *automaton) each(s uint16, found func(i int)) {
	if a.ends[s] >= 0 {
		found(int(a.ends[s]))
	}
	for s = a.link[s]; s != root; s = a.link[s] {
		found(int(a.ends[s]))
	}
}
