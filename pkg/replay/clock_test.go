package replay_test

import (
	"context"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/replay"
)

// leaveTimeout is how long a replay reads on after the last answer.
const leaveTimeout = 5 * time.Millisecond

func newManualClock() *clock.Manual {
	return clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
}

// A schedule decides when a clock moves on from now to at: as soon as the number of
// timers that it returns wait for at. Times are since the begin of the replay.
type schedule func(now, at time.Duration) (timers int)

const never = 1 << 20

// soon is the schedule of a replay whose only timers in the next 100 ms are those
// of sends and of leaving. All others are timeouts, which do not pass.
func soon(now, at time.Duration) int {
	if at-now < 100*time.Millisecond {
		return 1
	}
	return never
}

// runOnClock replays the scenario on a clock that moves by s.
func (r *scenario) runOnClock(t testing.TB, o replay.Options, s schedule) *replay.Result {
	t.Helper()
	return r.runOn(t, newManualClock(), o, s)
}

// runOn is runOnClock with a clock that the test has.
func (r *scenario) runOn(t testing.TB, now *clock.Manual, o replay.Options, s schedule) *replay.Result {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	moved := make(chan struct{})
	begin := now.Now()
	go func() { // ends with ctx
		defer close(moved)
		for next := begin; ; now.AdvanceTo(next) {
			if !now.AwaitTimers(ctx, func(now time.Time, pending []time.Time) bool {
				for i, at := range pending {
					n := s(now.Sub(begin), at.Sub(begin))
					if i+n <= len(pending) && pending[i+n-1].Equal(at) {
						next = at
						return true
					}
				}
				return false
			}) {
				return
			}
		}
	}()
	defer func() {
		stop()
		<-moved
	}()
	return run(t, r.load(t, replay.LoadOptions{}), o.WithClock(now))
}
