package strategy

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

func TestScheduleRepeats(t *testing.T) {
	r := newRig(t)
	r.mustSet(model.LayerApp, config("ON", 30, 10))
	if next := r.Status().Next; next == nil || next.Sub(r.clock.Now()) != 30*time.Second {
		t.Errorf("next opening: %v", next)
	}
	for _, id := range []string{"w1", "w2", "w3"} {
		r.pass(30 * time.Second)
		r.expect("open schedule " + id + " for 10s")
		if s := r.Status(); s.Next != nil || s.Window == nil || s.Window.ID != id || s.Window.Closes.Sub(r.clock.Now()) != 10*time.Second {
			t.Errorf("status in window: %+v", s)
		}
		r.pass(10 * time.Second)
		r.expect("close " + id)
	}
	r.quiet()
}

func TestReplan(t *testing.T) {
	on := func(interval, duration int) model.DumpConfig { return config("ON", interval, duration) }
	t.Run("shorter interval, moment ahead", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerApp, on(600, 10))
		r.pass(20 * time.Second)
		r.mustSet(model.LayerApp, on(60, 10))
		r.pass(40*time.Second - 1)
		r.quiet()
		r.pass(1)
		r.expect("open schedule w1 for 10s")
	})
	t.Run("shorter interval, moment passed", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerApp, on(600, 10))
		r.pass(100 * time.Second)
		r.mustSet(model.LayerApp, on(60, 10))
		r.expect("open schedule w1 for 10s")
	})
	t.Run("longer interval", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerApp, on(60, 10))
		r.pass(59 * time.Second)
		r.mustSet(model.LayerApp, on(120, 10))
		r.pass(61*time.Second - 1)
		r.quiet()
		r.pass(1)
		r.expect("open schedule w1 for 10s")
	})
	t.Run("duration in the wait", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerApp, on(60, 10))
		r.pass(30 * time.Second)
		r.mustSet(model.LayerApp, on(60, 20))
		r.pass(30 * time.Second)
		r.expect("open schedule w1 for 20s")
	})
	t.Run("duration in the window", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerApp, on(60, 10))
		r.pass(60 * time.Second)
		r.expect("open schedule w1 for 10s")
		r.mustSet(model.LayerApp, on(60, 30))
		r.pass(20 * time.Second)
		r.quiet()
		r.mustSet(model.LayerApp, on(60, 15))
		r.expect("close w1")
	})
	t.Run("schedule does not touch a manual window", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerApp, on(60, 10))
		if _, err := r.OpenManual(2 * time.Minute); err != nil {
			t.Fatal(err)
		}
		r.expect("open manual w1 for 2m0s")
		r.mustSet(model.LayerApp, on(60, 20))
		r.pass(2*time.Minute - 1)
		r.quiet()
		r.pass(1)
		r.expect("close w1")
	})
	t.Run("other layer's numbers keep the wait", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerGlobal, on(100, 10))
		r.pass(50 * time.Second)
		r.mustSet(model.LayerApp, on(60, 20))
		r.pass(10 * time.Second)
		r.expect("open schedule w1 for 20s")
	})
	t.Run("off and on begins a new wait", func(t *testing.T) {
		r := newRig(t)
		r.mustSet(model.LayerApp, on(60, 10))
		r.pass(50 * time.Second)
		r.mustSet(model.LayerApp, config("OFF", 60, 10))
		r.mustSet(model.LayerApp, on(60, 10))
		r.pass(60*time.Second - 1)
		r.quiet()
		r.pass(1)
		r.expect("open schedule w1 for 10s")
	})
}

