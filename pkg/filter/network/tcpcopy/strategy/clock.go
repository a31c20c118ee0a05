package strategy

import "time"

// Clock tells a Controller the time.
type Clock interface {
	Now() time.Time
	// TimerAt returns a timer that fires once, at t, or at once when t has
	// passed. A moment, not a length: a clock that moves on between Now and
	// TimerAt then delays nothing.
	TimerAt(t time.Time) Timer
}

// Timer is what Clock.TimerAt returns.
type Timer interface {
	C() <-chan time.Time
	Stop() // frees the timer; C may still hold the moment that it fired at
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) TimerAt(t time.Time) Timer {
	return systemTimer{time.NewTimer(time.Until(t))}
}

type systemTimer struct{ timer *time.Timer }

func (t systemTimer) C() <-chan time.Time { return t.timer.C }
func (t systemTimer) Stop()               { t.timer.Stop() }
