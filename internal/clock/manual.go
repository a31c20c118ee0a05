package clock

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Manual is a Clock that moves only when a test says so. It is safe for concurrent
// use.
type Manual struct {
	mu      sync.Mutex
	now     time.Time             // guarded by mu
	timers  map[*manualTimer]bool // that have not fired; guarded by mu
	changed chan struct{}         // closed when now or timers change; guarded by mu
}

type manualTimer struct {
	clock *Manual
	at    time.Time
	c     chan time.Time
}

// NewManual returns a Manual clock that shows now.
func NewManual(now time.Time) *Manual {
	return &Manual{now: now, timers: map[*manualTimer]bool{}, changed: make(chan struct{})}
}

// Now implements Clock.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// TimerAt implements Clock.
func (m *Manual) TimerAt(at time.Time) Timer {
	t := &manualTimer{clock: m, at: at, c: make(chan time.Time, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timers[t] = true
	m.fireLocked()
	return t
}

// Advance moves the clock by d, which may be negative, and fires the timers that
// are due then.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
	m.fireLocked()
}

// AdvanceTo moves the clock on to t, and fires the timers that are due then. It
// does nothing where the clock is at t or later.
func (m *Manual) AdvanceTo(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.After(m.now) {
		m.now = t
		m.fireLocked()
	}
}

// AwaitTimers waits until ready returns true, and reports whether it did so before
// ctx ended. It calls ready with the time and the moments of the timers that have
// not fired, earliest first, now and after each change of them.
func (m *Manual) AwaitTimers(ctx context.Context, ready func(now time.Time, pending []time.Time) bool) bool {
	for {
		m.mu.Lock()
		now, changed := m.now, m.changed
		pending := make([]time.Time, 0, len(m.timers))
		for t := range m.timers {
			pending = append(pending, t.at)
		}
		m.mu.Unlock()
		slices.SortFunc(pending, time.Time.Compare)
		if ready(now, pending) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (m *Manual) fireLocked() {
	for t := range m.timers {
		if !t.at.After(m.now) {
			t.c <- m.now
			delete(m.timers, t)
		}
	}
	m.changedLocked()
}

func (m *Manual) changedLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// C implements Timer.
func (t *manualTimer) C() <-chan time.Time { return t.c }

// Stop implements Timer.
func (t *manualTimer) Stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
	t.clock.changedLocked()
}
