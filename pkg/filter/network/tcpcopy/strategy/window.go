package strategy

import (
	"errors"
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// manualTimeout is how long a manual opening waits for the guard's first reading
// and for the former window to be written out.
const manualTimeout = time.Second

// manualOpening is a manual window that somebody waits for.
type manualOpening struct {
	length    time.Duration
	unguarded bool        // the guard has no say
	measure   bool        // opens no window: somebody wants to know the guard's verdict
	live      bool        // of a live-only window, which whoever waits opens
	expires   time.Time   // when it waits no longer
	answer    chan answer // room for one; gets exactly one
}

type answer struct {
	window    record.Window
	err       error
	available bool // the guard is up; set for measure alone
}

func (c *Controller) addManual(m *manualOpening) {
	m.expires = c.now().Add(manualTimeout)
	c.manual = append(c.manual, m)
}

// openManual opens the windows of the manual openings, or answers them with an
// error, except for those that have to wait longer.
func (c *Controller) openManual(now time.Time) {
	var wait []*manualOpening
	for _, m := range c.manual {
		if m.measure {
			if now.Before(m.expires) && c.verdict == verdictUnknown {
				wait = append(wait, m)
			} else {
				m.answer <- answer{available: c.verdict == verdictUp}
			}
			continue
		}
		if m.live {
			if !c.admitLive(m, now) {
				wait = append(wait, m)
			}
			continue
		}
		var err error
		switch {
		case c.effective.forced:
			err = ErrForceOff
		case c.window != nil:
			err = fmt.Errorf("%w: %s", ErrWindowOpen, c.window.ID)
		case now.Before(m.expires) && (c.transition != nil || c.verdict == verdictUnknown && !m.unguarded):
			wait = append(wait, m)
			continue
		case c.transition != nil:
			err = fmt.Errorf("%w: %v", ErrBusy, c.transition)
		case c.verdict != verdictUp && !m.unguarded:
			err = fmt.Errorf("%w: %s", ErrGuardDown, c.why)
		default:
			c.openWindow(record.TriggerManual, m.length, m)
			continue
		}
		if !errors.Is(err, ErrWindowOpen) { // there is a record of that time
			c.skip(record.TriggerManual, reasonOf(err), err.Error())
		}
		c.publish() // whoever receives the answer finds it in the status
		m.answer <- answer{err: err}
	}
	c.manual = wait
}

// nextOpening returns when the next scheduled window is due; zero while none is
// planned.
func (c *Controller) nextOpening() time.Time {
	if !c.effective.on || c.window != nil || c.transition != nil && c.transition.opening {
		return time.Time{}
	}
	return c.waiting.Add(seconds(c.effective.config.Interval))
}

// openScheduled opens the scheduled window that is due. When the guard is down or
// the former window is still being written, it skips the window and the wait starts
// anew.
func (c *Controller) openScheduled(now time.Time) {
	next := c.nextOpening()
	if next.IsZero() || now.Before(next) {
		return
	}
	c.waiting = now
	switch {
	case c.transition != nil:
		c.skip(record.TriggerSchedule, record.SkipBusy, c.transition.String())
	case c.verdict != verdictUp:
		c.skip(record.TriggerSchedule, record.SkipGuard, "guard: "+c.why)
	default:
		c.openWindow(record.TriggerSchedule, seconds(c.effective.config.Duration), nil)
	}
}
