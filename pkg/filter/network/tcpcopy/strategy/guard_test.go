package strategy

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

func TestJudge(t *testing.T) {
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
	r := guarded(t)
	r.calm(2)
	if lines := r.log.with("guard"); lines != nil {
		t.Errorf("logged with the guard up: %q", lines)
	}
	for range 5 {
		r.read(91.2, 20, nil)
	}
	r.calm(5)
	want := []string{
		"WARN guard is down, nothing is recorded: host cpu 91.2 >= 80",
		"INFO guard is up again: host cpu 10.0 < 80, cgroup mem 20.0 < 70",
	}
	if got := r.log.with("guard"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestGuardInManualWindow: the switch is off, so readings go with the window.
func TestGuardInManualWindow(t *testing.T) {
	r := newRig(t)
	r.SetGuard(true)
	result := r.manual(10 * time.Second)
	r.answer(10, nil)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	r.expect("open manual w1 for 10s")
	r.clock.Advance(readEvery)
	r.read(99, 20, nil)
	r.expect("hold w1 guard")
	if _, err := r.CloseWindow(); err != nil {
		t.Fatal(err)
	}
	r.expect("close w1")
	r.guard.wait() // the reading under way was called off
	r.pass(time.Hour)
	select {
	case <-r.meter.begun:
		t.Error("read with the switch off and no window open")
	default:
	}
}

// guarded returns a rig with the guard on and scheduled windows of 10 s.
func guarded(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.SetGuard(true)
	r.mustSet(model.LayerApp, config("ON", 30, 10))
	return r
}

func TestGuardReadsOnlyWhenNeeded(t *testing.T) {
	r := newRig(t)
	r.SetGuard(true)
	r.pass(time.Hour)
	select {
	case <-r.meter.begun:
		t.Fatal("read while the switch is off and no window is open")
	default:
	}
	if g := r.Status().Guard; g.Available || !g.Enabled || g.Source != "no reading yet" {
		t.Errorf("guard: %+v", g)
	}
	r.mustSet(model.LayerApp, config("ON", 30, 10))
	r.read(0, 0, ErrNoReading) // the second one comes soon
	r.calm(2)                  // then one a second
	if g := r.Status().Guard; !g.Available || g.CPU != 10 || g.Mem != 20 {
		t.Errorf("guard: %+v", g)
	}
	r.mustSet(model.LayerApp, config("OFF", 30, 10))
	if g := r.Status().Guard; g.Available || g.CPU != 0 {
		t.Errorf("guard trusts a reading of another time: %+v", g)
	}
	r.guard.wait() // the reading under way was called off
}

func TestGuardKeepsWindowClosed(t *testing.T) {
	tests := []struct {
		name string
		last func(*rig)
		why  string
	}{
		{"above", func(r *rig) { r.read(91.2, 20, nil) }, "host cpu 91.2 >= 80"},
		{"at", func(r *rig) { r.read(10, 70, nil) }, "cgroup mem 70.0 >= 70"},
		{"failing", func(r *rig) { r.read(0, 0, errors.New("no /proc")) }, "no /proc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := guarded(t)
			r.calm(28)
			tt.last(r)
			tt.last(r) // it is 30 s now, and the first of the two was taken for certain
			r.quiet()
			if s := r.Status(); s.Skipped.Windows != 1 || !strings.Contains(s.Skipped.Reason, tt.why) || !strings.Contains(s.Guard.Source, tt.why) {
				t.Errorf("status: %+v", s)
			}
			if _, err := r.OpenManual(time.Second); !errors.Is(err, ErrGuardDown) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("manual: %v", err)
			}
			r.calm(30) // the wait starts anew
			r.expect("open schedule w1 for 10s")
		})
	}
}

func TestGuardPausesWindow(t *testing.T) {
	r := guarded(t)
	r.calm(30)
	r.expect("open schedule w1 for 10s")
	r.read(80, 20, nil)
	r.expect("hold w1 guard")
	if s := r.Status(); r.Open() == nil || !s.Window.Paused {
		t.Errorf("paused window: %+v", s.Window)
	}
	r.read(99, 20, nil)
	r.quiet()
	r.calm(1)
	r.expect("release w1 guard")
	r.read(0, 0, errors.New("no /proc"))
	r.expect("hold w1 guard")
	if g := r.Status().Guard; g.Available || g.Err != "no /proc" {
		t.Errorf("guard: %+v", g)
	}
	r.calm(1)
	r.expect("release w1 guard")

	// The limits may change too.
	tight := config("ON", 30, 10)
	tight.CpuMaxRate = 10
	r.mustSet(model.LayerApp, tight)
	r.expect("hold w1 guard")
	tight.CpuMaxRate = 10.1
	r.mustSet(model.LayerApp, tight)
	r.expect("release w1 guard")

	r.SetGuard(false)
	r.quiet()
	r.guard.wait() // the reading under way was called off
	r.reading = false
	r.SetGuard(true)
	r.expect("hold w1 guard") // until the first reading
	r.pass(10 * time.Second)
	r.expect("close w1")
}

func TestGuardLosesPatience(t *testing.T) {
	r := guarded(t)
	r.calm(30)
	r.expect("open schedule w1 for 10s")
	r.pass(readPatience - 1)
	r.quiet()
	r.pass(1)
	r.expect("hold w1 guard")
	if g := r.Status().Guard; g.Available || !strings.Contains(g.Source, "takes longer") {
		t.Errorf("guard: %+v", g)
	}
	r.calm(1)
	r.expect("release w1 guard")
}

func TestGuardOff(t *testing.T) {
	r := newRig(t)
	r.mustSet(model.LayerApp, config("ON", 30, 10))
	r.pass(30 * time.Second)
	r.expect("open schedule w1 for 10s")
	if g := r.Status().Guard; !g.Available || g.Enabled {
		t.Errorf("guard: %+v", g)
	}
	select {
	case <-r.meter.begun:
		t.Error("read for a guard that is off")
	default:
	}
}

// manual opens a manual window from another goroutine, which ends when r.Close
// has been called at the latest.
func (r *rig) manual(d time.Duration) <-chan error {
	result := make(chan error, 1)
	go func() {
		_, err := r.OpenManual(d)
		result <- err
	}()
	return result
}

func TestManualWaitsForFirstReading(t *testing.T) {
	tests := []struct {
		name string
		then func(*rig)
		want error
		why  string
	}{
		{"up", func(r *rig) { r.read(0, 0, ErrNoReading); r.answer(1, nil) }, nil, ""},
		{"down", func(r *rig) { r.read(0, 0, ErrNoReading); r.answer(99, nil) }, ErrGuardDown, "host cpu 99.0 >= 80"},
		{"fails", func(r *rig) { r.answer(0, errors.New("no /proc")) }, ErrGuardDown, "no /proc"},
		{"none", func(r *rig) { r.clock.Advance(manualPatience) }, ErrGuardDown, "no reading yet"},
		{"forced off", func(r *rig) { r.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10)) }, ErrForceOff, ""},
		{"closed", func(r *rig) { r.Close() }, ErrClosed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.SetGuard(true)
			result := r.manual(10 * time.Second)
			r.awaitRead()
			tt.then(r)
			err := <-result
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.why)
			}
			if err == nil && r.Status().Window == nil {
				t.Error("the window is not in the status")
			}
		})
	}
}

// answer answers the reading under way and does not wait for the next one.
func (r *rig) answer(cpu float64, err error) {
	r.t.Helper()
	r.awaitRead()
	r.meter.answers <- func() (Reading, error) { return Reading{CPU: cpu, CPUSource: "host"}, err }
	r.reading = false
}
