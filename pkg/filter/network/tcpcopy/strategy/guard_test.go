package strategy

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

func TestAReadingAtALimitIsDown(t *testing.T) {
	limits := config("ON", 30, 10) // cpu 80, mem 70
	tests := []struct {
		name string
		r    Reading
		want verdict
		why  string
	}{
		{"below", Reading{CPU: 79.9, Mem: 69.9}, verdictUp, "host cpu 79.9 < 80, cgroup mem 69.9 < 70"},
		{"cpu at", Reading{CPU: 80, Mem: 1}, verdictDown, "host cpu 80.0 >= 80"},
		{"cpu above", Reading{CPU: 91.23, Mem: 1}, verdictDown, "host cpu 91.2 >= 80"},
		{"mem at", Reading{CPU: 1, Mem: 70}, verdictDown, "cgroup mem 70.0 >= 70"},
		{"mem above", Reading{CPU: 1, Mem: 99}, verdictDown, "cgroup mem 99.0 >= 70"},
		{"both", Reading{CPU: 100, Mem: 100}, verdictDown, "host cpu 100.0 >= 80, cgroup mem 100.0 >= 70"},
		{"no number", Reading{CPU: math.NaN(), Mem: 1}, verdictDown, "host cpu NaN >= 80"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuard(nil, nil)
			tt.r.CPUSource, tt.r.MemSource = "host", "cgroup"
			g.last = &tt.r
			got, why := g.judge(limits, time.Now())
			if got != tt.want || why != tt.why {
				t.Errorf("got %v, %q, want %v, %q", got, why, tt.want, tt.why)
			}
		})
	}
}

