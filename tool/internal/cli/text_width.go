package cli

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// ellipsis is in the place of what a cell has no room for.
const ellipsis = "…"

// textWidth returns how many columns of a terminal s covers. s is printable.
func textWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	if r < utf8.RuneSelf {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	if kind := width.LookupRune(r).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// shorten returns s in at most columns columns. What has no room is left out at the end,
// with an ellipsis in its place.
func shorten(s string, columns int) string {
	switch {
	case textWidth(s) <= columns:
		return s
	case columns < 1:
		return ""
	}
	return headOf(s, columns-1) + ellipsis
}

// shortenMiddle is shorten for texts whose end matters too, such as addresses with ports.
func shortenMiddle(s string, columns int) string {
	switch {
	case textWidth(s) <= columns:
		return s
	case columns < 1:
		return ""
	}
	tail := (columns - 1) / 2
	return headOf(s, columns-1-tail) + ellipsis + tailOf(s, tail)
}

// headOf returns as much of the beginning of s as has room in columns columns.
func headOf(s string, columns int) string {
	for i, r := range s {
		if columns -= runeWidth(r); columns < 0 {
			return s[:i]
		}
	}
	return s
}

// tailOf returns as much of the end of s as has room in columns columns.
func tailOf(s string, columns int) string {
	for over := textWidth(s) - columns; over > 0; {
		r, n := utf8.DecodeRuneInString(s)
		over -= runeWidth(r)
		s = s[n:]
	}
	return s
}
