package grep

import (
	"bytes"
	"slices"
)

// finder finds the first of some literals in a text, from the left to the right.
type finder struct {
	bytes   byteCounts
	needles []needle
	also    [][]needle // of each there is one in every match, too
	next    []int      // by literal, where it is next; len(text) where it is not
	text    []byte
}

// newFinder returns a finder of what the matches of p must have.
func newFinder(p *Pattern) finder {
	f := finder{needles: newNeedles(&p.required), next: make([]int, len(p.required.text))}
	for i := range p.also {
		f.also = append(f.also, newNeedles(&p.also[i]))
	}
	return f
}

func newNeedles(l *literals) (needles []needle) {
	for _, literal := range l.text {
		needles = append(needles, newNeedle(literal, l.fold))
	}
	return needles
}

// mayMatch reports whether a part of the text has all that a match must have beside what
// find finds.
func (f *finder) mayMatch(from, to int) bool {
	for _, needles := range f.also {
		if !slices.ContainsFunc(needles, func(n needle) bool { return n.index(f.text[:to], from) < to }) {
			return false
		}
	}
	return true
}

// begin says in which text, which the finder keeps until the next begin.
func (f *finder) begin(text []byte) {
	if f.bytes.add(text) {
		for i := range f.needles {
			f.needles[i].choose(&f.bytes)
		}
		for _, needles := range f.also {
			for i := range needles {
				needles[i].choose(&f.bytes)
			}
		}
	}
	f.text = text
	for i := range f.next {
		f.next[i] = -1
	}
}

// find returns where the first of the literals is that begins at or after from, and the
// length of the text where there is none. from does not go back.
func (f *finder) find(from int) (first int) {
	first = len(f.text)
	for i := range f.needles {
		if f.next[i] < from {
			f.next[i] = f.needles[i].index(f.text, from)
		}
		first = min(first, f.next[i])
	}
	return first
}

// needle is a literal that is looked for by the byte of it that the text has most seldom.
type needle struct {
	text         []byte // in lower case where fold is set
	fold         bool
	rare, second int  // indexes of the two bytes that are most seldom
	upper        byte // the other case of text[rare]; the same where there is none
}

func newNeedle(text []byte, fold bool) needle {
	n := needle{text: text, fold: fold}
	n.choose(&byteCounts{})
	return n
}

// choose chooses the bytes that are looked for.
func (n *needle) choose(counts *byteCounts) {
	seldom := func(not int) (best int) {
		best = -1
		for i, c := range n.text {
			if i != not && (best < 0 || n.count(counts, c) < n.count(counts, n.text[best])) {
				best = i
			}
		}
		return max(best, 0)
	}
	n.rare = seldom(-1)
	n.second = seldom(n.rare)
	n.upper = n.text[n.rare]
	if n.fold {
		n.upper = upper(n.upper)
	}
}

// count returns how often a byte of the literal is in the text.
func (n *needle) count(counts *byteCounts, c byte) uint32 {
	if u := upper(c); n.fold && u != c {
		return counts.of[c] + counts.of[u] + 1 // two searches
	}
	return counts.of[c]
}

// upper returns the upper case of a letter of ASCII.
func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c &^ 0x20
	}
	return c
}

// lower returns the lower case of a letter of ASCII.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// index returns where the literal begins first at or after from, and the length of the text
// where it does not.
func (n *needle) index(text []byte, from int) int {
	last := len(text) - len(n.text) // the last place at which it may begin
	if from > last {
		return len(text)
	}
	end := last + n.rare + 1
	c, u := n.text[n.rare], n.upper
	nextLower, nextUpper := -1, end
	if u != c {
		nextUpper = -1
	}
	failed := 0
	for at := from + n.rare; at < end; at++ {
		if nextLower < at {
			nextLower = indexFrom(text[:end], at, c)
		}
		if nextUpper < at {
			nextUpper = indexFrom(text[:end], at, u)
		}
		if at = min(nextLower, nextUpper); at >= end {
			break
		}
		if start := at - n.rare; n.is(text[start : start+len(n.text)]) {
			return start
		}
		if failed++; !n.fold && failed > 16+(at-from)/32 {
			if i := bytes.Index(text[at-n.rare+1:], n.text); i >= 0 {
				return at - n.rare + 1 + i
			}
			break
		}
	}
	return len(text)
}

// indexFrom returns where a byte is first at or after from, and the length of the text
// where it is not.
func indexFrom(text []byte, from int, c byte) int {
	if i := bytes.IndexByte(text[from:], c); i >= 0 {
		return from + i
	}
	return len(text)
}

// is reports whether a text of the same length is the literal.
func (n *needle) is(text []byte) bool {
	if !n.fold {
		return text[n.second] == n.text[n.second] && bytes.Equal(text, n.text)
	}
	if lower(text[n.second]) != n.text[n.second] {
		return false
	}
	for i, c := range n.text {
		if lower(text[i]) != c {
			return false
		}
	}
	return true
}

// byteCounts counts bytes of a sample of what is searched.
type byteCounts struct {
	of     [256]uint32
	texts  int // that there were
	at     int // of texts: when the next one is sampled
	counts int // texts that were sampled
}

const (
	sampledTexts = 256 // at most
	sampledBytes = 512 // of a text, at most
)

// add samples a text, or not. It reports whether to choose anew.
func (c *byteCounts) add(text []byte) bool {
	c.texts++
	if c.texts <= c.at || c.counts == sampledTexts {
		return false
	}
	c.counts++
	c.at = c.texts + c.texts/16 // the first ones, and then one now and then
	from := max(0, len(text)/2-sampledBytes/2)
	if c.counts%2 == 0 {
		from = 0
	}
	for _, b := range text[from:min(len(text), from+sampledBytes)] {
		c.of[b]++
	}
	return c.counts&(c.counts-1) == 0
}
