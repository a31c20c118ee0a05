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
	readEvery   = time.Second
	readSoon    = 200 * time.Millisecond // after ErrNoReading
	readTimeout = 3 * time.Second        // a reading that takes longer counts as failed
)

// verdict is the guard's judgment of its last reading.
type verdict int

const (
	verdictUnknown verdict = iota // no reading yet
	verdictDown
	verdictUp
)

// guard plans the readings and judges them. The Controller's loop owns it; the
// goroutine of a reading only calls meter and sends to results.
type guard struct {
	meter    Meter
	panicked panicHook
	results  chan reading // room for one, so that the goroutine of a reading never waits
	wg       sync.WaitGroup

	enabled  bool
	ctx      context.Context // of the readings of this series; nil while there is none
	cancel   context.CancelFunc
	series   int       // number of the series; a reading of an earlier one is dropped
	underWay bool      // the goroutine of a reading is running
	begun    time.Time // when the last reading of this series began
	next     time.Time // when the next one is due

	last  *Reading // nil before the first
	err   error    // why the last reading failed
	fresh bool     // last has not been counted yet
	latch latch    // keeps the guard down for a while
	downs uint64   // how often it has gone down
}

// reading is what one call of Meter.Read gave.
type reading struct {
	series int
	r      Reading
	err    error
}

func newGuard(m Meter, panicked panicHook) *guard {
	return &guard{meter: m, panicked: panicked, results: make(chan reading, 1), enabled: true}
}

// setRunning begins or ends a series of readings. At the end it forgets the last
// reading: a later series must not trust it.
func (g *guard) setRunning(on bool, now time.Time) {
	switch {
	case on && g.ctx == nil:
		g.ctx, g.cancel = context.WithCancel(context.Background())
		g.series++
		g.begun, g.next = now, now
	case !on && g.ctx != nil:
		g.cancel()
		g.ctx, g.cancel = nil, nil
		g.last, g.err = nil, nil
		g.latch.reset()
	}
}

// step begins the reading that is due. Its goroutine ends when the Meter returns;
// setRunning(false) cancels its context, and wait waits for it.
func (g *guard) step(now time.Time) {
	if g.ctx == nil || g.underWay || now.Before(g.next) {
		return
	}
	g.underWay, g.begun = true, now
	ctx, series := g.ctx, g.series
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		var r Reading
		err := catch(g.panicked, "the meter", func() (err error) {
			r, err = g.meter.Read(ctx)
			return err
		})
		g.results <- reading{series: series, r: r, err: err}
	}()
}

// accept makes got, which came from results, the last reading.
func (g *guard) accept(got reading) {
	g.underWay = false
	if g.ctx == nil || got.series != g.series {
		return
	}
	g.next = g.begun.Add(readEvery)
	g.last, g.err, g.fresh = nil, nil, false
	switch {
	case errors.Is(got.err, ErrNoReading):
		g.next = g.begun.Add(readSoon)
	case got.err != nil:
		g.err = got.err
	default:
		g.last, g.fresh = &got.r, true
	}
}

// deadline returns when step or judge has to be called next; zero for never.
func (g *guard) deadline(now time.Time) time.Time {
	switch late := g.begun.Add(readTimeout); {
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

// follow counts the last reading towards the end of the time for which the guard stays
// down. went reports whether the guard has gone down with it.
func (g *guard) follow(c model.DumpConfig, now time.Time) (went bool) {
	g.latch.limit(c)
	fresh := g.fresh
	g.fresh = false
	if !g.enabled || g.ctx == nil {
		g.latch.reset()
		return false
	}
	switch v, _ := g.compare(c, now); {
	case v == verdictDown:
		went = g.latch.trip()
	case v == verdictUnknown:
		g.latch.interrupt()
	case fresh:
		g.latch.add(g.last)
	}
	if went {
		g.downs++
	}
	return went
}

// judge returns the verdict with its reason. A rate at its limit is down; a guard that
// has gone down stays so until the latch lets it go.
func (g *guard) judge(c model.DumpConfig, now time.Time) (verdict, string) {
	v, why := g.compare(c, now)
	if v != verdictDown && g.enabled && g.latch.down {
		return verdictDown, why + ", but it was not: " + g.latch.String()
	}
	return v, why
}

// compare compares the last reading with the limits of c.
func (g *guard) compare(c model.DumpConfig, now time.Time) (verdict, string) {
	switch {
	case !g.enabled:
		return verdictUp, "guard is off"
	case g.ctx != nil && g.underWay && now.Sub(g.begun) >= readTimeout:
		return verdictDown, fmt.Sprintf("reading takes longer than %v", readTimeout)
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

// status returns the guard's status with that verdict and reason.
func (g *guard) status(v verdict, why string) GuardStatus {
	s := GuardStatus{Enabled: g.enabled, Available: v == verdictUp, Source: why, Downs: g.downs}
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
