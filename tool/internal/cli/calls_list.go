package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/query"
)

// callList receives calls and prints them, or what becomes of them.
type callList interface {
	add(*query.Call, *calls.Call) error
	end() error // it follows the last call
}

// flushCalls prints the rows that a list has kept, before more calls are waited for.
func flushCalls(l callList) error {
	if first, ok := l.(*firstCalls); ok {
		l = first.callList
	}
	if rows, ok := l.(*callRows); ok && rows.table != nil {
		return rows.table.flush()
	}
	return nil
}

// listFlags is the part of a command line that says which calls are listed, and in which
// order.
type listFlags struct {
	sort string
	top  int
	by   string
}

func addListFlags(cmd *cobra.Command) *listFlags {
	l := &listFlags{}
	f := cmd.Flags()
	f.StringVar(&l.sort, "sort", "", "sort by latency, duration or bytes, the largest first, or by `time`, the oldest first")
	f.StringVar(&l.by, "by", "", "one line for each value of these `fields`, separated by commas, such as route or method,status")
	f.IntVar(&l.top, "top", 0, "only the first `n`, after sorting")
	complete(cmd, "sort", oneOf(sortNames()...))
	complete(cmd, "by", severalOf(query.Names()...))
	return l
}

// list returns what the flags say.
func (l *listFlags) list(cmd *cobra.Command, o *output, asJSON, follow bool) (callList, error) {
	if l.top < 0 || l.top == 0 && cmd.Flags().Changed("top") {
		return nil, misused(cmd, "--top is %d, valid: 1 or more", l.top)
	}
	key := sortKeys[l.sort]
	if l.sort != "" && key == nil {
		return nil, misused(cmd, "--sort is %q, valid: %s", l.sort, strings.Join(sortNames(), ", "))
	}
	if follow && (l.sort != "" || l.by != "") {
		return nil, misused(cmd, "--follow goes on for ever, so that there is no end to sort or to sum up at: leave --sort and --by out")
	}
	if l.by != "" || cmd.Flags().Changed("by") {
		fields, err := query.ParseFields(l.by)
		if err != nil {
			return nil, misused(cmd, "--by: %w", err)
		}
		for i, name := range fields.Names() {
			if slices.Contains(fields.Names()[:i], name) {
				return nil, misused(cmd, "--by is %q, which has %s twice", l.by, name)
			}
		}
		return o.newCallGroups(asJSON, fields, l.sort, l.top), nil
	}
	rows := o.newCallRows(asJSON)
	switch {
	case key != nil && l.top > 0 && l.top <= maxTop:
		return &topCalls{rows: rows, key: key, top: l.top}, nil
	case key != nil:
		return newSortedCalls(cmd.Context(), rows, key, l.top)
	case l.top > 0:
		return &firstCalls{callList: rows, left: l.top, ends: follow}, nil
	}
	return rows, nil
}

// needs returns what the list asks for of a call's content.
func needs(l callList) query.Needs {
	if g, ok := l.(*callGroups); ok {
		return g.fields.Needs()
	}
	return 0
}

// sortKeys have, for each order, the number by which calls are sorted, the smallest
// first. ok is false for calls that come last.
var sortKeys = map[string]func(*calls.Call) (key int64, ok bool){
	"latency":  func(c *calls.Call) (int64, bool) { d, ok := c.Latency(); return -int64(d), ok },
	"duration": func(c *calls.Call) (int64, bool) { d, ok := c.Duration(); return -int64(d), ok },
	"bytes":    func(c *calls.Call) (int64, bool) { return -int64(c.Request.Size() + c.Response.Size()), true },
	"time":     func(c *calls.Call) (int64, bool) { return c.Time().UnixNano(), !c.Time().IsZero() },
}

func sortNames() []string { return []string{"latency", "duration", "time", "bytes"} }

// firstCalls passes the first calls on.
type firstCalls struct {
	callList
	left int
	ends bool // the reading ends with them; else what there is is read to its end, for the coverage
}

func (f *firstCalls) add(row *query.Call, c *calls.Call) error {
	if f.left--; f.left < 0 {
		return nil
	}
	err := f.callList.add(row, c)
	if err == nil && f.ends && f.left == 0 {
		return errEnough
	}
	return err
}

