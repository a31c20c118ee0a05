package strategy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	openC1  = "open c1 of connection a-1 for errors, 30s before, 35s in all"
	closeC1 = "close c1 after 35s"
)

// A trigger makes a capture of its connection, from before until after.
func TestATriggerMakesACapture(t *testing.T) {
	h := withRing(t, onConn("errors"))
	h.fire("errors", "a-1")
	h.expect(openC1)
	s := h.waitFor("an open capture", func(s *FlightStatus) bool { return len(s.Running) == 1 && !s.Running[0].Opening })
	if c := s.Running[0]; c.ID != "c1" || c.Cause.Trigger != "errors" || c.Scope != (Scope{Kind: ScopeConnection, Conn: "a-1"}) || c.Closes.Sub(h.clock.Now()) != 5*time.Second || c.Closing {
		t.Errorf("%+v", c)
	}
	h.pass(5*time.Second - 1)
	h.quiet()
	h.pass(1)
	h.expect(closeC1)
	s = h.idle()
	if tr := s.Triggers[0]; s.Captures != 1 || s.Suppressed != 0 || tr.Name != "errors" || tr.Fired != 1 || tr.Suppressed != 0 || tr.Last == nil {
		t.Errorf("%+v", s)
	}
	h.quiet()
}

// Triggers that fall into a running capture of the same scope join it, and it goes on for
// as long after the last of them.
func TestTriggersJoinACaptureOfTheSameScope(t *testing.T) {
	short := onConn("short")
	short.After = time.Second
	wide, listener := onConn("wide"), onConn("listener")
	wide.Scope, listener.Scope = ScopeProcess, ScopeListener
	h := withRing(t, onConn("errors"), short, wide, listener)
	h.fire("errors", "a-1")
	h.expect(openC1)
	h.pass(4 * time.Second)
	h.fire("errors", "a-1") // until 9 s
	h.fire("short", "a-1")  // until 5 s, which is earlier
	h.pass(4 * time.Second)
	h.quiet()
	// Another connection, listener or process is another scope.
	h.fire("errors", "a-2")
	h.expect("open c2 of connection a-2 for errors, 30s before, 35s in all")
	h.fire("wide", "a-1")
	h.expect("open c3 of process for wide, 30s before, 35s in all")
	h.fire("listener", "a-1")
	h.expect("open c4 of listener l for listener, 30s before, 35s in all")
	h.fire("wide", "a-9")
	h.fire("listener", "a-9")
	h.pass(time.Second)
	h.expect("close c1 after 39s")
	s := h.waitFor("three captures", func(s *FlightStatus) bool { return len(s.Running) == 3 })
	if s.Running[1].Joined != 1 || s.Running[2].Joined != 1 || s.Triggers[0].Fired != 3 {
		t.Errorf("%+v", s)
	}
	h.pass(4 * time.Second)
	for range 3 {
		if got := <-h.sink.events; !strings.HasPrefix(got, "close ") || !strings.HasSuffix(got, " after 35s") {
			t.Errorf("got %q", got)
		}
	}
	h.idle()
	// What comes after the end is another capture.
	h.fire("errors", "a-1")
	h.expect("open c5 of connection a-1 for errors, 30s before, 35s in all")
}

// Triggers without end do not make one capture without end.
func TestACaptureHasALongestLength(t *testing.T) {
	h := withRing(t, onConn("errors"))
	h.fire("errors", "a-1")
	h.expect(openC1)
	for range int(MaxCapture / (4 * time.Second)) {
		h.pass(4 * time.Second)
		h.fire("errors", "a-1")
	}
	// The event at its end begins another.
	h.expectAll("close c1 after 10m30s", "open c2 of connection a-1 for errors, 30s before, 35s in all")
}

