package strategy

import (
	"errors"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Whenever somebody sets a clock that has no monotonic reading, windows go on
// opening and closing: within their time when it goes back, at once when it goes
// ahead.
func TestTheClockJumps(t *testing.T) {
	const back, ahead = -time.Hour, 24 * time.Hour
	for _, jump := range []time.Duration{back, ahead} {
		t.Run("between windows "+jump.String(), func(t *testing.T) {
			r := newRig(t)
			r.mustSet(model.LayerApp, config("ON", 30, 10))
			r.pass(20 * time.Second)
			r.pass(jump)
			if jump == back {
				r.pass(10*time.Second - 1)
				r.quiet()
				r.pass(1)
			}
			r.expect("open schedule w1 for 10s")
			r.pass(10 * time.Second)
			r.expect("close w1")
			r.pass(30 * time.Second)
			r.expect("open schedule w2 for 10s")
		})
		t.Run("in a window "+jump.String(), func(t *testing.T) {
			r := newRig(t)
			r.mustSet(model.LayerApp, config("ON", 30, 10))
			r.pass(30 * time.Second)
			r.expect("open schedule w1 for 10s")
			r.pass(4 * time.Second)
			r.pass(jump)
			if jump == back {
				r.pass(6*time.Second - 1)
				r.quiet()
				r.pass(1)
			}
			r.expect("close w1")
			r.pass(30 * time.Second)
			r.expect("open schedule w2 for 10s")
		})
		t.Run("while a tap closes "+jump.String(), func(t *testing.T) {
			r := newRig(t)
			closing := make(chan struct{})
			r.sink.set(func(s *spySink) { s.closing = closing })
			r.mustSet(model.LayerApp, config("ON", 30, 10))
			r.pass(30 * time.Second)
			r.clock.Advance(10 * time.Second)
			r.expect("open schedule w1 for 10s", "close w1")
			r.clock.Advance(jump)
			r.underWay()
			close(closing)
			r.sync()
			r.pass(30 * time.Second)
			r.expect("open schedule w2 for 10s")
		})
		t.Run("with the guard on "+jump.String(), func(t *testing.T) {
			r := guarded(t)
			r.calm(5)
			r.clock.Advance(jump)
			r.sync()
			r.calm(31) // the one that is due at once is skipped: the reading under way seems late
			r.expect("open schedule w1 for 10s")
			r.clock.Advance(jump)
			r.sync()
			r.read(99, 20, nil) // the readings go on
			if jump == back {
				r.expect("hold w1 guard")
			}
		})
	}
	t.Run("while a manual window waits for the guard", func(t *testing.T) {
		r := newRig(t)
		r.SetGuard(true)
		result := r.manual(10 * time.Second)
		r.awaitRead()
		r.clock.Advance(back)
		r.sync()
		r.clock.Advance(manualPatience)
		r.sync()
		select {
		case err := <-result:
			if !errors.Is(err, ErrGuardDown) {
				t.Errorf("got %v", err)
			}
		case <-time.After(patience):
			t.Error("it waits for the clock")
		}
	})
}
