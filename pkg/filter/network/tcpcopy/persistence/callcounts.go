package persistence

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

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
// marks the windows in the index with them. It does so in a goroutine of its own, which
// has a quarter of one processor at most: neither the proxy nor the next window waits
// for it.
type callCounts struct {
	store   *Store
	closing chan struct{}  // closed by close
	working sync.WaitGroup // the goroutine; there is one while windows wait

	mu      sync.Mutex // guards the rest
	waiting []layout.WindowLine
	running bool
	closed  bool
}

func newCallCounts(s *Store) *callCounts {
	return &callCounts{store: s, closing: make(chan struct{})}
}

// add has the calls of a window counted. It does not wait.
func (n *callCounts) add(w layout.WindowLine) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) >= maxCallCounts || n.closed {
		n.store.alert("calls", fmt.Errorf("those of window %s are not counted, because %d windows wait for it", w.Window, len(n.waiting)))
		return
	}
	n.waiting = append(n.waiting, w)
	if !n.running {
		n.running = true
		n.working.Add(1)
		go n.run()
	}
}

// run is the goroutine. It ends when no window waits.
func (n *callCounts) run() {
	defer n.working.Done()
	p := &pace{closing: n.closing}
	for {
		n.mu.Lock()
		var w layout.WindowLine
		if n.running = len(n.waiting) > 0; n.running {
			w = n.waiting[0]
			n.waiting = n.waiting[1:]
		}
		running := n.running
		n.mu.Unlock()
		if !running {
			return
		}
		if err := n.count(&w, p); err != nil {
			n.store.alert("calls", fmt.Errorf("those of window %s are not counted: %w", w.Window, err))
		}
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

// close gives up the windows that wait, with an alert. It is idempotent.
func (n *callCounts) close() {
	n.mu.Lock()
	again := n.closed
	n.closed = true
	n.mu.Unlock()
	if !again {
		close(n.closing)
	}
	n.working.Wait()
}
