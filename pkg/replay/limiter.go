package replay

import (
	"sync"
	"time"
)

// limiter spreads sends over time, so that there are no more than a rate allows.
type limiter struct {
	every time.Duration // between two sends; zero means there is no limit

	mu   sync.Mutex
	next time.Time // guarded by mu; the earliest moment of the next send
}

func newLimiter(rate float64) *limiter {
	if rate <= 0 {
		return &limiter{}
	}
	return &limiter{every: time.Duration(float64(time.Second) / rate)}
}

// reserve returns the moment, now or later, at which a send that is due at due may
// happen.
func (l *limiter) reserve(due, now time.Time) time.Time {
	if l.every == 0 {
		return due
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.next
	if at.Before(due) {
		at = due
	}
	if at.Before(now) {
		at = now
	}
	l.next = at.Add(l.every)
	return at
}