// An event that comes late is at its own time: it may be in a capture that is being written,
// and one that is long past is written at once.
func TestEventsThatComeLate(t *testing.T) {
	h := withRing(t, onConn("errors"))
	hang := make(chan struct{})
	h.sink.set(func() { h.sink.hang["close"] = hang })
	at := h.clock.Now()
	h.fire("errors", "a-1")
	h.expect(openC1)
	h.pass(5 * time.Second)
	h.expect(closeC1)
	h.fireAt("errors", "a-1", at.Add(-time.Second))
	h.quiet() // all that it wants is in the capture
	h.fireAt("errors", "a-1", at.Add(time.Second))
	h.expect("open c2 of connection a-1 for errors, 30s before, 35s in all")
	h.fireAt("errors", "a-2", at.Add(-time.Minute))
	h.expect("open c3 of connection a-2 for errors, 30s before, 35s in all", "close c3 after 1m35s")
	h.fireAt("errors", "a-3", at.Add(time.Hour)) // a clock that was set back
	h.expect("open c4 of connection a-3 for errors, 30s before, 35s in all")
	close(hang)
	h.pass(5 * time.Second)
	h.idle()
}

// The budget bounds what triggers write. What is beyond it is counted, and one alert says so.
func TestTheBudgetOfCaptures(t *testing.T) {
	h := withRing(t, onConn("errors"), onConn("other"))
	c := flightConfig(onConn("errors"), onConn("other"))
	c.Budget = Budget{Captures: 2, Per: time.Minute}
	h.mustSet(c)
	h.expect("configure with 2 triggers")
	for i := range 5 {
		h.fire("errors", fmt.Sprintf("a-%d", i))
	}
	h.fire("other", "b-1")
	h.fire("errors", "a-0") // joins
	s := h.waitFor("two captures", func(s *FlightStatus) bool { return s.Captures == 2 })
	if s.Suppressed != 4 || s.Triggers[0].Fired != 6 || s.Triggers[0].Suppressed != 3 || s.Triggers[1].Suppressed != 1 || len(s.Running) != 2 {
		t.Errorf("%+v", s)
	}
	if lines := h.alerts.with("2/1m captures is used up"); len(lines) != 1 {
		t.Errorf("alerts %q", lines)
	}
	// What is asked for does not count.
	for range 3 {
		if _, err := h.demand(CaptureRequest{}); err != nil {
			t.Error(err)
		}
	}
	h.pass(time.Minute - 1)
	h.idle()
	h.fire("errors", "a-9")
	h.pass(1)
	h.fire("errors", "a-9")
	if s := h.waitFor("a capture", func(s *FlightStatus) bool { return s.Captures == 6 }); s.Suppressed != 5 {
		t.Errorf("%+v", s)
	}
	none := flightConfig(onConn("errors"))
	none.Budget.Captures = 0
	h.mustSet(none)
	h.fire("errors", "a-10")
	if s := h.Status(); s.Triggers[0].Suppressed != 5 {
		t.Errorf("without a budget: %+v", s)
	}
}

// Several captures may be under way, but not any number.
func TestCapturesAtATimeAreBounded(t *testing.T) {
	h := withRing(t, onConn("errors"))
	hang := make(chan struct{})
	h.sink.set(func() { h.sink.hang["open"] = hang })
	for i := range maxCaptures + 2 {
		h.fire("errors", fmt.Sprintf("a-%d", i))
	}
	s := h.Status()
	if len(s.Running) != maxCaptures || s.Suppressed != 2 || s.Captures != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := h.demand(CaptureRequest{}); !errors.Is(err, ErrManyCaptures) {
		t.Errorf("on demand: %v", err)
	}
	if len(h.alerts.with("captures are under way")) != 1 {
		t.Errorf("alerts %q", h.alerts.lines)
	}
	close(hang)
	h.waitFor("open captures", func(s *FlightStatus) bool { return s.Captures == maxCaptures })
	h.pass(5 * time.Second)
	h.idle()
}

// Events that nobody can handle are counted.
func TestEventsBeyondTheQueueAreCounted(t *testing.T) {
	h := withRing(t, onConn("errors"))
	const n = 3 * maxEvents
	if err := h.do(func() { // the loop is busy
		for range n {
			h.Event(FlightEvent{Trigger: "errors", Time: h.clock.Now(), Conn: "a-1"})
			h.Event(FlightEvent{Trigger: "unknown", Time: h.clock.Now(), Conn: "a-1"})
		}
	}); err != nil {
		t.Fatal(err)
	}
	h.sync()
	if s := h.Status(); s.Triggers[0].Fired != n || s.Suppressed != n-maxEvents/2 || len(s.Running) != 1 {
		t.Errorf("%+v", s)
	}
}

