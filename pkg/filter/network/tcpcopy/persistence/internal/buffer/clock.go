package buffer

import (
	"time"

	"mosn.io/tcpcopy/internal/cycles"
)

// Clock gives a shard's entries their times. Where the processor counts its cycles
// steadily, it reads the system's clock at most every clockSpan and derives the time
// between from the cycles: that is the cheaper half of what the system does itself.
// Elsewhere it reads the system's clock each time. It is not safe for concurrent use.
//
// Times count from a moment at which both clocks of the system were read, by the
// monotonic one: they do not jump when somebody sets the host's clock. No time is
// less than the one before, and none is wrong by more than clockSpan.
type Clock struct {
	base   time.Time // with its monotonic reading
	steady bool      // the cycles can be used

	first  reading // the first one
	last   reading // the latest one
	rate   uint64  // nanoseconds in 2^32 cycles
	span   uint64  // cycles after last that rate is good for; 0 while it is not known
	latest int64   // the latest time returned
}

// reading is a moment, read from both the counter and the system's clock.
type reading struct {
	cycles uint64
	ns     int64
}

const (
	// clockSpan is how long the cycles alone give the time. A rate that is wrong by
	// all of it makes times wrong by no more.
	clockSpan = 500 * time.Microsecond
	// clockTrial is how much time the rate is measured in at least.
	clockTrial = 10 * time.Millisecond
	// clockPause is how many cycles a reading may take: more, and the processor has
	// done something else in between.
	clockPause = 1 << 16
)

// NewClock returns a clock that goes on from base, a reading of time.Now.
func NewClock(base time.Time) Clock {
	return Clock{base: base, steady: cycles.Steady()}
}

// Now returns the time in nanoseconds since the Unix epoch.
func (c *Clock) Now() int64 {
	t, ok := c.since(cycles.Count())
	if !ok {
		t = c.read()
	}
	c.latest = max(c.latest, t)
	return c.latest
}

// since returns the time at that count of the cycles. ok is false when it is too long
// after the last reading, or before it.
func (c *Clock) since(count uint64) (t int64, ok bool) {
	d := count - c.last.cycles
	return c.last.ns + int64(d*c.rate>>32), d < c.span
}

// read asks the system.
func (c *Clock) read() int64 {
	before := cycles.Count()
	t := c.base.UnixNano() + int64(time.Since(c.base))
	if c.steady {
		c.learn(before, reading{cycles: cycles.Count(), ns: t})
	}
	return t
}

// learn continues from r, a reading that was begun at the count before.
func (c *Clock) learn(before uint64, r reading) {
	c.span = 0
	if r.cycles-before > clockPause {
		return // nobody knows when the system's clock was read
	}
	if c.first == (reading{}) {
		c.first = r
	}
	passed, counted := r.ns-c.first.ns, r.cycles-c.first.cycles
	if passed < int64(clockTrial) {
		return
	}
	// As it is with processors of 0.1 to 10 GHz: the product in since has room for it.
	if rate := float64(passed) / float64(counted); rate > 0.1 && rate < 10 {
		c.last, c.rate, c.span = r, uint64(rate*(1<<32)), uint64(float64(clockSpan)/rate)
	}
}
