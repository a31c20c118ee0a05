package strategy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/record"
)

// spyRing is a FlightSink whose rings and captures report their calls as events, and return
// from them when the test lets them.
type spyRing struct {
	events chan string

	mu        sync.Mutex
	faults    map[string]error         // by call: what it returns; guarded by mu
	panics    map[string]bool          // by call: it panics; guarded by mu
	hang      map[string]chan struct{} // by call: it waits; guarded by mu
	beginning time.Duration            // how much later than asked for captures begin; guarded by mu
}

func newSpyRing() *spyRing {
	return &spyRing{events: make(chan string, 10_000), faults: map[string]error{}, panics: map[string]bool{}, hang: map[string]chan struct{}{}}
}

func (s *spyRing) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// report reports a call, and does with it what the test wants.
func (s *spyRing) report(call, format string, args ...any) error {
	s.events <- call + fmt.Sprintf(format, args...)
	s.mu.Lock()
	err, panics, hang := s.faults[call], s.panics[call], s.hang[call]
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if panics {
		panic("out of order")
	}
	return err
}

func (s *spyRing) OpenRing(c *FlightConfig) (RingSink, error) {
	if err := s.report("ring", " of %d", c.Size>>20); err != nil {
		return nil, err
	}
	return &spyRingSink{s}, nil
}

type spyRingSink struct{ s *spyRing }

func (r *spyRingSink) Configure(c *FlightConfig) error {
	return r.s.report("configure", " with %d triggers", len(c.Triggers))
}
func (r *spyRingSink) Pause(reason record.Reason)  { _ = r.s.report("pause", " %v", reason) }
func (r *spyRingSink) Resume(reason record.Reason) { _ = r.s.report("resume", " %v", reason) }
func (r *spyRingSink) Shut()                       { _ = r.s.report("shut", "") }
func (r *spyRingSink) Close()                      { _ = r.s.report("free", "") }

func (r *spyRingSink) OpenCapture(spec CaptureSpec) (CaptureSink, error) {
	w := spec.Window
	if err := r.s.report("open", " %s of %v for %s%s, %v before, %v in all", w.ID, spec.Scope, w.Cause.Trigger, w.Cause.Reason, w.AskedBefore, w.Closes.Sub(w.Opened)); err != nil {
		return nil, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return &spyCapture{s: r.s, window: w, opened: w.Opened.Add(r.s.beginning)}, nil
}

type spyCapture struct {
	s      *spyRing
	window record.Window
	opened time.Time
}

func (c *spyCapture) Opened() time.Time { return c.opened }
func (c *spyCapture) Close(closed time.Time) {
	_ = c.s.report("close", " %s after %v", c.window.ID, closed.Sub(c.window.Opened))
}

// flightHarness is a Flight with everything around it in the test's hands.
type flightHarness struct {
	*Flight
	t      *testing.T
	clock  *clock.Manual
	sink   *spyRing
	meter  *spyMeter
	log    *spyLog
	alerts *spyLog
	panics chan string
}

// newFlightHarness has the guard off, and no ring yet.
func newFlightHarness(t *testing.T) *flightHarness {
	t.Helper()
	h := &flightHarness{
		t: t, clock: newManualClock(), sink: newSpyRing(), log: &spyLog{}, alerts: &spyLog{}, panics: make(chan string, 100),
		meter: &spyMeter{begun: make(chan struct{}, 1000), answers: make(chan func() (Reading, error))},
	}
	n := 0
	h.Flight = NewFlight(FlightOptions{
		Sink: h.sink, Clock: h.clock, Meter: h.meter, Log: h.log,
		NewID:    func() string { n++; return fmt.Sprintf("c%d", n) },
		Alert:    h.alerts.Warnf,
		Panicked: func(where string, _ any, _ []byte) { h.panics <- where },
	})
	t.Cleanup(h.Close)
	h.SetGuard(false)
	return h
}

// withRing returns a harness whose ring of 4 MiB is open, with these triggers.
func withRing(t *testing.T, triggers ...FlightTrigger) *flightHarness {
	t.Helper()
	h := newFlightHarness(t)
	h.mustSet(flightConfig(triggers...))
	h.expect("ring of 4")
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On })
	return h
}

// flightConfig is a configuration with a small ring, 30 s before, 5 s after, and a budget of
// 20 captures in an hour.
func flightConfig(triggers ...FlightTrigger) *FlightConfig {
	c := DefaultFlightConfig()
	c.Size, c.Triggers = 4<<20, triggers
	return &c
}

// onConn is a trigger of that name with the block's times, whose scope is the connection.
func onConn(name string) FlightTrigger {
	return FlightTrigger{Name: name, Close: []string{"OnReadErrClose"}, Before: 30 * time.Second, After: 5 * time.Second, Scope: ScopeConnection}
}

func (h *flightHarness) mustSet(c *FlightConfig) {
	h.t.Helper()
	if err := h.Set(c, "test"); err != nil {
		h.t.Fatal(err)
	}
}

// fire lets a trigger fire now, for a connection of the listener "l", and returns when the
// loop has handled it.
func (h *flightHarness) fire(trigger, conn string) {
	h.t.Helper()
	h.fireAt(trigger, conn, h.clock.Now())
}

func (h *flightHarness) fireAt(trigger, conn string, at time.Time) {
	h.t.Helper()
	h.Event(FlightEvent{Trigger: trigger, Time: at, Conn: conn, Listener: "l"})
	h.sync()
}

// sync returns when the loop has done what was due.
func (h *flightHarness) sync() {
	h.t.Helper()
	if err := h.do(func() {}); err != nil {
		h.t.Fatal(err)
	}
}

// pass lets time go by and the loop do what became due.
func (h *flightHarness) pass(d time.Duration) {
	h.t.Helper()
	h.clock.Advance(d)
	h.sync()
}

// waitFor waits for the status to become so.
func (h *flightHarness) waitFor(what string, ok func(*FlightStatus) bool) FlightStatus {
	h.t.Helper()
	for end := time.Now().Add(timeout); ; {
		h.sync()
		s := h.Status()
		if ok(&s) {
			return s
		}
		if time.Now().After(end) {
			h.t.Fatalf("no %s: %+v", what, s)
		}
	}
}

// idle waits until no capture is under way.
func (h *flightHarness) idle() FlightStatus {
	h.t.Helper()
	return h.waitFor("end of the captures", func(s *FlightStatus) bool { return len(s.Running) == 0 })
}

// expect waits for the sink's next events.
func (h *flightHarness) expect(want ...string) {
	h.t.Helper()
	for _, w := range want {
		select {
		case got := <-h.sink.events:
			if got != w {
				h.t.Fatalf("sink: got %q, want %q", got, w)
			}
		case <-time.After(timeout):
			h.t.Fatalf("sink: no %q", w)
		}
	}
}

// expectAll waits for the sink's next events, in any order.
func (h *flightHarness) expectAll(want ...string) {
	h.t.Helper()
	var got []string
	for range want {
		select {
		case e := <-h.sink.events:
			got = append(got, e)
		case <-time.After(timeout):
			h.t.Fatalf("sink: got %q, want %q", got, want)
		}
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		h.t.Fatalf("sink: got %q, want %q", got, want)
	}
}

// quiet says that the sink has had no further event.
func (h *flightHarness) quiet() {
	h.t.Helper()
	h.sync()
	select {
	case got := <-h.sink.events:
		h.t.Fatalf("sink: unexpected %q", got)
	default:
	}
}

// demand asks for a capture.
func (h *flightHarness) demand(r CaptureRequest) (Captured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return h.Capture(ctx, r)
}

var errBroken = errors.New("broken")
