package strategy

import "time"

// Clock is a Controller's clock.
type Clock interface {
	Now() time.Time
	// TimerAt returns a timer that fires once, at t, or at once when t has
	// passed. It is given a moment and not a length, so that time that passes
	// between Now and TimerAt delays nothing.
	TimerAt(t time.Time) Timer
}

// Timer is what Clock.TimerAt returns.
type Timer interface {
	C() <-chan time.Time
	Stop() // frees the timer; C may still have the moment at which it fired
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) TimerAt(t time.Time) Timer {
	return systemTimer{time.NewTimer(time.Until(t))}
}

type systemTimer struct{ timer *time.Timer }

func (t systemTimer) C() <-chan time.Time { return t.timer.C }
func (t systemTimer) Stop()               { t.timer.Stop() }