// A capture on demand has a window of its own.
func TestCapturesOnDemand(t *testing.T) {
	wide := onConn("wide")
	wide.Scope = ScopeProcess
	h := withRing(t, wide)
	h.sink.set(func() { h.sink.beginning = 7 * time.Second })
	before, after, hour := 2*time.Minute, time.Second, 25*time.Hour
	now := h.clock.Now()
	got, err := h.demand(CaptureRequest{Reason: " ticket", Before: &before, After: &after})
	if err != nil || got.Window != "c1" || !got.Opened.Equal(now.Add(7*time.Second-before)) || !got.Closes.Equal(now.Add(after)) {
		t.Errorf("%+v, %v", got, err)
	}
	h.expect("open c1 of process for request ticket, 2m0s before, 2m1s in all")
	if got, err := h.demand(CaptureRequest{Scope: Scope{Kind: ScopeConnection, Conn: "a-1"}}); err != nil || got.Window != "c2" {
		t.Errorf("%+v, %v", got, err)
	}
	h.expect("open c2 of connection a-1 for request, 30s before, 35s in all")
	// A trigger joins it if it reaches back far enough.
	h.fire("wide", "a-5")
	if s := h.Status(); s.Running[0].Joined != 1 || s.Running[0].Closes.Sub(now) != 5*time.Second {
		t.Errorf("%+v", s.Running)
	}
	h.pass(5 * time.Second)
	h.expectAll("close c1 after 2m5s", "close c2 after 35s")
	h.idle()
	var none time.Duration
	if _, err := h.demand(CaptureRequest{Before: &none, After: &after}); err != nil {
		t.Error(err)
	}
	h.expect("open c3 of process for request, 0s before, 1s in all")
	h.fire("wide", "a-5")
	h.expect("open c4 of process for wide, 30s before, 35s in all")
	var fault *model.FieldError
	if _, err := h.demand(CaptureRequest{Before: &hour}); !errors.As(err, &fault) || fault.Field != "before" {
		t.Errorf("before: %v", err)
	}
	if _, err := h.demand(CaptureRequest{After: &hour}); !errors.As(err, &fault) || fault.Field != "after" {
		t.Errorf("after: %v", err)
	}
	h.sink.set(func() { h.sink.faults["open"] = errBroken })
	if _, err := h.demand(CaptureRequest{}); !errors.Is(err, errBroken) {
		t.Errorf("a sink that refuses: %v", err)
	}
	if s := h.Status(); s.Captures != 4 || s.Suppressed != 1 {
		t.Errorf("%+v", s)
	}
}

// Without a ring there is no capture, and the reason is in the answer.
func TestWithoutARingThereIsNoCapture(t *testing.T) {
	h := newFlightHarness(t)
	expectRefusal := func(want error, words string) {
		t.Helper()
		_, err := h.demand(CaptureRequest{})
		s := h.Status()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), words) || s.On || !strings.Contains(s.Reason, words) {
			t.Errorf("%v, status %+v, want %q", err, s, words)
		}
	}
	expectRefusal(ErrNoRing, "no flight block is configured")
	h.sink.set(func() { h.sink.faults["ring"] = errBroken })
	h.mustSet(flightConfig(onConn("errors")))
	h.expect("ring of 4")
	h.waitFor("a reason", func(s *FlightStatus) bool { return s.Reason == "broken" })
	expectRefusal(ErrNoRing, "broken")
	h.fire("errors", "a-1")
	if s := h.Status(); s.Suppressed != 1 {
		t.Errorf("%+v", s)
	}
	// It is tried again, by itself and at once when something has changed.
	h.pass(ringRetry - 1)
	h.quiet()
	h.pass(1)
	h.expect("ring of 4")
	h.waitFor("a reason", func(s *FlightStatus) bool { return s.Reason == "broken" })
	h.sink.set(func() { delete(h.sink.faults, "ring") })
	h.Retry()
	h.expect("ring of 4")
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On && s.Reason == "" })
	if n := len(h.log.with("there is no ring")); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	off := flightConfig()
	off.Size = 0
	h.mustSet(off)
	h.expect("shut", "free")
	h.waitFor("no ring", func(s *FlightStatus) bool { return s.Reason == "flight.size is 0" })
	expectRefusal(ErrNoRing, "flight.size is 0")
}

