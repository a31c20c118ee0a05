package logdir

import (
	"testing"
	"time"
)

// A wait is never longer than it was meant to be.
func TestAWaitIsNoLongerThanMeant(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b backoff
	b.failed(now)
	for _, at := range []time.Duration{firstWait, -1, -time.Hour, 24 * time.Hour} {
		if !b.ready(now.Add(at)) {
			t.Errorf("not ready %v after the failure", at)
		}
	}
	for _, at := range []time.Duration{0, firstWait - 1} {
		if b.ready(now.Add(at)) {
			t.Errorf("ready %v after the failure", at)
		}
	}
}
