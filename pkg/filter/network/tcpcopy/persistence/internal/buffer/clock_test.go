package buffer

import (
	"math/rand/v2"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/cycles"
)

// The time is that of the system to less than a millisecond, and never goes back.
func TestTheClockNeverGoesBack(t *testing.T) {
	base := time.Now()
	c := NewClock(base)
	exact := func() int64 { return base.UnixNano() + int64(time.Since(base)) }
	var last int64
	byCycles := 0
	for end := time.Now().Add(10 * clockTrial); time.Now().Before(end); {
		_, ok := c.since(cycles.Count())
		if ok {
			byCycles++
		}
		before := exact()
		now := c.Now()
		after := exact()
		if now < before-int64(clockSpan) || now > after+int64(clockSpan) {
			t.Fatalf("%d is given between %d and %d, by the cycles: %v", now, before, after, ok)
		}
		if now < last {
			t.Fatalf("%d is given after %d", now, last)
		}
		last = now
	}
	if cycles.Steady() && byCycles == 0 {
		t.Error("the cycles have never been used")
	}
}

// Without a steady counter the clock asks the system.
func TestTheClockAsksTheSystemWithoutASteadyCounter(t *testing.T) {
	c := NewClock(time.Now())
	c.steady = false
	for end := time.Now().Add(2 * clockTrial); time.Now().Before(end); {
		if c.Now(); c.span != 0 {
			t.Fatal("the cycles are used")
		}
	}
}

// Whatever the counter does, the clock is wrong by no more than its span: against a
// system's clock of the test's own, and a counter whose rate changes, which goes back,
// and which the process may wait beside.
func TestTheClockIsRightWhateverTheCounterDoes(t *testing.T) {
	const ghz = 2.5
	for _, test := range []struct {
		name  string
		count func(ns int64) uint64 // what the counter has at a time
	}{
		{"steady", func(ns int64) uint64 { return uint64(float64(ns) * ghz) }},
		{"wraps", func(ns int64) uint64 { return uint64(float64(ns)*ghz) - 1<<24 }},
		{"faster from a moment on", func(ns int64) uint64 { return uint64(float64(ns+max(0, ns-5e7)) * ghz) }},
		{"slower from a moment on", func(ns int64) uint64 { return uint64(float64(ns-max(0, ns-5e7)/3) * ghz) }},
		{"goes back", func(ns int64) uint64 { return uint64(float64(ns-ns/4e7*1e7) * ghz) }},
		{"stands still", func(int64) uint64 { return 7 }},
		{"too fast", func(ns int64) uint64 { return uint64(ns) * 1000 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			c := Clock{steady: true}
			asked := 0
			for ns := int64(1); ns < 2e8; ns += r.Int64N(5e4) {
				given, ok := c.since(test.count(ns))
				if !ok {
					asked++
					given = ns // the system's
					begun := ns
					if r.IntN(10) == 0 {
						begun -= r.Int64N(1e7) // the process has waited in between
					}
					c.learn(test.count(begun), reading{test.count(ns), ns})
				}
				if off := given - ns; off > int64(clockSpan) || off < -int64(clockSpan) {
					t.Fatalf("wrong by %d ns at %d, by the cycles: %v", off, ns, ok)
				}
			}
			t.Logf("asked the system %d times", asked)
			if test.name == "steady" && asked > 1500 {
				t.Errorf("asked the system %d times", asked)
			}
		})
	}
}