// FORCE_OFF ends captures and empties the ring at once, and keeps it off.
func TestForceOffEmptiesTheRing(t *testing.T) {
	h := withRing(t, onConn("errors"))
	hang := make(chan struct{})
	h.sink.set(func() { h.sink.hang["close"] = hang })
	h.fire("errors", "a-1")
	h.expect(openC1)
	h.waitFor("an open capture", func(s *FlightStatus) bool { return s.Captures == 1 })
	h.pass(time.Second)
	h.SetForced(true) // does not wait for the disk
	if s := h.Status(); s.On || s.Reason != ErrForceOff.Error() || len(s.Running) != 1 || !s.Running[0].Closing {
		t.Errorf("%+v", s)
	}
	h.expect("shut", "close c1 after 31s")
	h.quiet() // the memory is in use until the capture is written
	if _, err := h.demand(CaptureRequest{}); !errors.Is(err, ErrForceOff) {
		t.Errorf("on demand: %v", err)
	}
	h.fire("errors", "a-1")
	h.mustSet(flightConfig()) // a new block does not open it either
	close(hang)
	h.expect("free")
	h.pass(time.Hour)
	h.quiet()
	h.SetForced(false)
	h.expect("ring of 4")
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On })
}

// A ring and a capture that are being opened when the switch becomes FORCE_OFF are closed
// when they are open.
func TestForceOffWhileTheSinkOpens(t *testing.T) {
	h := newFlightHarness(t)
	opening := make(chan struct{})
	h.sink.set(func() { h.sink.hang["ring"] = opening })
	h.mustSet(flightConfig(onConn("errors")))
	h.expect("ring of 4")
	h.SetForced(true)
	close(opening)
	h.expect("shut", "free")
	h.sink.set(func() { delete(h.sink.hang, "ring") })
	h.SetForced(false)
	h.expect("ring of 4")
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On })

	capturing := make(chan struct{})
	h.sink.set(func() { h.sink.hang["open"] = capturing })
	h.fire("errors", "a-1")
	h.expect(openC1)
	h.pass(time.Second)
	h.SetForced(true)
	h.expect("shut")
	close(capturing)
	h.expect("close c1 after 31s", "free")
	h.idle()
}

// A new block replaces the old one. What the ring has stays, unless its size changes, or
// whether a killed process's is written.
func TestABlockIsReplaced(t *testing.T) {
	h := withRing(t, onConn("errors"), onConn("gone"))
	h.fire("errors", "a-1")
	h.expect(openC1)
	h.waitFor("an open capture", func(s *FlightStatus) bool { return s.Captures == 1 })
	longer := onConn("errors")
	longer.After = 10 * time.Second
	next := flightConfig(longer, onConn("new"))
	h.mustSet(next)
	next.Triggers[0].Name = "changed by the caller"
	h.expect("configure with 2 triggers")
	h.fire("gone", "a-1")
	h.fire("errors", "a-1")
	s := h.Status()
	if s.Triggers[0].Name != "errors" || s.Triggers[0].Fired != 2 || s.Triggers[1].Name != "new" || s.Triggers[1].Fired != 0 || len(s.Triggers) != 2 || s.Running[0].Closes.Sub(h.clock.Now()) != 10*time.Second {
		t.Errorf("%+v", s)
	}
	same := flightConfig(longer, onConn("new"))
	h.mustSet(same)
	h.quiet()
	// One that the sink refuses changes nothing.
	h.sink.set(func() { h.sink.faults["configure"] = errBroken })
	if err := h.Set(flightConfig(), "test"); !errors.Is(err, errBroken) {
		t.Errorf("refused: %v", err)
	}
	h.expect("configure with 0 triggers")
	if s := h.Status(); len(s.Triggers) != 2 || !s.On {
		t.Errorf("%+v", s)
	}
	larger := flightConfig(onConn("errors"))
	larger.Size = 8 << 20
	h.pass(time.Second)
	h.mustSet(larger)
	h.expect("shut", "close c1 after 31s", "free", "ring of 8")
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On && s.Config.Size == 8<<20 })
	// A spool says whether it is written after a kill, so that another answer needs another one.
	kept := *larger
	kept.Crash = !larger.Crash
	h.mustSet(&kept)
	h.expect("shut", "free", "ring of 8")
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On && s.Config.Crash == kept.Crash })
	h.mustSet(nil)
	h.expect("shut", "free")
	h.waitFor("no block", func(s *FlightStatus) bool { return !s.On && s.Config == nil })
}

