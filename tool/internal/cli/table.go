package cli

import (
	"io"
	"strings"
	"unicode/utf8"
)

// sampleRows is how many rows a table looks at before it decides on the widths
// of its columns: a table may have millions.
const sampleRows = 500

// table writes rows with aligned columns.
type table struct {
	w      io.Writer
	right  []bool // columns that are aligned to the right
	widths []int  // in characters, once started
	rows   [][]string
	line   []byte
	err    error
}

// newTable returns a table with these headings. Those that begin with ">" are of
// columns that are aligned to the right.
func newTable(w io.Writer, headings ...string) *table {
	t := &table{w: w, right: make([]bool, len(headings))}
	for i, h := range headings {
		headings[i], t.right[i] = strings.CutPrefix(h, ">")
	}
	t.rows = append(t.rows, headings)
	return t
}

// add adds a row. Cells must be printable.
func (t *table) add(cells ...string) error {
	if t.widths != nil {
		t.write(cells)
		return t.err
	}
	t.rows = append(t.rows, cells)
	if len(t.rows) > sampleRows {
		t.start()
	}
	return t.err
}

// start decides on the widths and writes the rows so far.
func (t *table) start() {
	t.widths = make([]int, len(t.right))
	for _, row := range t.rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		t.write(row)
	}
	t.rows = nil
}

func (t *table) write(cells []string) {
	t.line = t.line[:0]
	for i, cell := range cells {
		if i > 0 {
			t.line = append(t.line, "  "...)
		}
		pad := max(t.widths[i]-utf8.RuneCountInString(cell), 0)
		if t.right[i] {
			t.line = appendSpaces(t.line, pad)
		}
		t.line = append(t.line, cell...)
		if !t.right[i] && i < len(cells)-1 {
			t.line = appendSpaces(t.line, pad)
		}
	}
	t.line = append(t.line, '\n')
	if _, err := t.w.Write(t.line); t.err == nil {
		t.err = err
	}
}

func appendSpaces(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, ' ')
	}
	return dst
}

// empty reports whether no row was added.
func (t *table) empty() bool { return t.widths == nil && len(t.rows) == 1 }

// end writes the rows that add has kept.
func (t *table) end() error {
	if t.widths == nil {
		t.start()
	}
	return t.err
}
