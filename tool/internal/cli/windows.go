package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

func (t *tool) windowsCommand() *cobra.Command {
	var scan, check bool
	cmd := &cobra.Command{
		Use:   "windows [DIR]",
		Short: "List the sample windows of a dump",
		Long: `windows lists the sample windows of a dump directory, one a line, from its index.
Where there is no index it reads all records and works the windows out of them.`,
		Example: `  tcpcopyctl windows
  tcpcopyctl windows --since 1h --check && echo nothing was lost
  tcpcopyctl windows -o json /var/log/dump | jq .lost_by`,
		Args: atMost(1),
	}
	s := t.source(cmd)
	o := addOutput(cmd)
	cmd.Flags().BoolVar(&scan, "scan", false, "read the records, also of windows that the index lacks, such as the open one")
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 if bytes were lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		options, err := s.options(cmd)
		if err != nil {
			return err
		}
		lines, err := s.windows(cmd, args, options, scan)
		if err != nil {
			return err
		}
		if err := t.printWindows(cmd, o, lines); err != nil {
			return err
		}
		if check {
			return checkLosses(lines)
		}
		return nil
	}
	return cmd
}

// windowRow is a window as it is printed.
type windowRow struct {
	*layout.WindowLine
	Rebuilt bool `json:"rebuilt,omitempty"` // worked out of the records
}

func checkLosses(rows []windowRow) error {
	var lost uint64
	for _, w := range rows {
		lost += w.Lost.In + w.Lost.Out
	}
	if lost > 0 {
		return fmt.Errorf("%w: %s lost", errFound, size(lost))
	}
	return nil
}

// windows returns the windows from the index, and from the records where that is
// wanted or the index cannot answer.
func (s *source) windows(cmd *cobra.Command, args []string, o dump.Options, scan bool) ([]windowRow, error) {
	path, err := s.path(args)
	if err != nil {
		return nil, err
	}
	rows, err := s.indexed(path, &o.Filter)
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	byRecords := o.Filter.Conn != "" || o.Filter.Peer.IsValid() || o.Filter.PeerPort != 0 || o.Filter.Only != nil
	if byRecords {
		rows = nil // the index does not tell connections apart
	}
	if !missing && !scan && !byRecords {
		return rows, nil
	}
	rebuilt := dump.NewWindows()
	if err := s.each(cmd.Context(), args, o, func(r *record.Record) error {
		rebuilt.Add(r)
		return nil
	}); err != nil {
		return nil, err
	}
	for _, line := range rebuilt.Lines() {
		if !slices.ContainsFunc(rows, func(w windowRow) bool { return w.Window == line.Window }) {
			rows = append(rows, windowRow{line, true})
		}
	}
	slices.SortStableFunc(rows, func(a, b windowRow) int { return a.Opened.Compare(b.Opened) })
	return rows, nil
}

// indexed returns the lines of a directory's index that the filter wants. The
// path may be the index itself.
func (s *source) indexed(path string, f *dump.Filter) ([]windowRow, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		if path == "-" || filepath.Base(path) != layout.Index {
			return nil, os.ErrNotExist
		}
	} else {
		path = filepath.Join(path, layout.Index)
	}
	lines, err := layout.ReadIndex(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := s.t.reportDamage(err); err != nil {
		return nil, err
	}
	var rows []windowRow
	for i := range lines {
		w := &lines[i]
		if strings.HasPrefix(w.Window, f.Window) &&
			(f.Port == "" || slices.Contains(w.Ports, f.Port)) &&
			(f.Since.IsZero() || !w.Closed.Before(f.Since)) &&
			(f.Until.IsZero() || w.Opened.Before(f.Until)) {
			rows = append(rows, windowRow{w, false})
		}
	}
	return rows, nil
}

// reportDamage reports the damage that is joined in err, and returns what else
// there is.
func (t *tool) reportDamage(err error) error {
	var damaged *record.DamageError
	joined, many := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case many:
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, t.reportDamage(e))
		}
		return errors.Join(rest...)
	case errors.As(err, &damaged):
		t.damage.add(damaged)
		return nil
	default:
		return err
	}
}

func (t *tool) printWindows(cmd *cobra.Command, o *output, rows []windowRow) error {
	asJSON, err := o.json(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return writeWindows(t.stdout, rows)
	}
	tab := newTable(t.stdout, "WINDOW", "OPENED", ">LENGTH", "TRIGGER", ">CONNS", ">IN", ">OUT", "LOST")
	for _, w := range rows {
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

// writeWindows writes rows as JSON lines.
func writeWindows(w io.Writer, rows []windowRow) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, row := range rows {
		row.Opened, row.Closed = row.Opened.UTC(), row.Closed.UTC()
		if err := e.Encode(row); err != nil {
			return err
		}
	}
	return nil
}

// losses says what a window lost, and why.
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

// time returns t in the zone that the user wants.
func (o *output) time(t time.Time, layout string) string {
	if o.utc {
		return t.UTC().Format(layout)
	}
	return t.Local().Format(layout)
}
