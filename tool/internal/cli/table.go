package cli

import (
	"io"
	"time"
)

// sampleRows is how many rows a table looks at before it decides on the widths
// of its columns: a table may have millions.
const sampleRows = 500

// columnGap is how many spaces are between two columns.
const columnGap = 2

// leastOfAny is how narrow a column may become when nothing else helps.
const leastOfAny = 4

// column is a column of a table.
type column struct {
	heading string
	right   bool // its cells are aligned to the right

	// least is how far cells that are too long for the line may be shortened, in columns of
	// the terminal; 0 means not at all, as is right for identities and numbers.
	least  int
	middle bool // they are shortened in the middle, because their ends matter

	from  int    // how wide the line must be for the column to be shown; 0 means any width
	clock string // of a column with times: the layout of the time of day
}

// cell is what a row has in a column.
type cell struct {
	text   string    // printable
	at     time.Time // in a column with times, instead of text
	colour string    // one of colours, or empty
}

// texts returns cells without colour. The texts are printable.
func texts(all ...string) []cell {
	row := make([]cell, len(all))
	for i, s := range all {
		row[i].text = s
	}
	return row
}

// table writes rows with aligned columns, each in one line. A table that is not wide
// shortens cells rather than make a line longer than its limit.
type table struct {
	w       io.Writer
	columns []column // that are shown
	places  []int    // of the cells for columns, in a row
	days    days
	colours colours
	limit   int  // columns of the terminal; 0 means any number
	wide    bool // all columns, whole dates

	rows    [][]cell // that are waiting for start; each has a cell for each of columns
	natural []int    // the widest cell of each column so far
	widths  []int    // of the columns, once started
	line    []byte
	err     error
}

// newTable returns a table on standard output.
func (o *output) newTable(columns ...column) *table {
	t := &table{w: o.t.stdout, days: o.days(), colours: o.t.colours(), limit: o.limit(), wide: o.wide}
	for i, c := range columns {
		if o.fits(c.from) {
			c.right = c.right && !(o.wide && c.clock != "") // whole dates are of one width
			t.columns, t.places = append(t.columns, c), append(t.places, i)
		}
	}
	t.natural = make([]int, len(t.columns))
	return t
}

// add adds a row. It has a cell for each column, also for those that the table does not show.
func (t *table) add(row ...cell) error {
	shown := make([]cell, len(t.columns))
	for i, place := range t.places {
		shown[i] = row[place]
	}
	if t.widths != nil {
		if t.measure(shown) {
			t.fit()
		}
		t.write(shown)
		return t.err
	}
	t.rows = append(t.rows, shown)
	if len(t.rows) >= sampleRows {
		t.start()
	}
	return t.err
}

// start decides on the dates and the widths, and writes the headings and the rows so far.
func (t *table) start() {
	for i := range t.columns {
		if t.columns[i].clock == "" {
			continue
		}
		for _, row := range t.rows {
			t.days.add(row[i].at)
		}
	}
	headings := make([]cell, len(t.columns))
	date := t.days.heading()
	for i := range t.columns {
		headings[i] = cell{text: t.columns[i].heading, colour: t.colours.weak}
		if date != "" && t.columns[i].clock != "" && !t.wide {
			headings[i].text, date = date, "" // once is enough
		}
	}
	rows := append([][]cell{headings}, t.rows...)
	for _, row := range rows {
		t.measure(row)
	}
	t.fit()
	for _, row := range rows {
		t.write(row)
	}
	t.rows = nil
}

// measure makes texts of the times in a row and reports whether a cell is wider than those
// of its column have been.
func (t *table) measure(row []cell) bool {
	wider := false
	for i := range row {
		if c := &row[i]; c.text == "" && t.columns[i].clock != "" {
			c.text = t.days.text(c.at, t.columns[i].clock, t.wide)
		}
		if w := textWidth(row[i].text); w > t.natural[i] {
			t.natural[i], wider = w, true
		}
	}
	return wider
}

// fit sets the widths of the columns so that a line is within the limit.
func (t *table) fit() {
	t.widths = append(t.widths[:0], t.natural...)
	if t.limit == 0 {
		return
	}
	over := columnGap*(len(t.columns)-1) - t.limit
	for _, w := range t.widths {
		over += w
	}
	over = t.narrow(over, func(i int) int {
		if least := t.columns[i].least; least > 0 {
			return least
		}
		return t.natural[i]
	})
	t.narrow(over, func(int) int { return leastOfAny })
}

// narrow makes the columns narrower, the widest first, until they are over columns less or
// as narrow as least allows. It returns how many are still too many.
func (t *table) narrow(over int, least func(i int) int) int {
	for ; over > 0; over-- {
		widest := -1
		for i, w := range t.widths {
			if w > least(i) && (widest < 0 || w > t.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return over
		}
		t.widths[widest]--
	}
	return 0
}

// write writes a row whose times are texts.
func (t *table) write(row []cell) {
	t.line = t.line[:0]
	spaces := 0 // before the next text
	for i := range row {
		c := &t.columns[i]
		cut := shorten
		if c.middle {
			cut = shortenMiddle
		}
		text := cut(row[i].text, t.widths[i])
		padding := t.widths[i] - textWidth(text)
		if c.right {
			spaces += padding
		}
		if text != "" {
			t.line = appendSpaces(t.line, spaces)
			t.line = t.colours.append(t.line, row[i].colour, text)
			spaces = 0
		}
		if !c.right {
			spaces += padding
		}
		spaces += columnGap
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

// flush writes the rows that add has kept, before more come.
func (t *table) flush() error {
	if t.widths == nil && len(t.rows) > 0 {
		t.start()
	}
	return t.err
}

// empty reports whether no row was added.
func (t *table) empty() bool { return t.widths == nil && len(t.rows) == 0 }

// end writes the rows that add has kept. A table without rows writes nothing.
func (t *table) end() error {
	if !t.empty() && t.widths == nil {
		t.start()
	}
	return t.err
}
