package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// liveStatusEvery is how often live asks why nothing comes.
const liveStatusEvery = time.Second

// watchWindows prints to standard error what live waits for, which windows do not open, and
// when the guard pauses one, until ctx ends. A stream without records would say nothing of that.
// The first status is waited for until whole ends, which is the command's context.
func (t *tool) watchWindows(whole, ctx context.Context, c *adminClient, o *output) {
	tick := time.NewTicker(liveStatusEvery)
	defer tick.Stop()
	var before *status
	for asked := whole; ; asked = ctx {
		// A recorder that does not answer ends the stream, which has its own error.
		if now, _, err := c.status(asked); err == nil {
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
// start. It says what live waits for, at the start and after each window.
func (t *tool) printChanges(before, now *status, o *output) {
	say := func(format string, args ...any) {
		fmt.Fprintln(t.stderr, "tcpcopyctl:", printable(fmt.Sprintf(format, args...)))
	}
	list, skipped := now.Skipped.List, false
	if n := len(list); n > 0 && now.Window == nil && (before == nil || now.Skipped.Windows != before.Skipped.Windows) {
		say("not opened: %s", skipLine(o, &list[n-1]))
		skipped = true
	}
	switch {
	case now.Window != nil && before == nil:
		say("window %s is open until %s; waiting for traffic", o.window(now.Window.ID), o.moment(now.Window.Closes))
	case now.Window == nil && (before == nil || before.Window != nil || !skipped && !sameTime(before.Next, now.Next)):
		say("%s", waiting(now, o))
	}
	paused := func(s *status) bool { return s != nil && s.Window != nil && s.Window.Paused }
	switch {
	case paused(now) && !paused(before):
		say("the guard pauses the window: %s", now.Guard.Source)
	case paused(before) && now.Window != nil && !now.Window.Paused:
		say("the window goes on")
	}
}

// waiting says what live waits for where no window is open.
func waiting(s *status, o *output) string {
	switch {
	case s.Opening != nil:
		return fmt.Sprintf("waiting for window %s, which is being opened", o.window(s.Opening.ID))
	case s.Next != nil:
		return fmt.Sprintf("waiting for the next window, which is due %s", o.due(*s.Next))
	case s.Switch.Effective != model.SwitchOn:
		return "waiting for a window; the switch is OFF, so that none is due: \"tcpcopyctl record --for 10s\" opens one now, \"tcpcopyctl on\" switches the schedule on"
	default:
		return "waiting for a window; none is due yet"
	}
}

// sameTime reports whether two times are the same, or both nil.
func sameTime(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

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
