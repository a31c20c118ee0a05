package query

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
	Rebuilt bool // worked out of the records, because the index does not have it
}

// Windows returns the windows in which records are wanted, in the order in which
// they opened. They come from the index. They are worked out of the records where
// scan is set, where there is no index, and where the filter selects by what an
// index does not have.
func (q *Query) Windows(ctx context.Context, scan bool) ([]Window, error) {
	indexed, err := q.Indexed()
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	f := &q.Options.Filter
	byRecords := f.Conn != "" || f.Peer.IsValid() || f.PeerPort != 0 || f.Only != nil
	if byRecords {
		indexed = nil // the index has no connections
	}
	if !missing && !scan && !byRecords {
		return indexed, nil
	}
	rebuilt := dump.NewWindows()
	if err := q.Each(ctx, func(r *record.Record) error {
		rebuilt.Add(r)
		return nil
	}); err != nil {
		return nil, err
	}
	all := indexed
	for _, line := range rebuilt.Lines() {
		if !slices.ContainsFunc(all, func(w Window) bool { return w.Window == line.Window }) {
			all = append(all, Window{line, true})
		}
	}
	slices.SortStableFunc(all, func(a, b Window) int { return a.Opened.Compare(b.Opened) })
	return all, nil
}

// Skips returns the lines of the directory's index about windows that did not open, in
// its order, where the filter's times want them. A filter by anything that such a window
// does not have wants none. The result is empty where there is no index.
func (q *Query) Skips() ([]layout.SkipLine, error) {
	f := q.Options.Filter
	f.Since, f.Until = time.Time{}, time.Time{}
	if f != (dump.Filter{}) {
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
	if path == "-" || filepath.Base(path) != layout.Index {
		return "", os.ErrNotExist
	}
	return path, nil
}

// Indexed returns the windows of the directory's index that the filter's window,
// port and times want, in the order of the index. Path may be the index itself. The
// error is os.ErrNotExist where there is no index.
func (q *Query) Indexed() ([]Window, error) {
	path, err := q.index()
	if err != nil {
		return nil, err
	}
	lines, err := layout.ReadIndex(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := q.reportDamage(err); err != nil {
		return nil, err
	}
	f := &q.Options.Filter
	var wanted []Window
	for i := range lines {
		w := &lines[i]
		if strings.HasPrefix(w.Window, f.Window) &&
			(f.Port == "" || slices.Contains(w.Ports, f.Port)) &&
			(f.Since.IsZero() || !w.Closed.Before(f.Since)) &&
			(f.Until.IsZero() || w.Opened.Before(f.Until)) {
			wanted = append(wanted, Window{w, false})
		}
	}
	return wanted, nil
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