// A block that comes while the ring is being opened is in force when that is open.
func TestABlockIsReplacedWhileTheRingIsBeingOpened(t *testing.T) {
	h := newFlightHarness(t)
	for _, c := range []struct {
		size int64
		want []string
	}{{4, []string{"configure with 1 triggers"}}, {8, []string{"shut", "free", "ring of 8"}}} {
		opening := make(chan struct{})
		h.sink.set(func() { h.sink.hang["ring"] = opening })
		h.mustSet(flightConfig())
		h.expect("ring of 4")
		next := flightConfig(onConn("errors"))
		next.Size = c.size << 20
		h.mustSet(next)
		h.sink.set(func() { delete(h.sink.hang, "ring") })
		close(opening)
		h.expect(c.want...)
		h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On })
		h.mustSet(nil)
		h.expect("shut", "free")
		h.waitFor("no ring", func(s *FlightStatus) bool { return s.Config == nil && s.Reason == notConfigured })
	}
}

// Where the ring's store has been replaced, another ring is opened.
func TestTheRingIsReopened(t *testing.T) {
	h := withRing(t, onConn("errors"))
	over := h.Reopen("its output has been replaced")
	h.expect("shut", "free", "ring of 4")
	<-over
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On })
	opening := make(chan struct{})
	h.sink.set(func() { h.sink.hang["ring"] = opening })
	_ = h.Reopen("again")
	h.expect("shut", "free", "ring of 4")
	over = h.Reopen("and again") // while it is being opened
	h.sink.set(func() { delete(h.sink.hang, "ring") })
	close(opening)
	h.expect("shut", "free", "ring of 4")
	<-over
	h.mustSet(nil)
	h.expect("shut", "free")
	h.waitFor("no ring", func(s *FlightStatus) bool { return s.Reason == notConfigured })
	<-h.Reopen("there is none")
}

// Close ends captures at once and waits until they are written.
func TestCloseEndsCaptures(t *testing.T) {
	h := withRing(t, onConn("errors"))
	h.fire("errors", "a-1")
	h.expect(openC1)
	h.waitFor("an open capture", func(s *FlightStatus) bool { return s.Captures == 1 })
	hang := make(chan struct{})
	h.sink.set(func() { h.sink.hang["close"] = hang })
	h.pass(time.Second)
	closed := make(chan struct{})
	go func() { // ends with Close
		h.Close()
		close(closed)
	}()
	h.expect("shut", "close c1 after 31s")
	select {
	case <-closed:
		t.Error("the capture is not written yet")
	default:
	}
	close(hang)
	h.expect("free")
	<-closed
	if _, err := h.demand(CaptureRequest{}); !errors.Is(err, ErrClosed) {
		t.Errorf("on demand: %v", err)
	}
	if err := h.Set(nil, "test"); !errors.Is(err, ErrClosed) {
		t.Errorf("a block: %v", err)
	}
	h.Event(FlightEvent{Trigger: "errors"})
	<-h.Reopen("too late")
}

