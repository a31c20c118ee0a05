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

// patience bounds what a test waits for; only a failing one waits that long.
const patience = 20 * time.Second

// newManualClock returns a clock that moves when a test says so. It has no
// monotonic reading.
func newManualClock() *clock.Manual {
	return clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
}

// spySink tells what is done to it, and does it when it may.
type spySink struct {
	events chan string
	gate   func() *Window // to see that it is closed when it must be

	mu      sync.Mutex
	err     error         // what OpenWindow returns; guarded by mu
	panics  bool          // OpenWindow and Close do; guarded by mu
	opening chan struct{} // OpenWindow waits for it; nil does not; guarded by mu
	closing chan struct{} // Close waits for it; nil does not; guarded by mu
}

type spyTap struct {
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

func (s *spySink) tell(format string, args ...any) { s.events <- fmt.Sprintf(format, args...) }

func (s *spySink) OpenWindow(w record.Window) (Tap, error) {
	opening, _, err := s.get()
	s.fault()
	if s.gate() != nil {
		s.tell("gate open before OpenWindow returned")
	}
	s.tell("open %s %s for %v", w.Trigger, w.ID, w.Closes.Sub(w.Opened))
	if opening != nil {
		<-opening
	}
	return &spyTap{sink: s, id: w.ID}, err
}

func (t *spyTap) Hold(r record.Reason)    { t.sink.tell("hold %s %v", t.id, r) }
func (t *spyTap) Release(r record.Reason) { t.sink.tell("release %s %v", t.id, r) }

func (t *spyTap) Close(time.Time) {
	t.sink.fault()
	_, closing, _ := t.sink.get()
	if t.sink.gate() != nil {
		t.sink.tell("gate open while the tap closes")
	}
	t.sink.tell("close %s", t.id)
	if closing != nil {
		<-closing
	}
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

// rig is a Controller with everything around it in the test's hands.
type rig struct {
	*Controller
	t       *testing.T
	clock   *clock.Manual
	sink    *spySink
	meter   *spyMeter
	log     *spyLog
	reading bool // the test has seen that a reading began and has not answered it
}

// newRig has the guard off; tests of the guard switch it on.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		t:     t,
		clock: newManualClock(),
		sink:  &spySink{events: make(chan string, 1000)},
		log:   &spyLog{},
		meter: &spyMeter{begun: make(chan struct{}, 1000), answers: make(chan func() (Reading, error))},
	}
	// The Controller that the sink watches exists only after New, which opens no
	// window by itself.
	r.sink.gate = func() *Window { return r.Controller.Open() }
	n := 0
	r.Controller = New(Options{
		Sink:  r.sink,
		Clock: r.clock,
		Meter: r.meter,
		Log:   r.log,
		NewID: func() string { n++; return fmt.Sprintf("w%d", n) },
	})
	t.Cleanup(r.Close)
	r.SetGuard(false)
	return r
}

// sync returns when the loop has done all that was due, and the sink has.
func (r *rig) sync() {
	r.t.Helper()
	for {
		h := r.underWay()
		if h == nil {
			return
		}
		r.await(h.over)
	}
}

// underWay returns the handover after the loop has done all that was due.
func (r *rig) underWay() (h *handover) {
	r.t.Helper()
	if err := r.do(func() { h = r.handover }); err != nil {
		r.t.Fatal(err)
	}
	return h
}

// await waits until c is closed.
func (r *rig) await(c <-chan struct{}) {
	r.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		r.t.Fatal("the sink does not return")
	}
}

// pass lets time go by and the loop do what became due.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.clock.Advance(d)
	r.sync()
}

// expect waits for the sink's next events.
func (r *rig) expect(want ...string) {
	r.t.Helper()
	for _, w := range want {
		select {
		case got := <-r.sink.events:
			if got != w {
				r.t.Fatalf("sink: got %q, want %q", got, w)
			}
		case <-time.After(patience):
			r.t.Fatalf("sink: no %q", w)
		}
	}
}

// quiet says that the sink has had no further event.
func (r *rig) quiet() {
	r.t.Helper()
	r.sync()
	select {
	case got := <-r.sink.events:
		r.t.Fatalf("sink: unexpected %q", got)
	default:
	}
}

// awaitRead returns when the Controller waits for a reading.
func (r *rig) awaitRead() {
	r.t.Helper()
	if r.reading {
		return
	}
	select {
	case <-r.meter.begun:
		r.reading = true
	case <-time.After(patience):
		r.t.Fatal("no reading begun")
	}
}

// read answers the reading under way, lets time go by until the next is due, and
// returns when that has begun: then the Controller has taken this one.
func (r *rig) read(cpu, mem float64, err error) {
	r.t.Helper()
	r.awaitRead()
	r.meter.answers <- func() (Reading, error) {
		return Reading{CPU: cpu, CPUSource: "host", Mem: mem, MemSource: "cgroup"}, err
	}
	r.reading = false
	if errors.Is(err, ErrNoReading) {
		r.clock.Advance(readSoon)
	} else {
		r.clock.Advance(readEvery)
	}
	r.awaitRead()
	r.sync()
}

// calm gives n readings of an idle machine, one a second.
func (r *rig) calm(n int) {
	r.t.Helper()
	for range n {
		r.read(10, 20, nil)
	}
}

func (r *rig) mustSet(layer model.Layer, cfg model.DumpConfig) {
	r.t.Helper()
	if err := r.Set(layer, cfg, "test"); err != nil {
		r.t.Fatal(err)
	}
}

func config(sw string, interval, duration int) model.DumpConfig {
	return model.DumpConfig{Switch: sw, Interval: interval, Duration: duration, CpuMaxRate: 80, MemMaxRate: 70}
}
