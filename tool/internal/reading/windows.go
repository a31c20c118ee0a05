package reading

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Window is one sample window of a dump.
type Window struct {
	*layout.WindowLine
	Rebuilt bool // computed from the records, because the index does not have it
}

// Windows calls f with the windows in which records are wanted, in the order of the
// index. They are computed from the records where scan is set, where there is no index,
// and where the filter selects by what an index does not have: then they come in the
// order in which they opened. Windows stops at the first error of f and returns it.
func (q *Query) Windows(ctx context.Context, scan bool, f func(Window) error) error {
	o := &q.Options.Filter
	byRecords := o.Conn != "" || len(q.Conns) > 0 || o.Peer.IsValid() || o.PeerPort != 0 || o.Only != nil
	if !scan && !byRecords {
		err := q.Indexed(func(w Window) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(w)
		})
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	var all []Window
	known := map[string]bool{}
	if !byRecords { // of connections the index knows nothing
		err := q.Indexed(func(w Window) error {
			all = append(all, w)
			known[w.Window] = true
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	rebuilt := dump.NewWindows()
	if err := q.Each(ctx, func(r *record.Record) error {
		rebuilt.Add(r)
		return nil
	}); err != nil {
		return err
	}
	for _, line := range rebuilt.Lines() {
		if !known[line.Window] {
			all = append(all, Window{line, true})
		}
	}
	slices.SortStableFunc(all, func(a, b Window) int { return a.Opened.Compare(b.Opened) })
	for _, w := range all {
		if err := f(w); err != nil {
			return err
		}
	}
	return nil
}

// Skips returns the lines of the directory's index about windows that did not open, in
// its order, where the filter's times want them. A filter by anything that such a window
// does not have wants none. The result is empty where there is no index.
func (q *Query) Skips() ([]layout.SkipLine, error) {
	f := q.Options.Filter
	f.Since, f.Until = time.Time{}, time.Time{}
	if f != (dump.Filter{}) || len(q.Conns) > 0 {
		return nil, nil
	}
	path, err := q.index()
	if err != nil {
		return nil, noneWithout(err)
	}
	all, err := layout.ReadSkips(path)
	if err != nil {
		return nil, noneWithout(err)
	}
	f = q.Options.Filter
	return slices.DeleteFunc(all, func(l layout.SkipLine) bool {
		return !f.Since.IsZero() && l.Last.Before(f.Since) || !f.Until.IsZero() && !l.First.Before(f.Until)
	}), nil
}

// noneWithout returns err unless it says that there is no index.
func noneWithout(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// index returns the path of the index. The error is os.ErrNotExist where there is none.
func (q *Query) index() (string, error) {
	path, err := q.Locate()
	if err != nil {
		return "", err
	}
	if IsDir(path) {
		return filepath.Join(path, layout.Index), nil
	}
	if path == "-" || !layout.IsIndex(filepath.Base(path)) {
		return "", os.ErrNotExist
	}
	return path, nil
}

// Indexed calls f with the windows of the directory's index that the filter's window,
// port and times want, in the order of the index. Path may be the index itself. In a
// directory, the removed files of a window are those that are not there. Indexed stops
// at the first error of f and returns it. The error is os.ErrNotExist where there is
// no index.
func (q *Query) Indexed(f func(Window) error) error {
	located, err := q.Locate()
	if err != nil {
		return err
	}
	path, err := q.index()
	if err != nil {
		return err
	}
	var files *layout.Present
	if IsDir(located) {
		if files, err = layout.NewPresent(located); err != nil {
			return err
		}
	}
	o := &q.Options.Filter
	var stopped error
	err = layout.EachWindow(path, func(w *layout.WindowLine) error {
		// A window whose ports are not all in its line may have had this one.
		if !strings.HasPrefix(w.Window, o.Window) ||
			o.Port != "" && !slices.Contains(w.Ports, o.Port) && w.PortsLeftOut == 0 ||
			!o.Since.IsZero() && w.Closed.Before(o.Since) ||
			!o.Until.IsZero() && !w.Opened.Before(o.Until) {
			return nil
		}
		if files != nil {
			files.Amend(w)
		}
		stopped = f(Window{w, false})
		return stopped
	})
	if stopped != nil || errors.Is(err, os.ErrNotExist) {
		return err
	}
	return q.reportDamage(err)
}

// reportDamage reports the damage that is joined in err and returns the other
// errors in it.
func (q *Query) reportDamage(err error) error {
	var damaged *record.DamageError
	joined, many := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case many:
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, q.reportDamage(e))
		}
		return errors.Join(rest...)
	case errors.As(err, &damaged):
		q.Report.damage(damaged)
		return nil
	default:
		return err
	}
}