func TestManual(t *testing.T) {
	r := newRig(t)
	if _, err := r.CloseWindow(); !errors.Is(err, ErrNoWindow) {
		t.Errorf("close without a window: %v", err)
	}
	for _, d := range []time.Duration{-1, 0, MaxManual + 1} {
		var field *model.FieldError
		if _, err := r.OpenManual(d); !errors.As(err, &field) {
			t.Errorf("window of %v: %v", d, err)
		}
	}
	r.mustSet(model.LayerApp, config("ON", 30, 10))
	r.pass(20 * time.Second)
	w, err := r.OpenManual(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if w.ID != "w1" || w.Trigger != record.TriggerManual || !w.Opened.Equal(r.clock.Now()) || w.Closes.Sub(w.Opened) != time.Minute {
		t.Errorf("window: %+v", w)
	}
	r.expect("open manual w1 for 1m0s")
	if _, err := r.OpenManual(time.Minute); !errors.Is(err, ErrWindowOpen) {
		t.Errorf("second window: %v", err)
	}
	r.pass(40 * time.Second) // beyond the moment of the scheduled one
	r.quiet()

	closed, err := r.CloseWindow()
	if err != nil || closed.ID != w.ID || closed.Closes.Sub(w.Opened) != 40*time.Second {
		t.Errorf("closed %+v, %v", closed, err)
	}
	r.expect("close w1")
	// The wait of the schedule begins anew.
	r.pass(30*time.Second - 1)
	r.quiet()
	r.pass(1)
	r.expect("open schedule w2 for 10s")
	if _, err := r.OpenManual(time.Second); !errors.Is(err, ErrWindowOpen) {
		t.Errorf("manual in a scheduled window: %v", err)
	}
	if w, err := r.CloseWindow(); err != nil || w.Trigger != record.TriggerSchedule {
		t.Errorf("closed %+v, %v", w, err)
	}
	r.expect("close w2")
	r.quiet()
}

func TestSinkRefuses(t *testing.T) {
	r := newRig(t)
	full := errors.New("disk is full")
	r.sink.set(func(s *spySink) { s.err = full })
	r.mustSet(model.LayerApp, config("ON", 30, 10))
	r.pass(30 * time.Second)
	r.expect("open schedule w1 for 10s")
	if s := r.Status(); r.Open() != nil || s.Window != nil || s.Skipped.Windows != 1 || s.Skipped.Reason == "" {
		t.Errorf("after a refusal: %+v", s)
	}
	if _, err := r.OpenManual(time.Second); !errors.Is(err, full) {
		t.Errorf("manual: got %v, want %v", err, full)
	}
	r.expect("open manual w2 for 1s")
	r.sink.set(func(s *spySink) { s.err = nil })
	r.pass(30*time.Second - 1)
	r.quiet()
	r.pass(1)
	r.expect("open schedule w3 for 10s")
	if r.Open() == nil {
		t.Error("gate is closed")
	}
}

func TestSlowSink(t *testing.T) {
	r := newRig(t)
	opening, closing := make(chan struct{}), make(chan struct{})
	r.sink.set(func(s *spySink) { s.opening, s.closing = opening, closing })
	r.mustSet(model.LayerApp, config("ON", 30, 10))

	r.clock.Advance(30 * time.Second)
	r.expect("open schedule w1 for 10s")
	if s := r.Status(); s.Window != nil || r.Open() != nil {
		t.Errorf("while the sink opens: %+v", s)
	}
	r.clock.Advance(20 * time.Second) // longer than the window: it has its time all the same
	close(opening)
	r.sync()
	if w := r.Status().Window; w == nil || w.Closes.Sub(r.clock.Now()) != 10*time.Second {
		t.Fatalf("after the sink has opened: %+v", w)
	}

	r.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10)) // does not wait for the tap
	r.expect("close w1")
	if s := r.Status(); s.Window != nil || r.Open() != nil || s.Closing == nil || s.Closing.ID != "w1" {
		t.Errorf("while the tap closes: %+v", s)
	}
	close(closing)
	r.sync()
	if s := r.Status(); s.Closing != nil {
		t.Errorf("when the tap is closed: %+v", s)
	}
}

