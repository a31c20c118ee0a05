package dump

import (
	"slices"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Windows rebuilds the lines of an index from records, for directories whose
// index is missing. What only the recorder knew stays empty: the trigger, and
// losses that no record mentions.
type Windows struct {
	streams *Streams
	lines   map[windowKey]*layout.WindowLine
	order   []*layout.WindowLine // of lines, by first record

	last    *layout.WindowLine // of lastKey; nil before the first
	lastKey windowKey
}

// windowKey names a window of a process: each has a UUID of its own, but somebody may
// have copied files of several processes together.
type windowKey struct{ window, run string }

// NewWindows returns Windows without a line.
func NewWindows() *Windows {
	w := &Windows{lines: map[windowKey]*layout.WindowLine{}}
	w.streams = NewStreams(w.event, w.done)
	return w
}

// Add gives w the next record, in a Reader's order. It does not keep r.
func (w *Windows) Add(r *record.Record) {
	_ = w.streams.Add(r) // neither event nor done fails
}

// Lines returns the windows by the time of their first records. Call it after the last
// record; the lines are the caller's.
func (w *Windows) Lines() []*layout.WindowLine {
	_ = w.streams.Finish() // done does not fail
	slices.SortStableFunc(w.order, func(a, b *layout.WindowLine) int { return a.Opened.Compare(b.Opened) })
	return w.order
}

// event counts what passed and what was lost.
func (w *Windows) event(c *Connection, r *record.Record) error {
	line := w.line(c)
	switch {
	case r.Kind == record.KindData && r.Length > 0:
		line.Records.Add(r.Direction, 1)
		line.Seen.Add(r.Direction, r.Length)
		line.Written.Add(r.Direction, r.Length)
	case r.Kind == record.KindGap:
		line.Seen.Add(r.Direction, r.Length)
		line.Lost.Add(r.Direction, r.Length)
		if _, known := line.LostBy[r.Reason]; known || len(line.LostBy) < maxListed {
			line.LostBy[r.Reason] += r.Length
		}
	}
	return nil
}

// maxListed bounds a window's lists of ports and of reasons, whatever a file contains.
const maxListed = 1 << 10

// line returns the line of a connection's window.
func (w *Windows) line(c *Connection) *layout.WindowLine {
	key := windowKey{c.Window, c.run()}
	if c.Legacy {
		key.run = ""
	}
	if w.last != nil && key == w.lastKey {
		return w.last
	}
	line := w.lines[key]
	if line == nil {
		line = &layout.WindowLine{Window: key.window, Run: key.run, Opened: c.First, Closed: c.First, Accounts: record.Accounts{LostBy: map[string]uint64{}}}
		w.lines[key] = line
		w.order = append(w.order, line)
	}
	w.last, w.lastKey = line, key
	return line
}

// done counts a connection and widens its line to the first and last record of it.
func (w *Windows) done(c *Connection) error {
	line := w.line(c)
	if !c.Legacy {
		line.Connections++
	}
	if !slices.Contains(line.Ports, c.Port) && len(line.Ports) < maxListed {
		line.Ports = append(line.Ports, c.Port)
		slices.Sort(line.Ports)
	}
	if c.First.Before(line.Opened) {
		line.Opened = c.First
	}
	if c.Last.After(line.Closed) {
		line.Closed = c.Last
	}
	return nil
}
