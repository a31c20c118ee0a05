package strategy

import (
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// manualPatience is how long a manual opening waits for the guard's first reading.
const manualPatience = time.Second

// manualOpening is a manual window that somebody waits for.
type manualOpening struct {
	length   time.Duration
	patience time.Time   // when it gives up on the guard
	answer   chan answer // room for one; gets exactly one
}

type answer struct {
	window model.Window
	err    error
}

func (c *Controller) addManual(m *manualOpening) {
	m.patience = c.clock.Now().Add(manualPatience)
	c.manual = append(c.manual, m)
}

// openManual answers the manual openings that need not wait any longer.
func (c *Controller) openManual(now time.Time) {
	var wait []*manualOpening
	for _, m := range c.manual {
		var a answer
		switch {
		case c.effective.forced:
			a.err = ErrForceOff
		case c.window != nil:
			a.err = fmt.Errorf("%w: %s", ErrWindowOpen, c.window.ID)
		case c.verdict == verdictUnknown && now.Before(m.patience):
			wait = append(wait, m)
			continue
		case c.verdict != verdictUp:
			a.err = fmt.Errorf("%w: %s", ErrGuardDown, c.why)
		default:
			a.window, a.err = c.openWindow(model.TriggerManual, m.length)
		}
		c.publish() // whoever gets the answer finds it in the status
		m.answer <- a
	}
	c.manual = wait
}

// nextOpening is when the next scheduled window is due; zero while none is planned.
func (c *Controller) nextOpening() time.Time {
	if !c.effective.on || c.window != nil {
		return time.Time{}
	}
	return c.waiting.Add(seconds(c.effective.config.Interval))
}

// openScheduled opens the scheduled window that is due. When the guard or the
// sink does not let it, the wait starts anew.
func (c *Controller) openScheduled(now time.Time) {
	next := c.nextOpening()
	if next.IsZero() || now.Before(next) {
		return
	}
	c.waiting = now
	if c.verdict != verdictUp {
		c.skipped.Windows++
		c.skipped.Reason = "guard: " + c.why
		return
	}
	if _, err := c.openWindow(model.TriggerSchedule, seconds(c.effective.config.Duration)); err != nil {
		c.skipped.Windows++
		c.skipped.Reason = err.Error()
		c.log.Warnf("%v; next try in %d s", err, c.effective.config.Interval)
	}
}

// openWindow opens a window for length, from the moment that the sink is ready:
// a slow disk takes nothing from it.
func (c *Controller) openWindow(trigger model.Trigger, length time.Duration) (model.Window, error) {
	opened := c.clock.Now()
	w := model.Window{ID: c.newID(), Trigger: trigger, Opened: opened, Closes: opened.Add(length)}
	tap, err := c.sink.OpenWindow(w)
	if err != nil {
		return model.Window{}, fmt.Errorf("open %s window %s: %w", trigger, w.ID, err)
	}
	c.began = c.clock.Now()
	w.Closes = c.began.Add(length)
	c.closes = w.Closes
	c.held = false
	c.window = &Window{Window: w, Tap: tap}
	c.gate.Store(c.window)
	c.publish()
	c.log.Infof("%s window %s is open for %v", trigger, w.ID, length)
	return w, nil
}

// closeWindow closes the open window: first the gate, then the tap, which may
// take its time. The wait for the next scheduled one begins. The result's Closes
// is the moment at which the gate closed.
func (c *Controller) closeWindow(why string) model.Window {
	w := c.window
	c.gate.Store(nil)
	closed := c.clock.Now()
	c.window, c.held, c.waiting = nil, false, closed
	c.publish()
	w.Tap.Close(closed)
	c.log.Infof("%s window %s is closed: %s", w.Trigger, w.ID, why)
	result := w.Window
	result.Closes = closed
	return result
}
