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
	h := newHarness(t)
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	if next := h.Status().Next; next == nil || next.Sub(h.clock.Now()) != 30*time.Second {
		t.Errorf("next opening: %v", next)
	}
	for _, id := range []string{"w1", "w2", "w3"} {
		h.pass(30 * time.Second)
		h.expect("open schedule " + id + " for 10s")
		if s := h.Status(); s.Next != nil || s.Window == nil || s.Window.ID != id || s.Window.Closes.Sub(h.clock.Now()) != 10*time.Second {
			t.Errorf("status in window: %+v", s)
		}
		h.pass(10 * time.Second)
		h.expect("close " + id)
	}
	h.quiet()
}

func TestAChangeOfTheScheduleCountsFromTheBeginning(t *testing.T) {
	on := func(interval, duration int) model.DumpConfig { return config("ON", interval, duration) }
	t.Run("shorter interval, moment ahead", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerApp, on(600, 10))
		h.pass(20 * time.Second)
		h.mustSet(model.LayerApp, on(60, 10))
		h.pass(40*time.Second - 1)
		h.quiet()
		h.pass(1)
		h.expect("open schedule w1 for 10s")
	})
	t.Run("shorter interval, moment passed", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerApp, on(600, 10))
		h.pass(100 * time.Second)
		h.mustSet(model.LayerApp, on(60, 10))
		h.expect("open schedule w1 for 10s")
	})
	t.Run("longer interval", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerApp, on(60, 10))
		h.pass(59 * time.Second)
		h.mustSet(model.LayerApp, on(120, 10))
		h.pass(61*time.Second - 1)
		h.quiet()
		h.pass(1)
		h.expect("open schedule w1 for 10s")
	})
	t.Run("duration in the wait", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerApp, on(60, 10))
		h.pass(30 * time.Second)
		h.mustSet(model.LayerApp, on(60, 20))
		h.pass(30 * time.Second)
		h.expect("open schedule w1 for 20s")
	})
	t.Run("duration in the window", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerApp, on(60, 10))
		h.pass(60 * time.Second)
		h.expect("open schedule w1 for 10s")
		h.mustSet(model.LayerApp, on(60, 30))
		h.pass(20 * time.Second)
		h.quiet()
		h.mustSet(model.LayerApp, on(60, 15))
		h.expect("close w1")
	})
	t.Run("schedule does not touch a manual window", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerApp, on(60, 10))
		if _, err := h.OpenManual(2 * time.Minute); err != nil {
			t.Fatal(err)
		}
		h.expect("open manual w1 for 2m0s")
		h.mustSet(model.LayerApp, on(60, 20))
		h.pass(2*time.Minute - 1)
		h.quiet()
		h.pass(1)
		h.expect("close w1")
	})
	t.Run("other layer's numbers keep the wait", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerGlobal, on(100, 10))
		h.pass(50 * time.Second)
		h.mustSet(model.LayerApp, on(60, 20))
		h.pass(10 * time.Second)
		h.expect("open schedule w1 for 20s")
	})
	t.Run("off and on begins a new wait", func(t *testing.T) {
		h := newHarness(t)
		h.mustSet(model.LayerApp, on(60, 10))
		h.pass(50 * time.Second)
		h.mustSet(model.LayerApp, config("OFF", 60, 10))
		h.mustSet(model.LayerApp, on(60, 10))
		h.pass(60*time.Second - 1)
		h.quiet()
		h.pass(1)
		h.expect("open schedule w1 for 10s")
	})
}

