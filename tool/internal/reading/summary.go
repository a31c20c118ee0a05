package reading

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/spelling"
)

// Summary is what the index says of the windows in which records of a query can be: what a
// query can know, and what it cannot, also where it finds nothing.
type Summary struct {
	Indexed bool // there is an index; without one the rest is empty
	All     int  // windows in the index

	// Of the windows that the query's window, times and port allow:
	Windows     int
	From, To    time.Time           // the first opening and the last closing
	Seen, Lost  record.PerDirection // bytes
	LostBy      map[string]uint64   // bytes of Lost by reason
	FilesAreOff int                 // windows some of whose files retention has removed

	// Where the times allow no window:
	Before, After *layout.WindowLine // the windows nearest to them; nil where there is none

	// Where the window's id is that of none:
	Similar []string // ids that it may have been meant to be
	Known   bool     // some window begins with it

	Ports   []string          // of the windows that the window and the times allow, up to maxPorts
	Skipped []layout.SkipLine // windows of those times that did not open
}

// maxPorts bounds the ports of a Summary.
const maxPorts = 64

// Summary returns what the index says of the query. It reads no records, and reports no
// damage: those who list windows do.
func (q *Query) Summary() (*Summary, error) {
	f := &q.Options.Filter
	c := &Summary{LostBy: map[string]uint64{}}
	all := *q
	all.Report, all.Conns = Report{}, nil
	all.Options.Filter.Window, all.Options.Filter.Port = "", ""
	all.Options.Filter.Since, all.Options.Filter.Until = time.Time{}, time.Time{}
	var ids []string
	err := all.Indexed(func(w Window) error {
		c.Indexed = true
		c.All++
		if !strings.HasPrefix(w.Window, f.Window) {
			ids = append(ids, w.Window)
			return nil
		}
		c.Known = true
		switch {
		case !f.Since.IsZero() && w.Closed.Before(f.Since):
			if c.Before == nil || w.Closed.After(c.Before.Closed) {
				c.Before = w.WindowLine
			}
			return nil
		case !f.Until.IsZero() && !w.Opened.Before(f.Until):
			if c.After == nil || w.Opened.Before(c.After.Opened) {
				c.After = w.WindowLine
			}
			return nil
		}
		for _, port := range w.Ports {
			if len(c.Ports) < maxPorts && !slices.Contains(c.Ports, port) {
				c.Ports = append(c.Ports, port)
			}
		}
		if f.Port == "" || slices.Contains(w.Ports, f.Port) || w.PortsLeftOut > 0 {
			c.add(w.WindowLine)
		}
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	c.Indexed = true
	slices.SortFunc(c.Ports, comparePorts)
	if f.Window != "" && !c.Known {
		c.Similar = similarWindows(f.Window, ids)
	}
	all.Options.Filter.Since, all.Options.Filter.Until = f.Since, f.Until
	if c.Skipped, err = all.Skips(); err != nil {
		return nil, err
	}
	return c, nil
}

// add adds a window that the query allows.
func (s *Summary) add(w *layout.WindowLine) {
	s.Windows++
	if s.From.IsZero() || w.Opened.Before(s.From) {
		s.From = w.Opened
	}
	if w.Closed.After(s.To) {
		s.To = w.Closed
	}
	s.Seen, s.Lost = s.Seen.Plus(w.Seen), s.Lost.Plus(w.Lost)
	for reason, n := range w.LostBy {
		s.LostBy[reason] += n
	}
	if len(w.Removed) > 0 || w.RemovedLeftOut > 0 {
		s.FilesAreOff++
	}
}

// comparePorts orders numbers by their value, before paths.
func comparePorts(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 16)
	y, errY := strconv.ParseUint(b, 10, 16)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	default:
		return strings.Compare(a, b)
	}
}

// similarWindows returns the ids that begin like what text may have been meant to be.
func similarWindows(text string, ids []string) []string {
	var beginnings []string
	for _, id := range ids {
		beginnings = append(beginnings, id[:min(len(id), len(text))])
	}
	var similar []string
	for _, like := range spelling.Closest(text, beginnings) {
		for _, id := range ids {
			if strings.HasPrefix(id, like) && len(similar) < maxNamed {
				similar = append(similar, layout.WindowPrefix(id))
			}
		}
	}
	return similar
}
