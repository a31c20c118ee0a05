package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/query"
)

// windowRow is a window as a JSON line.
type windowRow struct {
	*layout.WindowLine
	Rebuilt bool `json:"rebuilt,omitempty"` // worked out of the records
}

// printWindows prints windows as a table or as JSON lines.
func (t *tool) printWindows(cmd *cobra.Command, o *output, windows []query.Window) error {
	asJSON, err := o.json(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return writeWindows(t.stdout, windows)
	}
	tab := newTable(t.stdout, "WINDOW", "OPENED", ">LENGTH", "TRIGGER", ">CONNS", ">IN", ">OUT", "LOST")
	for _, w := range windows {
		trigger := string(w.Trigger)
		switch {
		case w.Rebuilt:
			trigger = "?"
		case w.Recovered:
			trigger += " (recovered)"
		}
		if err := tab.add(printable(w.Window), o.time(w.Opened, dayAndTime), length(w.Closed.Sub(w.Opened)), printable(trigger),
			fmt.Sprint(w.Connections), size(w.Seen.In), size(w.Seen.Out), losses(&w.Accounts)); err != nil {
			return err
		}
	}
	return tab.end()
}

// writeWindows writes windows as JSON lines.
func writeWindows(w io.Writer, windows []query.Window) error {
	e := newJSONLines(w)
	for _, window := range windows {
		row := windowRow(window)
		row.Opened, row.Closed = row.Opened.UTC(), row.Closed.UTC()
		if err := e.Encode(row); err != nil {
			return err
		}
	}
	return nil
}

// shortWindow returns the part of a window's id that tables have.
func shortWindow(id string) string { return layout.WindowPrefix(printable(id)) }

// losses returns how much was lost, and why.
func losses(a *record.Accounts) string {
	if a.Lost == (record.PerDirection{}) {
		return "-"
	}
	var reasons []string
	for reason, n := range a.LostBy {
		if n > 0 {
			reasons = append(reasons, printable(reason))
		}
	}
	slices.Sort(reasons)
	return size(a.Lost.In+a.Lost.Out) + " (" + strings.Join(reasons, ", ") + ")"
}