func TestManualWindowsOpenAndCloseOnDemand(t *testing.T) {
	h := newHarness(t)
	if _, err := h.CloseWindow(); !errors.Is(err, ErrNoWindow) {
		t.Errorf("close without a window: %v", err)
	}
	for _, d := range []time.Duration{-1, 0, MaxManual + 1} {
		var field *model.FieldError
		if _, err := h.OpenManual(d); !errors.As(err, &field) {
			t.Errorf("window of %v: %v", d, err)
		}
	}
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	h.pass(20 * time.Second)
	w, err := h.OpenManual(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if w.ID != "w1" || w.Trigger != record.TriggerManual || !w.Opened.Equal(h.clock.Now()) || w.Closes.Sub(w.Opened) != time.Minute {
		t.Errorf("window: %+v", w)
	}
	h.expect("open manual w1 for 1m0s")
	if _, err := h.OpenManual(time.Minute); !errors.Is(err, ErrWindowOpen) {
		t.Errorf("second window: %v", err)
	}
	h.pass(40 * time.Second) // beyond the moment of the scheduled one
	h.quiet()

	closed, err := h.CloseWindow()
	if err != nil || closed.ID != w.ID || closed.Closes.Sub(w.Opened) != 40*time.Second {
		t.Errorf("closed %+v, %v", closed, err)
	}
	h.expect("close w1")
	// The wait of the schedule begins anew.
	h.pass(30*time.Second - 1)
	h.quiet()
	h.pass(1)
	h.expect("open schedule w2 for 10s")
	if _, err := h.OpenManual(time.Second); !errors.Is(err, ErrWindowOpen) {
		t.Errorf("manual in a scheduled window: %v", err)
	}
	if w, err := h.CloseWindow(); err != nil || w.Trigger != record.TriggerSchedule {
		t.Errorf("closed %+v, %v", w, err)
	}
	h.expect("close w2")
	h.quiet()
}

func TestASinkThatRefusesKeepsTheWindowClosed(t *testing.T) {
	h := newHarness(t)
	full := errors.New("disk is full")
	h.sink.set(func(s *spySink) { s.err = full })
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	h.pass(30 * time.Second)
	h.expect("open schedule w1 for 10s")
	if s := h.Status(); h.Open() != nil || s.Window != nil || s.Skipped.Windows != 1 || s.Skipped.Reason == "" {
		t.Errorf("after a refusal: %+v", s)
	}
	if _, err := h.OpenManual(time.Second); !errors.Is(err, full) {
		t.Errorf("manual: got %v, want %v", err, full)
	}
	h.expect("open manual w2 for 1s")
	h.sink.set(func(s *spySink) { s.err = nil })
	h.pass(30*time.Second - 1)
	h.quiet()
	h.pass(1)
	h.expect("open schedule w3 for 10s")
	if h.Open() == nil {
		t.Error("gate is closed")
	}
}

func TestTheGateIsClosedWhileTheSinkIsSlow(t *testing.T) {
	h := newHarness(t)
	opening, closing := make(chan struct{}), make(chan struct{})
	h.sink.set(func(s *spySink) { s.opening, s.closing = opening, closing })
	h.mustSet(model.LayerApp, config("ON", 30, 10))

	h.clock.Advance(30 * time.Second)
	h.expect("open schedule w1 for 10s")
	if s := h.Status(); s.Window != nil || h.Open() != nil {
		t.Errorf("while the sink opens: %+v", s)
	}
	h.clock.Advance(20 * time.Second) // longer than the window: it has its time all the same
	close(opening)
	h.sync()
	if w := h.Status().Window; w == nil || w.Closes.Sub(h.clock.Now()) != 10*time.Second {
		t.Fatalf("after the sink has opened: %+v", w)
	}

	h.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10)) // does not wait for the window sink
	h.expect("close w1")
	if s := h.Status(); s.Window != nil || h.Open() != nil || s.Closing == nil || s.Closing.ID != "w1" {
		t.Errorf("while the window sink closes: %+v", s)
	}
	close(closing)
	h.sync()
	if s := h.Status(); s.Closing != nil {
		t.Errorf("when the window sink is closed: %+v", s)
	}
}

