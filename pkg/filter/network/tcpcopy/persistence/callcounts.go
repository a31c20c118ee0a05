package persistence

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	// maxCallCounts is how many windows may wait for their calls to be counted.
	maxCallCounts = 64
	// countMemory is how many bytes a decoder may hold of a connection.
	countMemory = 64 << 10
	// maxCounted is how many connections of a window are decoded at most: the decoders'
	// memory is the proxy's.
	maxCounted = 10_000
)

// callCounts counts the calls of windows that have ended, from the window's files, and
// marks the windows in the index with them.
type callCounts struct {
	store   *Store
	backlog *backlog[layout.WindowLine]
}

func newCallCounts(s *Store) *callCounts {
	n := &callCounts{store: s}
	n.backlog = newBacklog(maxCallCounts, func(windows []layout.WindowLine, p *pace) {
		for i := range windows {
			if err := n.count(&windows[i], p); err != nil {
				s.alert("calls", fmt.Errorf("those of window %s are not counted: %w", windows[i].Window, err))
			}
		}
	})
	return n
}

// add has the calls of a window counted. It does not wait.
func (n *callCounts) add(w layout.WindowLine) {
	if waiting, ok := n.backlog.add(w); !ok {
		n.store.alert("calls", fmt.Errorf("those of window %s are not counted, because %d windows wait for it", w.Window, waiting))
	}
}

var errManyConnections = fmt.Errorf("it has more than %d connections", maxCounted)

// count marks a window with its calls.
func (n *callCounts) count(w *layout.WindowLine, p *pace) (err error) {
	defer func() {
		// What was recorded is anybody's: what it does to a decoder must not end the proxy.
		if r := recover(); r != nil {
			err = newPanicError("counting calls", r)
		}
	}()
	counts := map[string]layout.CallCount{}
	connections := map[string]struct{}{}
	station := calls.New(calls.Options{Memory: countMemory}, func(c *calls.Call) error {
		of := counts[c.Protocol]
		of.Calls++
		if c.Failed {
			of.Failed++
		}
		counts[c.Protocol] = of
		return nil
	})
	if err := n.read(w, p, func(r *record.Record) error {
		if _, known := connections[r.Conn]; !known {
			if len(connections) >= maxCounted {
				return errManyConnections
			}
			connections[r.Conn] = struct{}{}
		}
		return station.Add(r)
	}); err != nil {
		return err
	}
	if err := station.Finish(); err != nil {
		return err
	}
	return n.store.dir.Index().Mark(layout.Mark{Window: w.Window, Run: w.Run, Calls: counts})
}

// read calls f with the records of a window.
func (n *callCounts) read(w *layout.WindowLine, p *pace, f func(*record.Record) error) error {
	segments, logs := []string{}, []string{}
	for _, name := range w.Files {
		path := filepath.Join(n.store.config.Dir, name)
		if _, ok := layout.ParseSegment(name); ok {
			segments = append(segments, path)
		} else if name == layout.FlowLog || isArchiveOf(name, layout.FlowLog) {
			logs = append(logs, path)
		}
	}
	paths := segments
	if len(paths) == 0 {
		paths = logs
	}
	if len(paths) == 0 {
		return nil
	}
	d, err := dump.Open(paths, dump.Options{Filter: dump.Filter{Window: w.Window}})
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		r, err := d.Next()
		var damaged *record.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &damaged):
			return fmt.Errorf("a file cannot be read: %w", err)
		case err != nil:
			return err
		}
		if err := f(r); err != nil {
			return err
		}
		if err := p.yield(); err != nil {
			return err
		}
	}
}

func isArchiveOf(name, log string) bool {
	_, ok := layout.ParseArchive(name, log)
	return ok
}

// close lets the windows that wait be counted for stopGrace. Those that are not counted by then have
// an alert. It is idempotent.
func (n *callCounts) close() { n.backlog.close() }
