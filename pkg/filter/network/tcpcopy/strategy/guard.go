package strategy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

const (
	readEvery    = time.Second
	readSoon     = 200 * time.Millisecond // after ErrNoReading
	readPatience = 3 * time.Second        // a reading that takes longer counts as failed
)

// verdict is what the guard makes of its last reading.
type verdict int

const (
	verdictUnknown verdict = iota // no reading yet
	verdictDown
	verdictUp
)

// guard plans the readings and judges them. All of it belongs to the
// Controller's loop, except for the goroutine of one reading.
type guard struct {
	meter    Meter
	panicked panicHook
	results  chan reading // room for one, so that the goroutine of a reading never waits
	wg       sync.WaitGroup

	enabled  bool
	ctx      context.Context // of the readings of this run; nil while not running
	cancel   context.CancelFunc
	run      int       // number of the run; a reading of an earlier one is dropped
	underWay bool      // a reading is being taken
	begun    time.Time // when it began, in this run
	next     time.Time // when the next one is due

	last *Reading // nil before the first
	err  error    // why the last reading failed
}

// reading is what one call of Meter.Read gave.
type reading struct {
	run int
	r   Reading
	err error
}

func newGuard(m Meter, panicked panicHook) *guard {
	return &guard{meter: m, panicked: panicked, results: make(chan reading, 1), enabled: true}
}

// setRunning starts or stops the readings. What was known goes when they stop:
// a later start must not trust it.
func (g *guard) setRunning(on bool, now time.Time) {
	switch {
	case on && g.ctx == nil:
		g.ctx, g.cancel = context.WithCancel(context.Background())
		g.run++
		g.begun, g.next = now, now
	case !on && g.ctx != nil:
		g.cancel()
		g.ctx, g.cancel = nil, nil
		g.last, g.err = nil, nil
	}
}

// step begins the reading that is due. Its goroutine ends when the Meter returns,
// which setRunning(false) hastens; wait waits for it.
func (g *guard) step(now time.Time) {
	if g.ctx == nil || g.underWay || now.Before(g.next) {
		return
	}
	g.underWay, g.begun = true, now
	ctx, run := g.ctx, g.run
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		var r Reading
		err := catch(g.panicked, "the meter", func() (err error) {
			r, err = g.meter.Read(ctx)
			return err
		})
		g.results <- reading{run: run, r: r, err: err}
	}()
}

// take accepts the reading that results had.
func (g *guard) take(got reading) {
	g.underWay = false
	if g.ctx == nil || got.run != g.run {
		return
	}
	g.next = g.begun.Add(readEvery)
	g.last, g.err = nil, nil
	switch {
	case errors.Is(got.err, ErrNoReading):
		g.next = g.begun.Add(readSoon)
	case got.err != nil:
		g.err = got.err
	default:
		g.last = &got.r
	}
}

// deadline is when step or judge has something to say; zero when never.
func (g *guard) deadline(now time.Time) time.Time {
	switch late := g.begun.Add(readPatience); {
	case g.ctx == nil:
		return time.Time{}
	case !g.underWay:
		return g.next
	case now.Before(late):
		return late
	default:
		return time.Time{}
	}
}

// judge compares the last reading with the limits of c; at a limit is down.
func (g *guard) judge(c model.DumpConfig, now time.Time) (verdict, string) {
	switch {
	case !g.enabled:
		return verdictUp, "guard is off"
	case g.ctx != nil && g.underWay && now.Sub(g.begun) >= readPatience:
		return verdictDown, fmt.Sprintf("reading takes longer than %v", readPatience)
	case g.err != nil:
		return verdictDown, "reading failed: " + g.err.Error()
	case g.last == nil:
		return verdictUnknown, "no reading yet"
	}
	var over, under []string
	compare := func(what, source string, rate, limit float64) {
		// Not rate >= limit: a rate that is no number is not below anything.
		if rate < limit {
			under = append(under, fmt.Sprintf("%s %s %.1f < %g", source, what, rate, limit))
		} else {
			over = append(over, fmt.Sprintf("%s %s %.1f >= %g", source, what, rate, limit))
		}
	}
	compare("cpu", g.last.CPUSource, g.last.CPU, c.CpuMaxRate)
	compare("mem", g.last.MemSource, g.last.Mem, c.MemMaxRate)
	if len(over) > 0 {
		return verdictDown, strings.Join(over, ", ")
	}
	return verdictUp, strings.Join(under, ", ")
}

// status puts the verdict and its reason into a GuardStatus.
func (g *guard) status(v verdict, why string) GuardStatus {
	s := GuardStatus{Enabled: g.enabled, Available: v == verdictUp, Source: why}
	if g.last != nil {
		s.CPU, s.Mem = g.last.CPU, g.last.Mem
	}
	if g.err != nil {
		s.Err = g.err.Error()
	}
	return s
}

// wait returns when no reading is under way any more.
func (g *guard) wait() { g.wg.Wait() }