// While the disk does not take the last window, all requests are answered: the
// schedule skips, a manual opening is refused, and closing waits.
func TestNothingWaitsForASlowWindowSink(t *testing.T) {
	h := newHarness(t)
	closing := make(chan struct{})
	h.sink.set(func(s *spySink) { s.closing = closing })
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	h.pass(30 * time.Second)
	h.expect("open schedule w1 for 10s")
	h.clock.Advance(10 * time.Second)
	h.expect("close w1")
	began := h.clock.Now()

	h.mustSet(model.LayerApp, config("ON", 40, 20))
	h.SetGuard(false)
	refused := make(chan error, 1)
	go func() { // ends when it is refused
		_, err := h.OpenManual(time.Second)
		refused <- err
	}()
	for h.waiting() == 0 {
		runtime.Gosched()
	}
	h.clock.Advance(manualTimeout)
	if err := <-refused; !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "w1") {
		t.Errorf("manual while the window sink closes: %v", err)
	}
	h.clock.Advance(40*time.Second - manualTimeout)
	h.underWay()
	if s := h.Status(); s.Skipped.Windows != 2 || !strings.Contains(s.Skipped.Reason, "w1 is still being written out") || !s.Closing.Since.Equal(began) {
		t.Errorf("after a window that was due: %+v, closing %+v", s.Skipped, s.Closing)
	}
	if lines := h.log.with("WARN"); len(lines) != 1 {
		t.Errorf("logged %q", lines)
	}

	var wg sync.WaitGroup
	for range 2 { // whoever closes a window that is being closed gets what he asked for
		wg.Add(1)
		go func() { // ends when the window sink is closed
			defer wg.Done()
			w, err := h.CloseWindow()
			select {
			case <-closing:
			default:
				t.Error("CloseWindow returned before the window sink was closed")
			}
			if errors.Is(err, ErrNoWindow) {
				return // it came late
			}
			if err != nil || w.ID != "w1" || !w.Closes.Equal(began) {
				t.Errorf("closed %+v, %v", w, err)
			}
		}()
	}
	over := h.Drop("w1", "replaced")
	h.await(h.Drop("another", "replaced"))
	h.underWay()
	close(closing)
	wg.Wait()
	h.await(over)

	// A manual window is opened as soon as the window sink is closed.
	h.pass(40 * time.Second)
	h.expect("open schedule w2 for 20s")
	closing = make(chan struct{})
	h.sink.set(func(s *spySink) { s.closing = closing })
	h.clock.Advance(20 * time.Second)
	h.expect("close w2")
	go func() { // ends when it has opened
		_, err := h.OpenManual(time.Second)
		refused <- err
	}()
	for h.waiting() == 0 {
		runtime.Gosched()
	}
	close(closing)
	if err := <-refused; err != nil {
		t.Errorf("manual after the window sink is closed: %v", err)
	}
	h.expect("open manual w3 for 1s")
}

// waiting returns how many manual openings wait.
func (h *harness) waiting() (n int) {
	h.t.Helper()
	if err := h.do(func() { n = len(h.Controller.manual) }); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// A window that is not wanted any more when the sink has opened it is closed at
// once, and never open.
func TestAWindowCanceledWhileItOpensIsNeverOpen(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(h *harness)
		want error
	}{
		"forced off":   {func(h *harness) { h.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10)) }, ErrForceOff},
		"switched off": {func(h *harness) { h.mustSet(model.LayerApp, config("OFF", 30, 10)) }, ErrSwitchedOff},
		"dropped":      {func(h *harness) { h.Drop("w1", "replaced") }, ErrCanceled},
		"closed": {func(h *harness) {
			go func() { // ends with the window
				if w, err := h.CloseWindow(); err != nil || w.ID != "w1" || !w.Closes.Equal(w.Opened) {
					h.t.Errorf("closed %+v, %v", w, err)
				}
			}()
			for !h.isCanceled() {
				runtime.Gosched()
			}
		}, ErrCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			opening := make(chan struct{})
			h.sink.set(func(s *spySink) { s.opening = opening })
			h.mustSet(model.LayerApp, config("ON", 30, 10))
			answered := make(chan error, 1)
			go func() { // ends when it is refused
				_, err := h.OpenManual(time.Second)
				answered <- err
			}()
			h.expect("open manual w1 for 1s")
			if s := h.Status(); s.Opening == nil || s.Opening.ID != "w1" || s.Window != nil {
				t.Errorf("while it opens: %+v", s)
			}
			test.do(h)
			close(opening)
			if err := <-answered; !errors.Is(err, test.want) {
				t.Errorf("the opening ends with %v, want %v", err, test.want)
			}
			h.expect("discard w1") // no trace remains
			h.sync()
			if h.Open() != nil || h.Status().Opening != nil {
				t.Errorf("afterwards: %+v", h.Status())
			}
		})
	}
}

