package persistence

import "time"

// backoff spaces the tries of a sink that fails. It is guarded by the sink's lock.
type backoff struct {
	next time.Time
	wait time.Duration
}

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// ready tells whether it is time for a try. A moment that is further ahead than the
// wait is none to wait for: the clock has gone back.
func (b *backoff) ready(now time.Time) bool {
	return b.wait == 0 || !now.Before(b.next) || b.next.Sub(now) > b.wait
}

// failed notes a failure and tells whether it is the first in a row.
func (b *backoff) failed(now time.Time) (first bool) {
	first = b.wait == 0
	b.wait = min(max(2*b.wait, firstRetry), lastRetry)
	b.next = now.Add(b.wait)
	return first
}

// worked notes a success and tells whether it ends a row of failures.
func (b *backoff) worked() (recovered bool) {
	recovered = b.wait > 0
	*b = backoff{}
	return recovered
}