func TestGuardIsLoggedOnce(t *testing.T) {
	h := guarded(t)
	h.calm(2)
	if lines := h.log.with("guard"); lines != nil {
		t.Errorf("logged with the guard up: %q", lines)
	}
	for range 5 {
		h.read(91.2, 20, nil)
	}
	h.calm(clearReadings - 1)
	want := []string{
		"WARN guard is down, nothing is recorded: host cpu 91.2 >= 80",
		"INFO guard is up again: host cpu 10.0 < 80, cgroup mem 20.0 < 70",
	}
	if got := h.log.with("guard"); !slices.Equal(got, want[:1]) {
		t.Errorf("before its time is over: %q, want %q", got, want[:1])
	}
	h.calm(1)
	if got := h.log.with("guard"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A rate that swings around its limit makes the guard go down once, not at every other
// reading. When the swings are slower than the hold time, the log has a line a minute.
func TestARateThatSwingsDoesNotMakeTheGuardSwing(t *testing.T) {
	h := guarded(t)
	h.calm(30)
	h.expect("open schedule w1 for 10s")
	h.mustSet(model.LayerApp, config("ON", 3600, 3599))
	for range 25 {
		h.read(85, 20, nil)
		h.read(79.9, 20, nil)
		h.read(60, 20, nil)
	}
	h.expect("pause w1 guard")
	h.quiet()
	if lines := h.log.with("guard"); len(lines) != 1 {
		t.Errorf("the log has %d lines: %q", len(lines), lines)
	}
	if g := h.Status().Guard; g.Available || g.Downs != 1 || !strings.Contains(g.Source, "host cpu 60.0 < 80") || !strings.Contains(g.Source, "cpu < 75") {
		t.Errorf("status %+v", g)
	}
	h.calm(clearReadings)
	h.expect("resume w1 guard")
	for range 30 { // six minutes
		h.read(85, 20, nil)
		h.expect("pause w1 guard")
		h.calm(clearReadings + 1)
		h.expect("resume w1 guard")
	}
	lines := h.log.with("guard is down")
	if len(lines) < 4 || len(lines) > 8 || !strings.Contains(lines[3], "it went down 4 more times since the last line") {
		t.Errorf("in six minutes the log has %d lines: %q", len(lines), lines)
	}
	if g := h.Status().Guard; g.Downs != 31 {
		t.Errorf("it went down %d times", g.Downs)
	}
	h.calm(60)
	if got := h.log.with("more times"); !strings.HasPrefix(got[len(got)-1], "INFO guard is up: ") {
		t.Errorf("the last ones are not counted: %q", got)
	}
}

// How low the rates must be before a guard that is down is up again, and for how long.
func TestTheGuardComesUpBelowTheBand(t *testing.T) {
	for _, tt := range []struct {
		name     string
		cpu, mem float64 // limits
		r        Reading
		want     int // readings; 0 for never
	}{
		{"far below", 80, 70, Reading{CPU: 1, Mem: 1}, clearReadings},
		{"just below the band", 80, 70, Reading{CPU: 74.9, Mem: 64.9}, clearReadings},
		{"within the band of cpu", 80, 70, Reading{CPU: 75, Mem: 1}, belowReadings},
		{"within the band of mem", 80, 70, Reading{CPU: 1, Mem: 69.9}, belowReadings},
		{"low limit", 1, 70, Reading{CPU: 0.7, Mem: 1}, clearReadings},
		{"low limit, within its band", 1, 70, Reading{CPU: 0.75, Mem: 1}, belowReadings},
		{"tiny limit", 0.001, 0.001, Reading{}, clearReadings},
		{"high limit", 99.9, 99.9, Reading{CPU: 94.8, Mem: 94.8}, clearReadings},
		{"high limit, within its band", 99.9, 99.9, Reading{CPU: 99.8, Mem: 99.8}, belowReadings},
		{"at the limit", 80, 70, Reading{CPU: 80, Mem: 1}, 0},
		{"no number", 80, 70, Reading{CPU: math.NaN(), Mem: 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config("ON", 30, 10)
			c.CpuMaxRate, c.MemMaxRate = tt.cpu, tt.mem
			g := newGuard(nil, nil)
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			g.setRunning(true, now)
			feed := func(r Reading) verdict {
				g.accept(reading{series: g.series, r: r})
				g.follow(c, now)
				g.follow(c, now) // a reading counts once
				v, _ := g.judge(c, now)
				return v
			}
			if feed(tt.r) == verdictUp != (tt.want > 0) {
				t.Fatal("the first reading alone does not decide")
			}
			feed(Reading{CPU: 100, Mem: 100})
			got := 0
			for n := 1; n <= 2*belowReadings && got == 0; n++ {
				if feed(tt.r) == verdictUp {
					got = n
				}
			}
			if got != tt.want {
				t.Errorf("up after %d readings, want %d", got, tt.want)
			}
		})
	}
}

// What happens between the low readings of a guard that is down: a reading that fails,
// one that is missing, and one at the limit begin the time anew.
func TestTheTimeBelowTheLimitsIsWithoutABreak(t *testing.T) {
	for name, breaks := range map[string]func(*harness){
		"above":   func(h *harness) { h.read(99, 20, nil) },
		"fails":   func(h *harness) { h.read(0, 0, errors.New("no /proc")) },
		"missing": func(h *harness) { h.read(0, 0, ErrNoReading) },
		"late":    func(h *harness) { h.awaitRead(); h.pass(readTimeout) },
	} {
		t.Run(name, func(t *testing.T) {
			h := guarded(t)
			h.read(99, 20, nil)
			h.calm(clearReadings - 1)
			breaks(h)
			h.calm(clearReadings - 1)
			if g := h.Status().Guard; g.Available {
				t.Error("up too early")
			}
			h.calm(1)
			if g := h.Status().Guard; !g.Available {
				t.Errorf("still down: %+v", g)
			}
		})
	}
}

// An operator may insist on a window: the guard neither keeps it closed nor pauses it.
// FORCE_OFF ends it even so.
func TestTheGuardHasNoSayInAnUnguardedWindow(t *testing.T) {
	for name, r := range map[string]func(*harness){
		"above":  func(h *harness) { h.read(99, 99, nil) },
		"fails":  func(h *harness) { h.read(0, 0, errors.New("no /proc")) },
		"late":   func(h *harness) { h.awaitRead(); h.pass(readTimeout) },
		"absent": func(h *harness) { h.awaitRead() },
	} {
		t.Run(name, func(t *testing.T) {
			h := guarded(t)
			r(h)
			w, err := h.OpenUnguarded(10 * time.Second)
			if err != nil || !w.Unguarded {
				t.Fatalf("%+v, %v", w, err)
			}
			h.expect("open manual w1 for 10s")
			if s := h.Status(); s.Window == nil || s.Window.Paused || s.Window.Guard != "off" {
				t.Errorf("status %+v", s.Window)
			}
			h.read(99, 99, nil)
			h.quiet()
			if s := h.Status(); s.Guard.Available || s.Window.Paused {
				t.Errorf("status %+v", s)
			}
			h.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10))
			h.expect("close w1")
			if _, err := h.OpenUnguarded(time.Second); !errors.Is(err, ErrForceOff) {
				t.Errorf("under FORCE_OFF: %v", err)
			}
		})
	}
}

