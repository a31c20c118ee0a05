package strategy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds what a test waits for; only a failing one waits that long.
const timeout = 20 * time.Second

// newManualClock returns a clock that moves when a test says so. It has no
// monotonic reading.
func newManualClock() *clock.Manual {
	return clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
}

// spySink reports its calls as events, and returns from them when the test lets it.
type spySink struct {
	events chan string
	gate   func() *Window // to see that it is closed when it must be

	mu      sync.Mutex
	err     error         // what OpenWindow returns; guarded by mu
	panics  bool          // OpenWindow and Close do; guarded by mu
	opening chan struct{} // OpenWindow waits for it; nil does not; guarded by mu
	closing chan struct{} // Close waits for it; nil does not; guarded by mu
}

type spyWindow struct {
	sink *spySink
	id   string
}

func (s *spySink) set(f func(*spySink)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *spySink) get() (opening, closing chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opening, s.closing, s.err
}

func (s *spySink) fault() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panics {
		panic("out of order")
	}
}

func (s *spySink) report(format string, args ...any) { s.events <- fmt.Sprintf(format, args...) }

func (s *spySink) OpenWindow(w record.Window) (WindowSink, error) {
	opening, _, err := s.get()
	s.fault()
	if s.gate() != nil {
		s.report("gate open before OpenWindow returned")
	}
	s.report("open %s %s for %v", w.Trigger, w.ID, w.Closes.Sub(w.Opened))
	if opening != nil {
		<-opening
	}
	return &spyWindow{sink: s, id: w.ID}, err
}

func (t *spyWindow) Pause(r record.Reason)  { t.sink.report("pause %s %v", t.id, r) }
func (t *spyWindow) Resume(r record.Reason) { t.sink.report("resume %s %v", t.id, r) }

func (t *spyWindow) Close(time.Time) {
	t.sink.fault()
	_, closing, _ := t.sink.get()
	if t.sink.gate() != nil {
		t.sink.report("gate open while the window sink closes")
	}
	t.sink.report("close %s", t.id)
	if closing != nil {
		<-closing
	}
}

func (t *spyWindow) Discard() {
	t.sink.fault()
	if t.sink.gate() != nil {
		t.sink.report("gate open while the window sink is discarded")
	}
	t.sink.report("discard %s", t.id)
}

// spyMeter gives the readings that a test hands it.
type spyMeter struct {
	begun   chan struct{}
	answers chan func() (Reading, error)
}

func (m *spyMeter) Read(ctx context.Context) (Reading, error) {
	m.begun <- struct{}{}
	select {
	case a := <-m.answers:
		return a()
	case <-ctx.Done():
		return Reading{}, ctx.Err()
	}
}

// spyLog keeps what is logged.
type spyLog struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (l *spyLog) Infof(format string, args ...any) { l.add("INFO "+format, args...) }
func (l *spyLog) Warnf(format string, args ...any) { l.add("WARN "+format, args...) }

func (l *spyLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// with returns the lines that have text in them.
func (l *spyLog) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// harness is a Controller with everything around it in the test's hands.
type harness struct {
	*Controller
	t       *testing.T
	clock   *clock.Manual
	sink    *spySink
	meter   *spyMeter
	log     *spyLog
	reading bool // the test has seen that a reading began and has not answered it
}

// newHarness has the guard off; tests of the guard switch it on.
func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{
		t:     t,
		clock: newManualClock(),
		sink:  &spySink{events: make(chan string, 1000)},
		log:   &spyLog{},
		meter: &spyMeter{begun: make(chan struct{}, 1000), answers: make(chan func() (Reading, error))},
	}
	// The Controller that the sink watches exists only after New, which opens no
	// window by itself.
	h.sink.gate = func() *Window { return h.Controller.Open() }
	n := 0
	h.Controller = New(Options{
		Sink:  h.sink,
		Clock: h.clock,
		Meter: h.meter,
		Log:   h.log,
		NewID: func() string { n++; return fmt.Sprintf("w%d", n) },
	})
	t.Cleanup(h.Close)
	h.SetGuard(false)
	return h
}

// sync returns when the loop has done all that was due, and the sink has.
func (h *harness) sync() {
	h.t.Helper()
	for {
		tr := h.underWay()
		if tr == nil {
			return
		}
		h.await(tr.over)
	}
}

// underWay returns the transition after the loop has done all that was due.
func (h *harness) underWay() (tr *transition) {
	h.t.Helper()
	if err := h.do(func() { tr = h.transition }); err != nil {
		h.t.Fatal(err)
	}
	return tr
}

// await waits until c is closed.
func (h *harness) await(c <-chan struct{}) {
	h.t.Helper()
	select {
	case <-c:
	case <-time.After(timeout):
		h.t.Fatal("the sink does not return")
	}
}

// pass lets time go by and the loop do what became due.
func (h *harness) pass(d time.Duration) {
	h.t.Helper()
	h.clock.Advance(d)
	h.sync()
}

// expect waits for the sink's next events.
func (h *harness) expect(want ...string) {
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

// quiet says that the sink has had no further event.
func (h *harness) quiet() {
	h.t.Helper()
	h.sync()
	select {
	case got := <-h.sink.events:
		h.t.Fatalf("sink: unexpected %q", got)
	default:
	}
}

// awaitRead returns when the Controller waits for a reading.
func (h *harness) awaitRead() {
	h.t.Helper()
	if h.reading {
		return
	}
	select {
	case <-h.meter.begun:
		h.reading = true
	case <-time.After(timeout):
		h.t.Fatal("no reading begun")
	}
}

// read answers the reading under way, lets time go by until the next is due, and
// returns when that has begun: then the Controller has accepted this one.
func (h *harness) read(cpu, mem float64, err error) {
	h.t.Helper()
	h.awaitRead()
	h.meter.answers <- func() (Reading, error) {
		return Reading{CPU: cpu, CPUSource: "host", Mem: mem, MemSource: "cgroup"}, err
	}
	h.reading = false
	if errors.Is(err, ErrNoReading) {
		h.clock.Advance(readSoon)
	} else {
		h.clock.Advance(readEvery)
	}
	h.awaitRead()
	h.sync()
}

// calm gives n readings of an idle machine, one per second.
func (h *harness) calm(n int) {
	h.t.Helper()
	for range n {
		h.read(10, 20, nil)
	}
}

func (h *harness) mustSet(layer model.Layer, cfg model.DumpConfig) {
	h.t.Helper()
	if err := h.Set(layer, cfg, "test"); err != nil {
		h.t.Fatal(err)
	}
}

func config(sw string, interval, duration int) model.DumpConfig {
	return model.DumpConfig{Switch: sw, Interval: interval, Duration: duration, CpuMaxRate: 80, MemMaxRate: 70}
}