// While the disk does not take the last window, all requests are answered: the
// schedule skips, a manual opening is refused, and closing waits.
func TestNothingWaitsForATap(t *testing.T) {
	r := newRig(t)
	closing := make(chan struct{})
	r.sink.set(func(s *spySink) { s.closing = closing })
	r.mustSet(model.LayerApp, config("ON", 30, 10))
	r.pass(30 * time.Second)
	r.expect("open schedule w1 for 10s")
	r.clock.Advance(10 * time.Second)
	r.expect("close w1")
	began := r.clock.Now()

	r.mustSet(model.LayerApp, config("ON", 40, 20))
	r.SetGuard(false)
	refused := make(chan error, 1)
	go func() { // ends when it is refused
		_, err := r.OpenManual(time.Second)
		refused <- err
	}()
	for r.waiting() == 0 {
		runtime.Gosched()
	}
	r.clock.Advance(manualPatience)
	if err := <-refused; !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "w1") {
		t.Errorf("manual while the tap closes: %v", err)
	}
	r.clock.Advance(40*time.Second - manualPatience)
	r.underWay()
	if s := r.Status(); s.Skipped.Windows != 1 || !strings.Contains(s.Skipped.Reason, "w1 is still being written out") || !s.Closing.Since.Equal(began) {
		t.Errorf("after a window that was due: %+v, closing %+v", s.Skipped, s.Closing)
	}
	if lines := r.log.with("WARN"); len(lines) != 1 {
		t.Errorf("logged %q", lines)
	}

	var wg sync.WaitGroup
	for range 2 { // whoever closes a window that is being closed gets what he asked for
		wg.Add(1)
		go func() { // ends when the tap is closed
			defer wg.Done()
			w, err := r.CloseWindow()
			select {
			case <-closing:
			default:
				t.Error("CloseWindow returned before the tap was closed")
			}
			if errors.Is(err, ErrNoWindow) {
				return // it came late
			}
			if err != nil || w.ID != "w1" || !w.Closes.Equal(began) {
				t.Errorf("closed %+v, %v", w, err)
			}
		}()
	}
	over := r.Drop("w1", "replaced")
	r.await(r.Drop("another", "replaced"))
	r.underWay()
	close(closing)
	wg.Wait()
	r.await(over)

	// A manual window is opened as soon as the tap is closed.
	r.pass(40 * time.Second)
	r.expect("open schedule w2 for 20s")
	closing = make(chan struct{})
	r.sink.set(func(s *spySink) { s.closing = closing })
	r.clock.Advance(20 * time.Second)
	r.expect("close w2")
	go func() { // ends when it has opened
		_, err := r.OpenManual(time.Second)
		refused <- err
	}()
	for r.waiting() == 0 {
		runtime.Gosched()
	}
	close(closing)
	if err := <-refused; err != nil {
		t.Errorf("manual after the tap is closed: %v", err)
	}
	r.expect("open manual w3 for 1s")
}

// waiting returns how many manual openings wait.
func (r *rig) waiting() (n int) {
	r.t.Helper()
	if err := r.do(func() { n = len(r.Controller.manual) }); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// A window that is not wanted any more when the sink has opened it is closed at
// once, and never open.
func TestAWindowThatIsUnwanted(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(r *rig)
		want error
	}{
		"forced off":   {func(r *rig) { r.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10)) }, ErrForceOff},
		"switched off": {func(r *rig) { r.mustSet(model.LayerApp, config("OFF", 30, 10)) }, ErrSwitchedOff},
		"dropped":      {func(r *rig) { r.Drop("w1", "replaced") }, ErrUnwanted},
		"closed": {func(r *rig) {
			go func() { // ends with the window
				if w, err := r.CloseWindow(); err != nil || w.ID != "w1" {
					r.t.Errorf("closed %+v, %v", w, err)
				}
			}()
			for !r.isUnwanted() {
				runtime.Gosched()
			}
		}, ErrUnwanted},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			opening := make(chan struct{})
			r.sink.set(func(s *spySink) { s.opening = opening })
			r.mustSet(model.LayerApp, config("ON", 30, 10))
			answered := make(chan error, 1)
			go func() { // ends when it is refused
				_, err := r.OpenManual(time.Second)
				answered <- err
			}()
			r.expect("open manual w1 for 1s")
			if s := r.Status(); s.Opening == nil || s.Opening.ID != "w1" || s.Window != nil {
				t.Errorf("while it opens: %+v", s)
			}
			test.do(r)
			close(opening)
			if err := <-answered; !errors.Is(err, test.want) {
				t.Errorf("the opening ends with %v, want %v", err, test.want)
			}
			r.expect("close w1")
			r.sync()
			if r.Open() != nil || r.Status().Opening != nil {
				t.Errorf("afterwards: %+v", r.Status())
			}
		})
	}
}

