package dump

import (
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Windows rebuilds the lines of an index from records, for directories whose
// index is missing. What only the recorder knew stays empty: the trigger, and
// losses that no record tells of.
type Windows struct {
	tracker *Tracker
	lines   map[windowKey]*layout.WindowLine
	order   []*layout.WindowLine
	last    *layout.WindowLine // that was added to
}

// windowKey names a window of a process: a UUID is drawn for each, but files may
// have been thrown together.
type windowKey struct{ window, run string }

// NewWindows returns Windows without a line.
func NewWindows() *Windows {
	return &Windows{tracker: NewTracker(nil), lines: map[windowKey]*layout.WindowLine{}}
}

// Add takes a record in, in a Reader's order.
func (w *Windows) Add(r *record.Record) {
	run, _, _ := strings.Cut(r.Conn, "-")
	if r.Legacy {
		run = ""
	}
	line := w.last
	if line == nil || line.Window != r.Window || line.Run != run {
		line = w.line(windowKey{r.Window, run}, r.Time)
		w.last = line
	}
	if r.Time.Before(line.Opened) {
		line.Opened = r.Time
	}
	if r.Time.After(line.Closed) {
		line.Closed = r.Time
	}
	_, missing, first := w.tracker.Add(r)
	if first && !r.Legacy {
		line.Connections++
	}
	if !slices.Contains(line.Ports, r.Port) && len(line.Ports) < maxPorts {
		line.Ports = append(line.Ports, r.Port)
		slices.Sort(line.Ports)
	}
	for _, gap := range missing {
		if gap.Length > 0 {
			lose(line, gap)
		}
	}
	switch {
	case r.Kind == record.KindData && r.Length > 0:
		line.Records.Add(r.Direction, 1)
		line.Seen.Add(r.Direction, r.Length)
		line.Written.Add(r.Direction, r.Length)
	case r.Kind == record.KindGap && r.Length > 0:
		lose(line, record.Gap{Direction: r.Direction, Length: r.Length, Reason: r.Reason})
	}
}

// line returns the line of a window, a new one from t on if there is none.
func (w *Windows) line(key windowKey, t time.Time) *layout.WindowLine {
	line := w.lines[key]
	if line == nil {
		line = &layout.WindowLine{Window: key.window, Run: key.run, Opened: t, Closed: t, Accounts: record.Accounts{LostBy: map[string]uint64{}}}
		w.lines[key] = line
		w.order = append(w.order, line)
	}
	return line
}

// maxPorts bounds a window's list of ports, whatever a file contains.
const maxPorts = 1 << 10

func lose(w *layout.WindowLine, g record.Gap) {
	w.Seen.Add(g.Direction, g.Length)
	w.Lost.Add(g.Direction, g.Length)
	if _, known := w.LostBy[g.Reason]; known || len(w.LostBy) < maxPorts {
		w.LostBy[g.Reason] += g.Length
	}
}

// Lines returns the windows by the time of their first records.
func (w *Windows) Lines() []*layout.WindowLine {
	slices.SortStableFunc(w.order, func(a, b *layout.WindowLine) int { return a.Opened.Compare(b.Opened) })
	return w.order
}
