// Package clock is the time that the strategy's controller, the store of a dump
// directory and the replay go by: an interface, the system's clock, and a manual one
// for tests.
package clock

import "time"

// Clock returns the time and makes timers. It is safe for concurrent use.
type Clock interface {
	Now() time.Time
	// TimerAt returns a timer that fires once, at t, or at once when t has
	// passed. It has a moment as its argument, not a length: a clock that moves on between
	// Now and TimerAt then delays nothing.
	TimerAt(t time.Time) Timer
}

// Timer is what Clock.TimerAt returns.
type Timer interface {
	C() <-chan time.Time
	Stop() // frees the timer; C may still hold the moment that it fired at
}

// System returns the system's clock.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) TimerAt(t time.Time) Timer { return systemTimer{time.NewTimer(time.Until(t))} }

type systemTimer struct{ timer *time.Timer }

func (t systemTimer) C() <-chan time.Time { return t.timer.C }
func (t systemTimer) Stop()               { t.timer.Stop() }

// Func is a Clock whose time is what the function returns. Its timers are the
// system's.
type Func func() time.Time

// Now implements Clock.
func (f Func) Now() time.Time { return f() }

// TimerAt implements Clock.
func (Func) TimerAt(t time.Time) Timer { return System().TimerAt(t) }