// While the sink hangs, the loop goes on, and whoever waits does so as long as he wants.
func TestASinkThatHangsStopsNothing(t *testing.T) {
	h := withRing(t, onConn("errors"))
	hang := make(chan struct{})
	h.sink.set(func() { h.sink.hang["open"], h.sink.hang["close"] = hang, hang })
	h.fire("errors", "a-1")
	h.expect(openC1)
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error, 1)
	go func() { // ends with the send
		got, err := h.Capture(ctx, CaptureRequest{})
		if got.Window != "c2" {
			err = fmt.Errorf("window %q, %w", got.Window, err)
		}
		answered <- err
	}()
	h.expect("open c2 of process for request, 30s before, 35s in all")
	cancel()
	if err := <-answered; !errors.Is(err, ErrStillOpening) {
		t.Errorf("on demand: %v", err)
	}
	h.fire("errors", "a-1") // joins what is being opened
	h.pass(time.Minute)
	if s := h.Status(); !s.On || len(s.Running) != 2 || s.Running[0].Joined != 1 || !s.Running[0].Opening {
		t.Errorf("%+v", s)
	}
	h.quiet()
	close(hang) // both are due
	for range 2 {
		if got := <-h.sink.events; !strings.HasPrefix(got, "close ") {
			t.Errorf("got %q", got)
		}
	}
	h.idle()
}

// A panic of the sink is reported, and the Flight goes on.
func TestPanicsOfTheSinkAreCaught(t *testing.T) {
	h := newFlightHarness(t)
	panics := func(call string, on bool) { h.sink.set(func() { h.sink.panics[call] = on }) }
	reported := func(want string) {
		t.Helper()
		select {
		case got := <-h.panics:
			if got != want {
				t.Errorf("reported %q, want %q", got, want)
			}
		case <-time.After(timeout):
			t.Fatalf("%s is not reported", want)
		}
	}
	panics("ring", true)
	h.mustSet(flightConfig(onConn("errors")))
	reported("opening the ring")
	h.waitFor("a reason", func(s *FlightStatus) bool { return strings.Contains(s.Reason, "opening the ring panicked") })
	panics("ring", false)
	h.Retry()
	h.expect("ring of 4", "ring of 4")
	h.waitFor("an open ring", func(s *FlightStatus) bool { return s.On })

	panics("open", true)
	h.fire("errors", "a-1")
	reported("opening a capture")
	if s := h.idle(); s.Suppressed != 1 || s.Captures != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := h.demand(CaptureRequest{}); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("on demand: %v", err)
	}
	reported("opening a capture")
	panics("open", false)
	panics("close", true)
	h.fire("errors", "a-1")
	h.waitFor("an open capture", func(s *FlightStatus) bool { return s.Captures == 1 })
	h.pass(5 * time.Second)
	reported("closing a capture")
	h.idle()

	panics("configure", true)
	if err := h.Set(flightConfig(), "test"); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("configure: %v", err)
	}
	reported("configuring the ring")
	panics("shut", true)
	panics("free", true)
	h.mustSet(nil)
	reported("closing the ring")
	reported("closing the ring")
	h.waitFor("no ring", func(s *FlightStatus) bool { return s.Reason == notConfigured })
	if err := h.do(func() { panic("a command") }); err != nil {
		t.Error(err)
	}
	reported("the flight recorder's loop")
	h.sync()
}

// The guard has limits of the ring's own. While one is reached, the ring is paused.
func TestTheGuardOfTheRing(t *testing.T) {
	h := withRing(t, onConn("errors"))
	h.SetGuard(true)
	read := func(cpu float64) {
		t.Helper()
		<-h.meter.begun
		h.meter.answers <- func() (Reading, error) {
			return Reading{CPU: cpu, CPUSource: "host", Mem: 20, MemSource: "host"}, nil
		}
		h.waitFor("the reading", func(s *FlightStatus) bool { return s.Guard.CPU == cpu })
		h.clock.Advance(readEvery)
	}
	h.quiet() // no reading yet: it is not paused
	read(94)
	read(95)
	h.expect("pause guard")
	if s := h.Status(); !s.On || !s.Paused || !strings.Contains(s.Reason, "host cpu 95.0 >= 95") || s.Guard.Available {
		t.Errorf("%+v", s)
	}
	h.fire("errors", "a-1") // what the ring has is written all the same
	h.expect(openC1)
	for i := range clearReadings {
		read(10 + float64(i))
	}
	h.expectAll("close c1 after 35s", "resume guard")
	if s := h.Status(); s.Paused || s.Reason != "" {
		t.Errorf("%+v", s)
	}
	read(96)
	h.expect("pause guard")
	high := flightConfig(onConn("errors"))
	high.CPUMaxRate = 99
	h.mustSet(high) // new limits count at once
	h.expect("configure with 1 triggers", "resume guard")
	read(99.5)
	h.expect("pause guard")
	h.SetGuard(false)
	h.expect("resume guard")
	if len(h.log.with("flight recorder: guard is down")) == 0 {
		t.Errorf("log %q", h.log.lines)
	}
}

