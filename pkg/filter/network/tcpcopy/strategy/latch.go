package strategy

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// How far and for how long the rates must be below their limits before a guard that
// has gone down is up again. A rate that lies close to its limit crosses it at every
// other reading, and recording itself adds to the rates: without these the guard would
// go down and up every few seconds.
const (
	// guardBand is how far below its limit a rate must be, in percentage points. It is
	// more than recording adds to the processor time on one of a few processors.
	guardBand = 5.0
	// guardBandShare bounds the band to a share of the limit, so that a low limit can
	// be undercut.
	guardBandShare = 0.25
	// clearReadings is for how many readings in a row, one per second, all rates must
	// be below their limits by the band.
	clearReadings = 10
	// belowReadings is after how many readings in a row below the limits, but within
	// the band, the guard is up too: a rate that stays there does not swing.
	belowReadings = 60
)

// resumeBelow returns the rate below which a guard that is down may go up, for a limit.
func resumeBelow(limit float64) float64 {
	return limit - min(guardBand, limit*guardBandShare)
}

// latch keeps the guard down until the rates have been low for long enough. It counts
// readings and does not look at a clock, so that a clock that jumps changes nothing.
type latch struct {
	limits [2]float64 // of CPU and memory, which the counts are about
	down   bool
	clear  int // readings in a row below the limits by the band
	below  int // readings in a row below the limits
}

// reset forgets what was read: the next reading alone decides.
func (l *latch) reset() { l.down, l.clear, l.below = false, 0, 0 }

// limit is called before each judgment with the limits in force. New limits begin anew:
// whoever changes them wants them to count now.
func (l *latch) limit(c model.DumpConfig) {
	if limits := [2]float64{c.CpuMaxRate, c.MemMaxRate}; limits != l.limits {
		l.limits = limits
		l.reset()
	}
}

// trip makes the guard go down. went reports whether it was not down before.
func (l *latch) trip() (went bool) {
	went = !l.down
	l.down, l.clear, l.below = true, 0, 0
	return went
}

// interrupt says that a reading is missing: those before it do not count any more.
func (l *latch) interrupt() { l.clear, l.below = 0, 0 }

// add counts a reading that is below both limits.
func (l *latch) add(r *Reading) {
	if !l.down {
		return
	}
	l.below++
	l.clear++
	if !(r.CPU < resumeBelow(l.limits[0]) && r.Mem < resumeBelow(l.limits[1])) {
		l.clear = 0
	}
	if l.clear >= clearReadings || l.below >= belowReadings {
		l.reset()
	}
}

// String returns what a guard that is down waits for, for status and log.
func (l *latch) String() string {
	return fmt.Sprintf("waits for %d readings in a row with cpu < %g and mem < %g, has %d; or %d below the limits, has %d",
		clearReadings, resumeBelow(l.limits[0]), resumeBelow(l.limits[1]), l.clear, belowReadings, l.below)
}