func (h *harness) isCanceled() (yes bool) {
	h.t.Helper()
	if err := h.do(func() { yes = h.transition.canceled != nil }); err != nil {
		h.t.Fatal(err)
	}
	return yes
}

// A sink that panics is an error, not the process's end.
func TestASinkThatPanicsIsAnError(t *testing.T) {
	h := newHarness(t)
	h.sink.set(func(s *spySink) { s.panics = true })
	if _, err := h.OpenManual(time.Second); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("opening: %v", err)
	}
	h.sink.set(func(s *spySink) { s.panics = false })
	if _, err := h.OpenManual(time.Second); err != nil {
		t.Fatal(err)
	}
	h.sink.set(func(s *spySink) { s.panics = true })
	if _, err := h.CloseWindow(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if lines := h.log.with("panicked"); len(lines) != 1 {
		t.Errorf("logged %q", lines)
	}
}

func TestCloseEndsTheWindowAndLaterCallsAreRefused(t *testing.T) {
	h := newHarness(t)
	if _, err := h.OpenManual(time.Minute); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			h.Close()
			if h.Open() != nil || h.Status().Window != nil {
				t.Error("a window is open after Close")
			}
		}()
	}
	wg.Wait()
	h.expect("open manual w1 for 1m0s", "close w1")

	if err := h.Set(model.LayerApp, config("ON", 30, 10), "test"); !errors.Is(err, ErrClosed) {
		t.Errorf("Set: %v", err)
	}
	if _, err := h.OpenManual(time.Second); !errors.Is(err, ErrClosed) {
		t.Errorf("OpenManual: %v", err)
	}
	if _, err := h.CloseWindow(); !errors.Is(err, ErrClosed) {
		t.Errorf("CloseWindow: %v", err)
	}
	h.SetGuard(true)
	h.Refuse(model.LayerApp, "test", errors.New("x"))
}

func TestWithoutASinkNoWindowOpens(t *testing.T) {
	c := New(Options{Meter: &spyMeter{}, Clock: newManualClock()})
	defer c.Close()
	c.SetGuard(false)
	if _, err := c.OpenManual(time.Second); err == nil {
		t.Error("a window opened with nowhere to record to")
	}
}

// TestMethodsMayBeCalledConcurrently is for the race detector.
func TestMethodsMayBeCalledConcurrently(t *testing.T) {
	h := newHarness(t)
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
	use(func() { h.Open() })
	use(func() { h.Status() })
	use(func() { h.clock.Advance(7 * time.Second) })
	use(func() { _ = h.Set(model.LayerApp, config("ON", 30, 10), "a") })
	use(func() { _ = h.Set(model.LayerApp, config("OFF", 30, 10), "b") })
	use(func() { _, _ = h.OpenManual(time.Second) })
	use(func() { _, _ = h.CloseWindow() })
	wg.Wait()
	h.Close()
	open := 0
	for len(h.sink.events) > 0 {
		switch e := <-h.sink.events; {
		case len(e) > 5 && e[:5] == "open ":
			open++
		case strings.HasPrefix(e, "close "), strings.HasPrefix(e, "discard "):
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
