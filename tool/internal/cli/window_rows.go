package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// windowRow is a window as a JSON line.
type windowRow struct {
	*layout.WindowLine
	Rebuilt bool `json:"rebuilt,omitempty"` // computed from the records
}

// eachWindow calls show with windows, one after the other, until show returns an error.
type eachWindow func(show func(reading.Window) error) error

// eachOf is the eachWindow of a slice.
func eachOf(windows []reading.Window) eachWindow {
	return func(show func(reading.Window) error) error {
		for _, w := range windows {
			if err := show(w); err != nil {
				return err
			}
		}
		return nil
	}
}

// printWindows prints windows, and those that did not open between them, as a table or
// as JSON lines.
func (t *tool) printWindows(cmd *cobra.Command, o *output, windows eachWindow, skips []layout.SkipLine) error {
	asJSON, err := o.json(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return writeWindows(t.stdout, windows, skips)
	}
	lost := t.colours().lost
	tab := o.newTable(
		column{heading: "WINDOW"},
		column{heading: "OPENED", clock: "15:04:05", right: true},
		column{heading: "LENGTH", right: true},
		column{heading: "TRIGGER", least: 8},
		column{heading: "CONNS", right: true},
		column{heading: "IN", right: true},
		column{heading: "OUT", right: true},
		column{heading: "LOST", least: 8},
	)
	err = eachInOrder(windows, skips, func(w *reading.Window) error {
		trigger := string(w.Trigger)
		switch {
		case w.Rebuilt:
			trigger = "?"
		case w.Recovered:
			trigger += " (recovered)"
		case w.Guard == record.GuardOff:
			trigger += " (guard off)"
		}
		row := texts(o.window(w.Window), "", length(w.Closed.Sub(w.Opened)), printable(trigger),
			fmt.Sprint(w.Connections), size(w.Seen.In), size(w.Seen.Out), losses(&w.Accounts))
		row[1].at = w.Opened
		if w.Lost != (record.PerDirection{}) {
			row[7].colour = lost
		}
		return tab.add(row...)
	}, func(l *layout.SkipLine) error {
		name := "skipped"
		if l.Windows > 1 {
			name = fmt.Sprintf("%d skipped", l.Windows)
		}
		row := texts(name, "", length(l.Last.Sub(l.First)), printable(string(l.Trigger)), "-", "-", "-", skipText(&l.Skip))
		row[1].at = l.First
		row[7].colour = lost
		return tab.add(row...)
	})
	if err != nil && tab.empty() {
		return err
	}
	return errors.Join(err, tab.end())
}

// eachInOrder calls window for each window and skip for each that did not open, in the
// order of time. The windows keep their order among each other, and so do the skips.
func eachInOrder(windows eachWindow, skips []layout.SkipLine, window func(*reading.Window) error, skip func(*layout.SkipLine) error) error {
	skipUntil := func(isDue func(*layout.SkipLine) bool) error {
		for len(skips) > 0 && isDue(&skips[0]) {
			if err := skip(&skips[0]); err != nil {
				return err
			}
			skips = skips[1:]
		}
		return nil
	}
	if err := windows(func(w reading.Window) error {
		if err := skipUntil(func(l *layout.SkipLine) bool { return l.First.Before(w.Opened) }); err != nil {
			return err
		}
		return window(&w)
	}); err != nil {
		return err
	}
	return skipUntil(func(*layout.SkipLine) bool { return true })
}

// skipText returns why windows did not open, for people.
func skipText(s *record.Skip) string {
	why := strings.TrimPrefix(s.Why, string(s.Reason)+": ")
	return printable(string(s.Reason)) + inBrackets(printable(why))
}

// writeWindows writes windows, and those that did not open, as JSON lines.
func writeWindows(w io.Writer, windows eachWindow, skips []layout.SkipLine) error {
	e := newJSONLines(w)
	return eachInOrder(windows, skips, func(window *reading.Window) error {
		row := windowRow(*window)
		row.Opened, row.Closed = row.Opened.UTC(), row.Closed.UTC()
		return e.Encode(row)
	}, func(l *layout.SkipLine) error {
		l.First, l.Last = l.First.UTC(), l.Last.UTC()
		return e.Encode(l)
	})
}

// window returns a window's id for a table: the first characters of it, which name it
// everywhere, or all in a wide one.
func (o *output) window(id string) string {
	if o.wide {
		return printable(id)
	}
	return layout.WindowPrefix(printable(id))
}

// losses returns how much was lost, and why.
func losses(a *record.Accounts) string {
	if a.Lost == (record.PerDirection{}) {
		return "-"
	}
	return size(a.Lost.In+a.Lost.Out) + " (" + reasons(a.LostBy) + ")"
}