func (r *rig) isUnwanted() (yes bool) {
	r.t.Helper()
	if err := r.do(func() { yes = r.handover.unwanted != nil }); err != nil {
		r.t.Fatal(err)
	}
	return yes
}

// A sink that panics is an error, not the process's end.
func TestASinkThatPanics(t *testing.T) {
	r := newRig(t)
	r.sink.set(func(s *spySink) { s.panics = true })
	if _, err := r.OpenManual(time.Second); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("opening: %v", err)
	}
	r.sink.set(func(s *spySink) { s.panics = false })
	if _, err := r.OpenManual(time.Second); err != nil {
		t.Fatal(err)
	}
	r.sink.set(func(s *spySink) { s.panics = true })
	if _, err := r.CloseWindow(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if lines := r.log.with("panicked"); len(lines) != 1 {
		t.Errorf("logged %q", lines)
	}
}

func TestClose(t *testing.T) {
	r := newRig(t)
	if _, err := r.OpenManual(time.Minute); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r.Close()
			if r.Open() != nil || r.Status().Window != nil {
				t.Error("a window is open after Close")
			}
		}()
	}
	wg.Wait()
	r.expect("open manual w1 for 1m0s", "close w1")

	if err := r.Set(model.LayerApp, config("ON", 30, 10), "test"); !errors.Is(err, ErrClosed) {
		t.Errorf("Set: %v", err)
	}
	if _, err := r.OpenManual(time.Second); !errors.Is(err, ErrClosed) {
		t.Errorf("OpenManual: %v", err)
	}
	if _, err := r.CloseWindow(); !errors.Is(err, ErrClosed) {
		t.Errorf("CloseWindow: %v", err)
	}
	r.SetGuard(true)
	r.Refuse(model.LayerApp, "test", errors.New("x"))
}

func TestNoSink(t *testing.T) {
	c := New(Options{Meter: &spyMeter{}, Clock: newManualClock()})
	defer c.Close()
	c.SetGuard(false)
	if _, err := c.OpenManual(time.Second); err == nil {
		t.Error("a window opened with nowhere to record to")
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	use := func(f func()) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				f()
			}
		}()
	}
	use(func() { r.Open() })
	use(func() { r.Status() })
	use(func() { r.clock.Advance(7 * time.Second) })
	use(func() { _ = r.Set(model.LayerApp, config("ON", 30, 10), "a") })
	use(func() { _ = r.Set(model.LayerApp, config("OFF", 30, 10), "b") })
	use(func() { _, _ = r.OpenManual(time.Second) })
	use(func() { _, _ = r.CloseWindow() })
	wg.Wait()
	r.Close()
	open := 0
	for len(r.sink.events) > 0 {
		switch e := <-r.sink.events; {
		case len(e) > 5 && e[:5] == "open ":
			open++
		case len(e) > 6 && e[:6] == "close ":
			open--
		default:
			t.Errorf("sink: %s", e)
		}
		if open < 0 || open > 1 {
			t.Fatalf("%d windows open at a time", open)
		}
	}
	if open != 0 {
		t.Errorf("%d windows left open", open)
	}
}

func BenchmarkOpen(b *testing.B) {
	c := New(Options{Sink: noSink{}, Meter: &spyMeter{}, Clock: newManualClock()})
	defer c.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if c.Open() != nil {
				b.Error("open")
			}
		}
	})
}