// TestGuardInManualWindow: the switch is off, so readings go with the window.
func TestGuardInManualWindow(t *testing.T) {
	h := newHarness(t)
	h.SetGuard(true)
	result := h.manual(10 * time.Second)
	h.answer(10, nil)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	h.expect("open manual w1 for 10s")
	h.clock.Advance(readEvery)
	h.read(99, 20, nil)
	h.expect("pause w1 guard")
	if _, err := h.CloseWindow(); err != nil {
		t.Fatal(err)
	}
	h.expect("close w1")
	h.guard.wait() // the reading under way was called off
	h.pass(time.Hour)
	select {
	case <-h.meter.begun:
		t.Error("read with the switch off and no window open")
	default:
	}
}

// guarded returns a harness with the guard on and scheduled windows of 10 s.
func guarded(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t)
	h.SetGuard(true)
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	return h
}

func TestGuardReadsOnlyWhenNeeded(t *testing.T) {
	h := newHarness(t)
	h.SetGuard(true)
	h.pass(time.Hour)
	select {
	case <-h.meter.begun:
		t.Fatal("read while the switch is off and no window is open")
	default:
	}
	if g := h.Status().Guard; g.Available || !g.Enabled || g.Source != "no reading yet" {
		t.Errorf("guard: %+v", g)
	}
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	h.read(0, 0, ErrNoReading) // the second one comes soon
	h.calm(2)                  // then one per second
	if g := h.Status().Guard; !g.Available || g.CPU != 10 || g.Mem != 20 {
		t.Errorf("guard: %+v", g)
	}
	h.mustSet(model.LayerApp, config("OFF", 30, 10))
	if g := h.Status().Guard; g.Available || g.CPU != 0 {
		t.Errorf("guard trusts a reading of another time: %+v", g)
	}
	h.guard.wait() // the reading under way was called off
}

func TestGuardKeepsWindowClosed(t *testing.T) {
	tests := []struct {
		name string
		last func(*harness)
		why  string
	}{
		{"above", func(h *harness) { h.read(91.2, 20, nil) }, "host cpu 91.2 >= 80"},
		{"at", func(h *harness) { h.read(10, 70, nil) }, "cgroup mem 70.0 >= 70"},
		{"failing", func(h *harness) { h.read(0, 0, errors.New("no /proc")) }, "no /proc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := guarded(t)
			h.calm(28)
			tt.last(h)
			tt.last(h) // it is 30 s now, and the first of the two has been accepted for certain
			h.quiet()
			if s := h.Status(); s.Skipped.Windows != 1 || !strings.Contains(s.Skipped.Reason, tt.why) || !strings.Contains(s.Guard.Source, tt.why) {
				t.Errorf("status: %+v", s)
			}
			if _, err := h.OpenManual(time.Second); !errors.Is(err, ErrGuardDown) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("manual: %v", err)
			}
			skipped := h.Status().Skipped.List
			if len(skipped) != 2 || skipped[0].Reason != record.SkipGuard || skipped[0].Trigger != record.TriggerSchedule || skipped[1].Trigger != record.TriggerManual || skipped[1].Windows != 1 {
				t.Errorf("skipped %+v", skipped)
			}
			h.calm(30) // the wait starts anew
			h.expect("open schedule w1 for 10s")
		})
	}
}

