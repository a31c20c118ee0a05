package query

import (
	"fmt"
	"strings"
	"unicode"
)

// Error says what is wrong with an expression, and where.
type Error struct {
	Message string
	Text    string // the expression as it was typed
	Line    int    // from 1
	Column  int    // in characters, from 1
}

// snippetWidth is how many characters of a line an error shows at most.
const snippetWidth = 72

// newError returns an error at a character of text, counted from 0.
func newError(text string, offset int, format string, args ...any) *Error {
	e := &Error{Message: fmt.Sprintf(format, args...), Text: text, Line: 1, Column: 1}
	for i, r := range []rune(text) {
		if i == offset {
			break
		}
		e.Column++
		if r == '\n' {
			e.Line, e.Column = e.Line+1, 1
		}
	}
	return e
}

// Error returns the message with the position, and below it the line with a mark under the position.
func (e *Error) Error() string {
	line, column := e.line()
	if line == "" {
		return fmt.Sprintf("%s (%d:%d)", e.Message, e.Line, e.Column)
	}
	columns := 0
	for i, r := range []rune(line) {
		if i == column {
			break
		}
		columns++
		if unicode.Is(wide, r) {
			columns++
		}
	}
	return fmt.Sprintf("%s (%d:%d)\n | %s\n | %s^", e.Message, e.Line, e.Column, line, strings.Repeat(".", max(columns, column)))
}

// wide are characters that a terminal shows two columns wide.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x1100, Hi: 0x115f, Stride: 1}, {Lo: 0x2e80, Hi: 0xa4cf, Stride: 1}, {Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1}, {Lo: 0xfe30, Hi: 0xfe6f, Stride: 1}, {Lo: 0xff00, Hi: 0xff60, Stride: 1}, {Lo: 0xffe0, Hi: 0xffe6, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x1f300, Hi: 0x1faff, Stride: 1}, {Lo: 0x20000, Hi: 0x3fffd, Stride: 1}},
}

// line returns what is shown of the line of the error, and the column in it from 0.
func (e *Error) line() (string, int) {
	lines := strings.Split(e.Text, "\n")
	if e.Line > len(lines) {
		return "", 0
	}
	shown, column := []rune(lines[e.Line-1]), e.Column-1
	for i, r := range shown {
		if !unicode.IsPrint(r) {
			shown[i] = ' ' // also what a terminal would obey
		}
	}
	if from := column - snippetWidth/2; from > 0 && len(shown) > snippetWidth {
		from = min(from, len(shown)-snippetWidth)
		shown, column = shown[from:], column-from
		shown[0] = '…'
	}
	if len(shown) > snippetWidth {
		shown = shown[:snippetWidth]
		shown[snippetWidth-1] = '…'
	}
	return string(shown), column
}

// closest returns the name that word was probably meant to be, or "".
func closest(word string, names []string) string {
	best, bestDistance := "", 1+len(word)/3
	for _, name := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance returns how many letters must be changed, added, removed or swapped with
// their neighbour to make b of a. Words that are too long for a name are far from all.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	var before, last, row [41]int
	for j := range row {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// didYouMean returns a question for the error about an unknown word, or "".
func didYouMean(word string, names []string) string {
	if name := closest(word, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return ""
}
