package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// liveStatusEvery is how often live asks why nothing comes.
const liveStatusEvery = time.Second

// watchWindows prints to standard error which windows do not open, and when the guard
// pauses one, until ctx ends. A stream without records would say nothing of that.
func (t *tool) watchWindows(ctx context.Context, c *adminClient, o *output) {
	tick := time.NewTicker(liveStatusEvery)
	defer tick.Stop()
	var before *status
	for {
		// A recorder that does not answer ends the stream, which has its own error.
		if now, _, err := c.status(ctx); err == nil {
			t.printChanges(before, now, o)
			before = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// printChanges prints what has happened between two statuses; before is nil at the
// start.
func (t *tool) printChanges(before, now *status, o *output) {
	list := now.Skipped.List
	if n := len(list); n > 0 && now.Window == nil && (before == nil || now.Skipped.Windows != before.Skipped.Windows) {
		fmt.Fprintf(t.stderr, "tcpcopyctl: not opened: %s\n", printable(skipLine(o, &list[n-1])))
	}
	paused := func(s *status) bool { return s != nil && s.Window != nil && s.Window.Paused }
	switch {
	case paused(now) && !paused(before):
		fmt.Fprintf(t.stderr, "tcpcopyctl: the guard pauses the window: %s\n", printable(now.Guard.Source))
	case paused(before) && now.Window != nil && !now.Window.Paused:
		fmt.Fprintf(t.stderr, "tcpcopyctl: the window goes on\n")
	}
}

// lockedWriter is a writer that several goroutines may use.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
