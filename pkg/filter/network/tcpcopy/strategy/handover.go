package strategy

import (
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// handover is a window that is in the Sink's hands, which may take as long as a
// disk does: one that is being opened, one that is being closed, or one that was
// not wanted any more when it was open and is closed at once. There is one at a
// time, and no window is open meanwhile. A goroutine waits for the Sink, the loop
// goes on.
type handover struct {
	opening  bool
	since    time.Time      // when the Sink was asked
	length   time.Duration  // of a window that is being opened
	manual   *manualOpening // who waits for the opening; nil for the schedule
	unwanted error          // why the window is not to be open any more; nil while it is
	why      string         // of the closing, for the log

	// Written by the loop before it closes over; after that anybody's to read.
	window record.Window // Closes is the moment at which the gate was closed
	failed bool          // it never was open
	over   chan struct{}
}

// String tells what is under way.
func (h *handover) String() string {
	what := "written out"
	if h.opening {
		what = "opened"
	}
	return fmt.Sprintf("window %s is still being %s, since %s", h.window.ID, what, h.since.Format(time.TimeOnly))
}

// openWindow has the sink open a window for length; opened goes on. m is answered
// then; it is nil for a scheduled window.
func (c *Controller) openWindow(trigger record.Trigger, length time.Duration, m *manualOpening) {
	now := c.now()
	h := &handover{
		window:  record.Window{ID: c.newID(), Trigger: trigger, Opened: now, Closes: now.Add(length)},
		opening: true, since: now, length: length, manual: m, over: make(chan struct{}),
	}
	c.handover = h
	c.publish()
	w := h.window
	go func() { // ends with the sink's answer
		var tap Tap
		err := catch(c.panicked, "opening a window", func() (err error) {
			tap, err = c.sink.OpenWindow(w)
			return err
		})
		c.returned <- func() { c.opened(h, tap, err) }
	}()
}

// opened takes the sink's answer to openWindow. The window has its time from now
// on: a slow disk takes nothing from it.
func (c *Controller) opened(h *handover, tap Tap, err error) {
	w := h.window
	switch {
	case err != nil:
		h.failed = true
		c.end(h)
		err = fmt.Errorf("open %s window %s: %w", w.Trigger, w.ID, err)
	case h.unwanted != nil:
		err = fmt.Errorf("window %s is closed again: %w", w.ID, h.unwanted)
		c.close(h, tap, w.Opened)
	default:
		c.began = c.now()
		h.window.Closes = c.began.Add(h.length)
		c.closes = h.window.Closes
		c.held = false
		c.window = &Window{Window: h.window, Tap: tap}
		c.gate.Store(c.window)
		c.end(h)
		c.log.Infof("%s window %s is open for %v", w.Trigger, w.ID, h.length)
	}
	switch {
	case h.manual != nil:
		h.manual.answer <- answer{window: h.window, err: err}
	case h.failed:
		c.skip(err.Error())
	}
}

// closeWindow closes the open window: its gate now, its tap as soon as the disk
// lets it. The wait for the next scheduled one begins.
func (c *Controller) closeWindow(why string) *handover {
	w := c.window
	c.gate.Store(nil)
	now := c.now()
	c.window, c.held, c.waiting = nil, false, now
	h := &handover{window: w.Window, why: why, over: make(chan struct{})}
	// The two moments are as far apart as they were, whatever the host's clock was
	// set to in between: Sub goes by the monotonic clock.
	c.close(h, w.Tap, w.Opened.Add(now.Sub(w.Opened)))
	return h
}

// close has the tap closed.
func (c *Controller) close(h *handover, tap Tap, closed time.Time) {
	h.opening, h.since, h.window.Closes = false, c.now(), closed
	c.handover = h
	c.publish()
	go func() { // ends when the tap is closed
		err := catch(c.panicked, "closing a window", func() error {
			tap.Close(closed)
			return nil
		})
		c.returned <- func() { c.closed(h, err) }
	}()
}

// closed notes that a tap is closed.
func (c *Controller) closed(h *handover, err error) {
	if err != nil {
		c.log.Warnf("close %s window %s: %v", h.window.Trigger, h.window.ID, err)
	} else {
		c.log.Infof("%s window %s is closed: %s", h.window.Trigger, h.window.ID, h.why)
	}
	c.end(h)
}

// end says that the sink has nothing under way any more.
func (c *Controller) end(h *handover) {
	c.handover = nil
	c.publish()
	close(h.over)
}

// unwant sees to it that the window which is open or being opened is closed, if
// there is one, and returns its handover.
func (c *Controller) unwant(reason error, why string) *handover {
	switch h := c.handover; {
	case c.window != nil:
		return c.closeWindow(why)
	case h != nil && h.opening && h.unwanted == nil:
		h.unwanted, h.why = reason, why
	}
	return c.handover
}
