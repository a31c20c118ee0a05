package strategy

import (
	"errors"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
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
	if w.ID != "w1" || w.Trigger != model.TriggerManual || !w.Opened.Equal(r.clock.Now()) || w.Closes.Sub(w.Opened) != time.Minute {
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
	if w, err := r.CloseWindow(); err != nil || w.Trigger != model.TriggerSchedule {
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

	var wg sync.WaitGroup
	wg.Add(1)
	go func() { // ends when Set does, after close(closing)
		defer wg.Done()
		r.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10))
		select {
		case <-closing:
		default:
			t.Error("Set returned before the tap was closed")
		}
	}()
	r.expect("close w1")
	if s := r.Status(); s.Window != nil || r.Open() != nil {
		t.Errorf("while the tap closes: %+v", s)
	}
	close(closing)
	wg.Wait()
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
	c := New(Options{Meter: &spyMeter{}, Clock: newFakeClock()})
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
	c := New(Options{Sink: noSink{}, Meter: &spyMeter{}, Clock: newFakeClock()})
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
