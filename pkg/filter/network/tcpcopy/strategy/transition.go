package strategy

import (
	"errors"
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// transition is the opening or the closing of a window, which takes as long as the
// disk does. A window that is canceled during its opening is closed as soon as the
// Sink has opened it, in the same transition. There is one transition at a time, and
// no window is open meanwhile. A goroutine waits for the Sink; the loop does not.
type transition struct {
	opening  bool
	since    time.Time      // when the Sink was called
	length   time.Duration  // of a window that is being opened
	manual   *manualOpening // who waits for the opening; nil for the schedule
	canceled error          // why the window is to be closed again; nil if it is not
	why      string         // reason of the closing, for the log

	// Written by the loop before it closes over; read-only after that.
	window record.Window // Closes is the moment at which the gate was closed
	failed bool          // the window never was open
	over   chan struct{} // closed by the loop when the transition is over
}

// String returns what is under way, for the log.
func (tr *transition) String() string {
	what := "written out"
	if tr.opening {
		what = "opened"
	}
	return fmt.Sprintf("window %s is still being %s, since %s", tr.window.ID, what, tr.since.Format(time.TimeOnly))
}

// openWindow begins to open a window for length: it calls the Sink in a goroutine of
// its own, and the loop calls opened with the result. opened answers m, which is nil
// for a scheduled window.
func (c *Controller) openWindow(trigger record.Trigger, length time.Duration, m *manualOpening) {
	now := c.now()
	tr := &transition{
		window:  record.Window{ID: c.newID(), Trigger: trigger, Opened: now, Closes: now.Add(length), Unguarded: m != nil && m.unguarded},
		opening: true, since: now, length: length, manual: m, over: make(chan struct{}),
	}
	c.transition = tr
	c.publish()
	w := tr.window
	go func() { // ends when the Sink returns
		var sink WindowSink
		err := catch(c.panicked, "opening a window", func() (err error) {
			sink, err = c.sink.OpenWindow(w)
			return err
		})
		c.returned <- func() { c.opened(tr, sink, err) }
	}()
}

// opened opens the gate of the window that the Sink has opened, or closes it again if
// it was canceled. The window's length counts from here, so that a slow disk does not
// shorten it.
func (c *Controller) opened(tr *transition, sink WindowSink, err error) {
	w := tr.window
	switch {
	case err != nil:
		tr.failed = true
		c.end(tr)
		err = fmt.Errorf("open %s window %s: %w", w.Trigger, w.ID, err)
	case tr.canceled != nil:
		err = fmt.Errorf("window %s is not opened: %w", w.ID, tr.canceled)
		c.discard(tr, sink)
	default:
		c.began = c.now()
		tr.window.Closes = c.began.Add(tr.length)
		c.closes = tr.window.Closes
		c.paused = false
		c.window = &Window{Window: tr.window, Sink: sink}
		c.gate.Store(c.window)
		c.skipping = false
		c.end(tr)
		c.log.Infof("%s window %s is open for %v", w.Trigger, w.ID, tr.length)
	}
	if err != nil && !errors.Is(err, ErrCanceled) && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrSwitchedOff) {
		c.skip(w.Trigger, reasonOf(err), err.Error())
	}
	if tr.manual != nil {
		c.publish() // whoever receives the answer finds it in the status
		tr.manual.answer <- answer{window: tr.window, err: err}
	}
}

// closeWindow closes the open window: its gate before it returns, its WindowSink in
// the background. The wait for the next scheduled window begins.
func (c *Controller) closeWindow(why string) *transition {
	w := c.window
	c.gate.Store(nil)
	now := c.now()
	c.window, c.paused, c.waiting = nil, false, now
	tr := &transition{window: w.Window, why: why, over: make(chan struct{})}
	// Sub uses the monotonic clock: the two moments are as far apart as they were,
	// whatever the host's clock was set to in between.
	c.close(tr, w.Sink, w.Opened.Add(now.Sub(w.Opened)))
	return tr
}

// close closes sink in a goroutine of its own; the loop calls closed when that is done.
func (c *Controller) close(tr *transition, sink WindowSink, closed time.Time) {
	tr.opening, tr.since, tr.window.Closes = false, c.now(), closed
	c.transition = tr
	c.publish()
	go func() { // ends when the WindowSink is closed
		err := catch(c.panicked, "closing a window", func() error {
			sink.Close(closed)
			return nil
		})
		c.returned <- func() { c.closed(tr, err) }
	}()
}

// discard is close for a window that never was open: nothing of it remains.
func (c *Controller) discard(tr *transition, sink WindowSink) {
	tr.opening, tr.since, tr.window.Closes = false, c.now(), tr.window.Opened
	c.transition = tr
	c.publish()
	go func() { // ends when the WindowSink is discarded
		err := catch(c.panicked, "closing a window", func() error {
			sink.Discard()
			return nil
		})
		c.returned <- func() { c.closed(tr, err) }
	}()
}

// closed ends a transition whose WindowSink is closed.
func (c *Controller) closed(tr *transition, err error) {
	if err != nil {
		c.log.Warnf("close %s window %s: %v", tr.window.Trigger, tr.window.ID, err)
	} else {
		what := "closed"
		if tr.canceled != nil {
			what = "not opened"
		}
		c.log.Infof("%s window %s is %s: %s", tr.window.Trigger, tr.window.ID, what, tr.why)
	}
	c.end(tr)
}

// end ends a transition: the Sink has nothing under way any more.
func (c *Controller) end(tr *transition) {
	c.transition = nil
	c.publish()
	close(tr.over)
}

// cancelWindow closes the window that is open or being opened. It returns the
// window's transition, nil if there is no window. A canceled opening fails with
// reason.
func (c *Controller) cancelWindow(reason error, why string) *transition {
	switch tr := c.transition; {
	case c.window != nil:
		return c.closeWindow(why)
	case tr != nil && tr.opening && tr.canceled == nil:
		tr.canceled, tr.why = reason, why
	}
	return c.transition
}
