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
func TestWindowsOpenAndCloseWhenTheClockJumps(t *testing.T) {
	const back, ahead = -time.Hour, 24 * time.Hour
	for _, jump := range []time.Duration{back, ahead} {
		t.Run("between windows "+jump.String(), func(t *testing.T) {
			h := newHarness(t)
			h.mustSet(model.LayerApp, config("ON", 30, 10))
			h.pass(20 * time.Second)
			h.pass(jump)
			if jump == back {
				h.pass(10*time.Second - 1)
				h.quiet()
				h.pass(1)
			}
			h.expect("open schedule w1 for 10s")
			h.pass(10 * time.Second)
			h.expect("close w1")
			h.pass(30 * time.Second)
			h.expect("open schedule w2 for 10s")
		})
		t.Run("in a window "+jump.String(), func(t *testing.T) {
			h := newHarness(t)
			h.mustSet(model.LayerApp, config("ON", 30, 10))
			h.pass(30 * time.Second)
			h.expect("open schedule w1 for 10s")
			h.pass(4 * time.Second)
			h.pass(jump)
			if jump == back {
				h.pass(6*time.Second - 1)
				h.quiet()
				h.pass(1)
			}
			h.expect("close w1")
			h.pass(30 * time.Second)
			h.expect("open schedule w2 for 10s")
		})
		t.Run("while a window sink closes "+jump.String(), func(t *testing.T) {
			h := newHarness(t)
			closing := make(chan struct{})
			h.sink.set(func(s *spySink) { s.closing = closing })
			h.mustSet(model.LayerApp, config("ON", 30, 10))
			h.pass(30 * time.Second)
			h.clock.Advance(10 * time.Second)
			h.expect("open schedule w1 for 10s", "close w1")
			h.clock.Advance(jump)
			h.underWay()
			close(closing)
			h.sync()
			h.pass(30 * time.Second)
			h.expect("open schedule w2 for 10s")
		})
		t.Run("with the guard on "+jump.String(), func(t *testing.T) {
			h := guarded(t)
			h.calm(5)
			h.clock.Advance(jump)
			h.sync()
			h.calm(31) // the one that is due at once is skipped: the reading under way seems late
			h.expect("open schedule w1 for 10s")
			h.clock.Advance(jump)
			h.sync()
			h.read(99, 20, nil) // the readings go on
			if jump == back {
				h.expect("pause w1 guard")
			}
		})
	}
	t.Run("while a manual window waits for the guard", func(t *testing.T) {
		h := newHarness(t)
		h.SetGuard(true)
		result := h.manual(10 * time.Second)
		h.awaitRead()
		h.clock.Advance(back)
		h.sync()
		h.clock.Advance(manualTimeout)
		h.sync()
		select {
		case err := <-result:
			if !errors.Is(err, ErrGuardDown) {
				t.Errorf("got %v", err)
			}
		case <-time.After(timeout):
			t.Error("it waits for the clock")
		}
	})
}
