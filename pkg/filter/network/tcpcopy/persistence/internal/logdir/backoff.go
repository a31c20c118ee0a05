package logdir

import "time"

// backoff spaces the tries of a destination that fails. The destination's lock guards
// it.
type backoff struct {
	next time.Time
	wait time.Duration
}

const (
	firstWait = 100 * time.Millisecond
	// MaxWait is how long a destination waits after a failure at most.
	MaxWait = 5 * time.Second
)

// ready reports whether it is time for a try. A moment that is further ahead than the
// wait is none to wait for: the clock has gone back.
func (b *backoff) ready(now time.Time) bool {
	return b.wait == 0 || !now.Before(b.next) || b.next.Sub(now) > b.wait
}

// failed counts a failure and reports whether it is the first in a row.
func (b *backoff) failed(now time.Time) (first bool) {
	first = b.wait == 0
	b.wait = min(max(2*b.wait, firstWait), MaxWait)
	b.next = now.Add(b.wait)
	return first
}

// succeeded reports whether a success ends a row of failures.
func (b *backoff) succeeded() (ends bool) {
	ends = b.wait > 0
	*b = backoff{}
	return ends
}

// retry makes it time for a try. The failures remain a row.
func (b *backoff) retry() { b.next = time.Time{} }