// A clock that is set back moves what is planned with it.
func TestAClockThatIsSetBackEndsCapturesInTime(t *testing.T) {
	h := withRing(t, onConn("errors"))
	h.fire("errors", "a-1")
	h.expect(openC1)
	h.waitFor("an open capture", func(s *FlightStatus) bool { return s.Captures == 1 })
	h.pass(2 * time.Second)
	h.clock.Advance(-time.Hour)
	h.sync()
	h.pass(3*time.Second - 1)
	h.quiet()
	h.pass(1)
	if got := <-h.sink.events; !strings.HasPrefix(got, "close c1") {
		t.Errorf("got %q", got)
	}
	h.idle()
}

// The application's layer does not concern the ring, and FORCE_OFF reaches it.
func TestTheControllerSaysForceOff(t *testing.T) {
	var forced []bool
	c := New(Options{Clock: newManualClock(), Meter: &spyMeter{}, Forced: func(on bool) { forced = append(forced, on) }})
	defer c.Close()
	c.SetGuard(false)
	for _, s := range []struct {
		layer model.Layer
		word  string
	}{
		{model.LayerApp, "ON"}, {model.LayerApp, "OFF"}, {model.LayerGlobal, "ON"}, {model.LayerGlobal, "FORCE_OFF"},
		{model.LayerApp, "ON"}, {model.LayerGlobal, "FORCE_OFF"}, {model.LayerGlobal, "OFF"},
	} {
		if err := c.Set(s.layer, config(s.word, 30, 10), "test"); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(forced) != "[true false]" {
		t.Errorf("forced %v", forced)
	}
}

// The cause of a capture says what happened, and is bounded.
func TestTheCauseOfACapture(t *testing.T) {
	specs := make(chan CaptureSpec, 1)
	f := NewFlight(FlightOptions{Sink: ringFunc(func(s CaptureSpec) { specs <- s }), Clock: newManualClock(), Meter: &spyMeter{}})
	defer f.Close()
	f.SetGuard(false)
	if err := f.Set(flightConfig(onConn("errors")), "test"); err != nil {
		t.Fatal(err)
	}
	for !f.Status().On {
		f.SetGuard(false)
	}
	at := newManualClock().Now().In(time.FixedZone("", 3600))
	latency := 12.4
	f.Event(FlightEvent{Trigger: "errors", Time: at, Conn: "a-1", Listener: "l", Call: &record.CauseCall{ID: "a-1#5", Protocol: "http/1.1", Time: at, Status: strings.Repeat("x", 1000), Failed: true, LatencyMS: &latency}})
	s := <-specs
	c := s.Window.Cause
	if s.Window.Trigger != record.TriggerFlight || s.Window.AskedBefore != 30*time.Second || !s.Window.Opened.Equal(at.Add(-30*time.Second)) || c.Trigger != "errors" || c.Conn != "a-1" ||
		!c.Time.Equal(at) || c.Time.Location() != time.UTC || c.Call.ID != "a-1#5" || len(c.Call.Status) > 128 || *c.Call.LatencyMS != latency {
		t.Errorf("%+v, cause %+v, call %+v", s.Window, c, c.Call)
	}
}

// ringFunc is a sink of rings that calls the function for each capture, and opens none.
type ringFunc func(CaptureSpec)

func (f ringFunc) OpenRing(*FlightConfig) (RingSink, error) { return f, nil }
func (f ringFunc) Configure(*FlightConfig) error            { return nil }
func (f ringFunc) Pause(record.Reason)                      {}
func (f ringFunc) Resume(record.Reason)                     {}
func (f ringFunc) Shut()                                    {}
func (f ringFunc) Close()                                   {}
func (f ringFunc) OpenCapture(s CaptureSpec) (CaptureSink, error) {
	f(s)
	return nil, errBroken
}