func TestGuardPausesWindow(t *testing.T) {
	h := guarded(t)
	h.calm(30)
	h.expect("open schedule w1 for 10s")
	h.read(80, 20, nil)
	h.expect("pause w1 guard")
	if s := h.Status(); h.Open() == nil || !s.Window.Paused {
		t.Errorf("paused window: %+v", s.Window)
	}
	h.mustSet(model.LayerApp, config("ON", 3600, 3599))
	h.read(99, 20, nil)
	h.quiet()
	h.calm(clearReadings)
	h.expect("resume w1 guard")
	h.read(0, 0, errors.New("no /proc"))
	h.expect("pause w1 guard")
	if g := h.Status().Guard; g.Available || g.Err != "no /proc" {
		t.Errorf("guard: %+v", g)
	}
	h.calm(clearReadings)
	h.expect("resume w1 guard")
	h.mustSet(model.LayerApp, config("ON", 100, 50))

	// The limits may change too.
	tight := config("ON", 100, 50)
	tight.CpuMaxRate = 10
	h.mustSet(model.LayerApp, tight)
	h.expect("pause w1 guard")
	tight.CpuMaxRate = 10.1
	h.mustSet(model.LayerApp, tight)
	h.expect("resume w1 guard")

	h.SetGuard(false)
	h.quiet()
	h.guard.wait() // the reading under way was called off
	h.reading = false
	h.SetGuard(true)
	h.expect("pause w1 guard") // until the first reading
	h.pass(50 * time.Second)
	h.expect("close w1")
}

func TestAReadingThatTakesTooLongPausesTheWindow(t *testing.T) {
	h := guarded(t)
	h.calm(30)
	h.expect("open schedule w1 for 10s")
	h.pass(readTimeout - 1)
	h.quiet()
	h.pass(1)
	h.expect("pause w1 guard")
	if g := h.Status().Guard; g.Available || !strings.Contains(g.Source, "takes longer") {
		t.Errorf("guard: %+v", g)
	}
	h.mustSet(model.LayerApp, config("ON", 3600, 3599))
	h.calm(clearReadings)
	h.expect("resume w1 guard")
}

func TestAGuardThatIsOffReadsNothing(t *testing.T) {
	h := newHarness(t)
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	h.pass(30 * time.Second)
	h.expect("open schedule w1 for 10s")
	if g := h.Status().Guard; !g.Available || g.Enabled {
		t.Errorf("guard: %+v", g)
	}
	select {
	case <-h.meter.begun:
		t.Error("read for a guard that is off")
	default:
	}
}

// manual opens a manual window from another goroutine, which ends when h.Close
// has been called at the latest.
func (h *harness) manual(d time.Duration) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := h.OpenManual(d)
		result <- err
	}()
	return result
}

func TestManualWaitsForFirstReading(t *testing.T) {
	tests := []struct {
		name string
		then func(*harness)
		want error
		why  string
	}{
		{"up", func(h *harness) { h.read(0, 0, ErrNoReading); h.answer(1, nil) }, nil, ""},
		{"down", func(h *harness) { h.read(0, 0, ErrNoReading); h.answer(99, nil) }, ErrGuardDown, "host cpu 99.0 >= 80"},
		{"fails", func(h *harness) { h.answer(0, errors.New("no /proc")) }, ErrGuardDown, "no /proc"},
		{"none", func(h *harness) { h.clock.Advance(manualTimeout) }, ErrGuardDown, "no reading yet"},
		{"forced off", func(h *harness) { h.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10)) }, ErrForceOff, ""},
		{"closed", func(h *harness) { h.Close() }, ErrClosed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			h.SetGuard(true)
			result := h.manual(10 * time.Second)
			h.awaitRead()
			tt.then(h)
			err := <-result
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.why)
			}
			if err == nil && h.Status().Window == nil {
				t.Error("the window is not in the status")
			}
		})
	}
}

// answer answers the reading under way and does not wait for the next one.
func (h *harness) answer(cpu float64, err error) {
	h.t.Helper()
	h.awaitRead()
	h.meter.answers <- func() (Reading, error) { return Reading{CPU: cpu, CPUSource: "host"}, err }
	h.reading = false
}
