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
func (t *tool) watchWindows(whole, ctx context.Context, c *adminClient, news liveNews) {
	tick := time.NewTicker(liveStatusEvery)
	defer tick.Stop()
	for asked := whole; ; asked = ctx {
		// A recorder that does not answer ends the stream, which has its own error.
		if now, _, err := c.status(asked); err == nil {
			news.print(now)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// liveNews prints what changes from one status to the next.
type liveNews struct {
	t      *tool
	output *output
	own    string  // id of the live-only window that live has; "" if it has none
	before *status // the last one; nil at the start
	waits  string  // what live was last said to wait for; "" if nothing was said
}

// print prints what has happened since the last status. It says what live waits for, at the start and when that is
// something else than before: after a window that nobody had planned it is the same.
func (l *liveNews) print(now *status) {
	t, o, before := l.t, l.output, l.before
	l.before = now
	say := func(format string, args ...any) {
		fmt.Fprintln(t.stderr, "tcpcopyctl:", printable(fmt.Sprintf(format, args...)))
	}
	if l.own != "" {
		l.printOwn(before, now, say)
		return
	}
	list, skipped := now.Skipped.List, false
	if n := len(list); n > 0 && now.Window == nil && (before == nil || now.Skipped.Windows != before.Skipped.Windows) {
		say("not opened: %s", skipLine(o, &list[n-1]))
		skipped = before != nil && before.Window == nil
	}
	switch {
	case now.Window != nil:
		if before == nil {
			say("window %s is open until %s; waiting for traffic", o.window(now.Window.ID), o.moment(now.Window.Closes))
		}
	case now.Opening != nil: // which is soon over
		if before == nil {
			say("waiting for window %s, which is being opened", o.window(now.Opening.ID))
		}
	default:
		text, what := waiting(now, o)
		if what != l.waits && !skipped {
			say("%s", text)
		}
		l.waits = what
	}
	printCaptures(before, now, o, say)
	paused := func(s *status) bool { return s != nil && s.Window != nil && s.Window.Paused }
	switch {
	case paused(now) && !paused(before):
		say("the guard pauses the window: %s", now.Guard.Source)
	case paused(before) && now.Window != nil && !now.Window.Paused:
		say("the window goes on")
	}
}

// printOwn is print for a live-only window: no other one matters to it.
func (l *liveNews) printOwn(before, now *status, say func(format string, args ...any)) {
	paused := func(s *status) bool {
		if s == nil {
			return false
		}
		w := s.openWindow(l.own)
		return w != nil && w.Paused
	}
	switch {
	case paused(now) && !paused(before):
		say("the guard pauses the window: %s", now.Guard.Source)
	case paused(before) && now.openWindow(l.own) != nil && !paused(now):
		say("the window goes on")
	}
	printCaptures(before, now, l.output, say)
}

// waiting says what live waits for where no window is open or being opened. what is the same for two statuses that
// have it wait for the same.
func waiting(s *status, o *output) (text, what string) {
	switch {
	case s.Next != nil:
		return "waiting for the next window, which is due " + o.due(*s.Next), s.Next.UTC().String()
	case s.Switch.Effective != model.SwitchOn:
		text = "waiting for a window; the switch is OFF, so that none is due: \"tcpcopyctl record --for 10s\" opens one now, \"tcpcopyctl on\" switches the schedule on"
	default:
		text = "waiting for a window; none is due yet"
	}
	return text, text
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
