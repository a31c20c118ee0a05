package grep

import (
	"bytes"
	"encoding/binary"
)

// finder finds literals in a text, from the left to the right.
type finder struct {
	literals *literals
	text     []byte // in lower case where either case matches
	next     []int  // by literal, where it is next; len(text) where it is not
	lower    []byte // memory of text
}

// begin says in which text and from where on. The finder keeps text until the next begin.
func (f *finder) begin(l *literals, text []byte, from int) {
	f.literals, f.text, f.next = l, text, f.next[:0]
	if l.fold {
		f.lower = appendLower(f.lower[:0], text[from:], from)
		f.text = f.lower
	}
	for range l.text {
		f.next = append(f.next, -1)
	}
}

// appendLower appends skip bytes of any content and then text in lower case.
func appendLower(dst, text []byte, skip int) []byte {
	n := skip + len(text)
	if cap(dst) < n {
		dst = make([]byte, n, n+n/4)
	}
	dst = dst[:n]
	out := dst[skip:]
	for len(text) >= 8 {
		const ones = 0x0101010101010101
		w := binary.LittleEndian.Uint64(text)
		low := w & (0x7f * ones)
		atLeastA, aboveZ := low+(0x80-'A')*ones, low+(0x80-'Z'-1)*ones
		upper := (atLeastA &^ aboveZ) &^ w & (0x80 * ones)
		binary.LittleEndian.PutUint64(out, w|upper>>2)
		text, out = text[8:], out[8:]
	}
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		out[i] = c
	}
	return dst
}

// find returns where the first of the literals is that begins at or after from, and the
// length of the text where there is none. from does not go back.
func (f *finder) find(from int) (first int) {
	first = len(f.text)
	for i, literal := range f.literals.text {
		if f.next[i] < from {
			f.next[i] = len(f.text)
			if from <= len(f.text) {
				if at := bytes.Index(f.text[from:], literal); at >= 0 {
					f.next[i] = from + at
				}
			}
		}
		first = min(first, f.next[i])
	}
	return first
}