// callRow is a call as it is printed: the cells of a table's row, or JSON.
type callRow struct {
	cells []cell
	json  []byte
}

// callRows prints a row for each call.
type callRows struct {
	o     *output
	table *table // nil for JSON
	buf   []byte
}

func (o *output) newCallRows(asJSON bool) *callRows {
	r := &callRows{o: o}
	if !asJSON {
		r.table = o.newCallTable()
	}
	return r
}

func (r *callRows) add(row *query.Call, c *calls.Call) error { return r.put(r.row(row, c)) }

// row returns the row of a call. Its JSON is valid until the next call of row.
func (r *callRows) row(row *query.Call, c *calls.Call) callRow {
	if r.table != nil {
		return callRow{cells: r.o.callCells(c)}
	}
	r.buf = query.AppendJSON(r.buf[:0], row)
	return callRow{json: r.buf}
}

func (r *callRows) put(row callRow) error {
	if r.table != nil {
		return r.table.add(row.cells...)
	}
	if _, err := r.o.t.stdout.Write(row.json); err != nil {
		return err
	}
	return r.o.t.stdout.WriteByte('\n')
}

func (r *callRows) end() error {
	if r.table == nil || r.table.empty() {
		return nil
	}
	return r.table.end()
}

// newCallTable returns a table for the rows of callCells.
func (o *output) newCallTable() *table {
	clock := time.TimeOnly
	if o.fits(100) {
		clock = "15:04:05.000"
	}
	return o.newTable(
		column{heading: "TIME", clock: clock, right: true},
		column{heading: "CALL", least: 30, middle: true}, // those of recorders' identities are whole
		column{heading: "PROTOCOL", from: 100},
		column{heading: "PEER", least: 15, middle: true, from: 140},
		column{heading: "PORT", from: 120},
		column{heading: "METHOD", least: 7},
		column{heading: "TARGET", least: 8},
		column{heading: "STATUS", least: 6},
		column{heading: "LATENCY", right: true},
		column{heading: "IN", right: true, from: 100},
		column{heading: "OUT", right: true, from: 100},
		column{heading: "NOTE", least: 3},
	)
}

// slow is from which latency on a call counts as slow for its colour.
const slow = time.Second

// callCells returns the cells of a call's row in the table.
func (o *output) callCells(c *calls.Call) []cell {
	colour := o.t.colours()
	status, latency, note := cell{text: printable(c.Status)}, cell{text: "-"}, cell{text: strings.Join(notes(c), ", "), colour: colour.lost}
	if status.text == "" {
		status.text = "-"
	}
	if c.Failed {
		status.colour = colour.failed
	}
	if d, ok := c.Latency(); ok {
		latency.text = fineLength(d)
		if d >= slow {
			latency.colour = colour.slow
		}
	}
	return []cell{
		{at: c.Time()}, {text: printable(c.ID())}, {text: c.Protocol}, {text: printable(c.Peer)}, {text: printable(c.Port)},
		{text: printable(c.Method)}, {text: printable(c.Target)}, status, latency, {text: size(c.Request.Size())}, {text: size(c.Response.Size())}, note,
	}
}

// notes returns what is not known of a call, in words.
func notes(c *calls.Call) []string {
	words := c.Incomplete.Words()
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "_", " ")
	}
	if c.Instead != "" {
		words = append([]string{"not " + c.Instead}, words...)
	}
	return words
}

// fineLength returns a stretch of time with three digits that count.
func fineLength(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d.Nanoseconds())
	case d < 9950*time.Nanosecond:
		return fmt.Sprintf("%.1fµs", d.Seconds()*1e6)
	case d < 999_500*time.Nanosecond:
		return fmt.Sprintf("%.0fµs", d.Seconds()*1e6)
	case d < 9995*time.Microsecond:
		return fmt.Sprintf("%.2fms", d.Seconds()*1e3)
	case d < 99_950*time.Microsecond:
		return fmt.Sprintf("%.1fms", d.Seconds()*1e3)
	case d < 999_500*time.Microsecond:
		return fmt.Sprintf("%.0fms", d.Seconds()*1e3)
	case d < 100*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}
