package strategy

import (
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// LiveSink is an open live-only window. Its methods must not block.
type LiveSink interface {
	// Opened returns since when it has what passes.
	Opened() time.Time
	// Pause pauses the recording: what passes from now on is a gap with reason r.
	Pause(r record.Reason)
	// Resume ends the pause that Pause(r) began.
	Resume(r record.Reason)
	// End ends the window: what passes from now on is not in it. It is idempotent.
	End()
}

// liveWindow is an open live-only window. The loop owns it.
type liveWindow struct {
	window record.Window
	sink   LiveSink
	paused bool // the guard pauses it
}

// OpenLive has open open a live-only window, which goes on until EndLive, FORCE_OFF or the
// end of the Controller, beside all other windows. The guard may refuse or pause it, unless
// it is unguarded. As OpenManual, it waits up to a second for the guard's first reading. open
// is called by this goroutine. The errors are ErrForceOff, ErrGuardDown, ErrClosed, or open's.
func (c *Controller) OpenLive(unguarded bool, open func(record.Window) (LiveSink, error)) (record.Window, error) {
	m := &manualOpening{live: true, unguarded: unguarded, answer: make(chan answer, 1)}
	if err := c.do(func() { c.addManual(m) }); err != nil {
		return record.Window{}, err
	}
	a := <-m.answer
	if a.err != nil {
		return record.Window{}, a.err
	}
	w := a.window
	var sink LiveSink
	err := catch(c.panicked, "opening a live-only window", func() (err error) {
		sink, err = open(w)
		return err
	})
	var refused error
	closed := c.do(func() { refused = c.liveOpened(&w, sink, err) })
	if closed != nil {
		refused = closed
	}
	if refused != nil && err == nil {
		sink.End()
	}
	return w, refused
}

// admitLive answers the request for a live-only window, unless it has to wait longer.
func (c *Controller) admitLive(m *manualOpening, now time.Time) (answered bool) {
	var err error
	switch {
	case c.effective.forced:
		err = ErrForceOff
	case m.unguarded || c.verdict == verdictUp:
		c.livesOpening++
		m.answer <- answer{window: record.Window{ID: c.newID(), Trigger: record.TriggerLive, Opened: now, Unguarded: m.unguarded}}
		return true
	case c.verdict == verdictUnknown && now.Before(m.expires):
		return false
	default:
		err = fmt.Errorf("%w: %s", ErrGuardDown, c.why)
	}
	c.skip(record.TriggerLive, reasonOf(err), err.Error())
	m.answer <- answer{err: err}
	return true
}

// liveOpened adds a live-only window that has been opened, and sets its beginning. It
// returns why there is none.
func (c *Controller) liveOpened(w *record.Window, sink LiveSink, err error) error {
	c.livesOpening--
	if err == nil && c.effective.forced {
		err = ErrForceOff
	}
	if err != nil {
		err = fmt.Errorf("open live-only window %s: %w", w.ID, err)
		c.skip(record.TriggerLive, reasonOf(err), err.Error())
		return err
	}
	w.Opened = sink.Opened()
	c.lives = append(c.lives, &liveWindow{window: *w, sink: sink})
	c.log.Infof("live-only window %s is open", w.ID)
	return nil
}

// EndLive ends the live-only window of that ID, if it is open.
func (c *Controller) EndLive(id string) {
	// A closed Controller has ended all.
	_ = c.do(func() {
		for i, l := range c.lives {
			if l.window.ID == id {
				c.lives = append(c.lives[:i:i], c.lives[i+1:]...)
				c.endLive(l, "its reader has left")
				return
			}
		}
	})
}

// endLives ends all live-only windows.
func (c *Controller) endLives(why string) {
	for _, l := range c.lives {
		c.endLive(l, why)
	}
	c.lives = nil
}

func (c *Controller) endLive(l *liveWindow, why string) {
	_ = catch(c.panicked, "ending a live-only window", func() error { // which reports what it catches
		l.sink.End()
		return nil
	})
	c.log.Infof("live-only window %s has ended: %s", l.window.ID, why)
}

// judgeLives pauses or resumes the live-only windows by the guard's verdict.
func (c *Controller) judgeLives() {
	for _, l := range c.lives {
		pause := c.verdict != verdictUp && !l.window.Unguarded
		if pause == l.paused {
			continue
		}
		if l.paused = pause; pause {
			l.sink.Pause(record.ReasonGuard)
		} else {
			l.sink.Resume(record.ReasonGuard)
		}
	}
}

// liveStatus returns the live-only windows that are open. Their Closes is zero.
func (c *Controller) liveStatus() (all []WindowStatus) {
	for _, l := range c.lives {
		w := &l.window
		all = append(all, WindowStatus{ID: w.ID, Trigger: w.Trigger, Opened: w.Opened, Paused: l.paused, Guard: w.GuardWord()})
	}
	return all
}
