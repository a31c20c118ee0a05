package strategy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// What a Flight refuses.
var (
	ErrNoRing       = errors.New("there is no ring")
	ErrManyCaptures = fmt.Errorf("%d captures are under way", maxCaptures)
	ErrStillOpening = errors.New("the capture is still being opened, because the disk has not answered")
	ErrNoConnection = errors.New("nothing of that connection is in the ring")
	errNoFlight     = errors.New("this program has no flight recorder")
)

// notConfigured is why there is no ring before the first configuration.
const notConfigured = "no flight block is configured"

const (
	// maxCaptures is how many captures may be under way: each of them keeps what it has not
	// read yet from being given up.
	maxCaptures = 8
	// maxEvents is how many events wait for the loop. More are counted as suppressed.
	maxEvents = 1024
	// MaxCapture is how long a capture may become by triggers that join it, from its first
	// one. An event after that begins another.
	MaxCapture = 10 * time.Minute
	// ringRetry is the wait before a ring that could not be opened is tried again.
	ringRetry = 5 * time.Second
)

// FlightOptions are what a Flight needs.
type FlightOptions struct {
	Sink  FlightSink    // without one there is no ring
	Clock Clock         // nil means the system's
	Meter Meter         // nil means SystemMeter; not that of the Controller
	NewID func() string // nil means random UUIDs
	Log   Logger        // nil means silent
	// Alert writes what an operator should know of at once. nil means a warning in the log.
	Alert func(format string, args ...any)
	// Panicked reports a panic that was caught in the loop, the sink or the Meter; see
	// Options.
	Panicked func(where string, value any, stack []byte)
}

// Flight decides for one process whether there is a ring, and what is written of it and
// when: the policy of the flight recorder. It is beside the Controller, whose schedule does
// not concern it. Its methods may be called from any goroutine; all but Event and Status pass
// through one goroutine, the loop, which alone changes anything. The loop does not wait for
// the sink.
type Flight struct {
	status atomic.Pointer[FlightStatus] // written by the loop

	// Set by NewFlight.
	sink     FlightSink
	clock    Clock
	newID    func() string
	log      Logger
	alert    func(format string, args ...any)
	panicked panicHook
	commands chan command
	returned chan func()   // calls for the loop, sent when the sink returns
	signal   chan struct{} // room for one: events wait
	stop     chan struct{} // closed by Close, ends the loop
	done     chan struct{} // closed by the loop, at its end
	starting sync.Once     // starts the loop
	stopOnce sync.Once

	mu       sync.Mutex        // guards the next two
	events   []FlightEvent     // that the loop has not seen yet, at most maxEvents
	overflow map[string]uint64 // by trigger: events beyond that

	// Only the loop uses the fields from here on.
	last     time.Time     // the clock's last reading
	rest     time.Time     // nothing that is due is done before; see panicRest
	config   *FlightConfig // in force, nil before the first. It is replaced, never changed
	forced   bool          // the switch is FORCE_OFF
	stopping bool

	ring     *openRing   // nil when there is none
	ringWork *ringWork   // the ring that the sink opens or closes; nil when there is none
	fault    string      // why the last ring could not be opened; empty when it could
	retry    time.Time   // no ring is opened before
	underWay int         // goroutines that will send to returned
	guard    *guard      // with the ring's own limits
	guardLog guardLog    // of its verdict
	paused   bool        // the guard pauses the ring
	captures []*capture  // that are not finished, at most maxCaptures
	begun    []time.Time // of captures that triggers have caused, within the budget's time
	refusing bool        // an alert says that no capture begins; until the next one does
	failing  bool        // an alert says that none can be opened; until the next one is

	opened, suppressed uint64                   // captures; events and captures without one
	counts             map[string]*triggerCount // by trigger of config
}

// NewFlight returns a Flight without a configuration, so without a ring. Its loop is
// started by the first call that needs it, and Close ends it.
func NewFlight(o FlightOptions) *Flight {
	f := &Flight{
		sink:     o.Sink,
		clock:    o.Clock,
		newID:    o.NewID,
		log:      o.Log,
		alert:    o.Alert,
		panicked: o.Panicked,
		commands: make(chan command),
		returned: make(chan func(), maxCaptures+1),
		signal:   make(chan struct{}, 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		overflow: map[string]uint64{},
		counts:   map[string]*triggerCount{},
	}
	if f.sink == nil {
		f.sink = noRing{}
	}
	if f.clock == nil {
		f.clock = clock.System()
	}
	if f.newID == nil {
		f.newID = uuid.NewString
	}
	if f.log == nil {
		f.log = silent{}
	}
	if f.alert == nil {
		f.alert = f.log.Warnf
	}
	if f.panicked == nil {
		f.panicked = f.warnPanic
	}
	meter := o.Meter
	if meter == nil {
		meter = SystemMeter()
	}
	f.guard = newGuard(meter, f.panicked)
	f.guardLog.log = flightLog{f.log}
	f.publish()
	return f
}

// flightLog writes the guard's lines of the flight recorder.
type flightLog struct{ log Logger }

func (l flightLog) Infof(format string, args ...any) {
	l.log.Infof("flight recorder: "+format, args...)
}

func (l flightLog) Warnf(format string, args ...any) {
	l.log.Warnf("flight recorder: "+format, args...)
}

// Set puts a configuration into force, nil for none. What the ring has stays, unless the size
// changes; then captures end at once. It does not wait for the ring to be opened or closed.
// The source says who asked, for the log. The configuration is checked already; with an
// error, which is the sink's or ErrClosed, the one before stays.
func (f *Flight) Set(c *FlightConfig, source string) error {
	var err error
	if closed := f.do(func() { err = f.set(c.clone(), source) }); closed != nil {
		return closed
	}
	return err
}

// SetForced says whether the switch is FORCE_OFF. While it is, there is no ring. When
// SetForced returns, nothing is recorded any more; captures have ended, and their records
// may still be on their way to the disk.
func (f *Flight) SetForced(forced bool) {
	// A closed Flight has no ring either way.
	_ = f.do(func() { f.forced = forced })
}

// SetGuard enables or disables the guard of the ring; it is enabled at the start.
func (f *Flight) SetGuard(on bool) {
	_ = f.do(func() { f.guard.enabled = on })
}

// Retry opens a ring that could not be opened at once instead of later: something has
// changed.
func (f *Flight) Retry() {
	if f.status.Load().Config.IsOn() {
		_ = f.do(func() { f.retry = time.Time{} })
	}
}

// Reopen closes the ring, because of why, and opens another: what it was opened on has
// been replaced. When it returns, nothing is recorded in the former ring any more. The
// channel is closed when that is closed.
func (f *Flight) Reopen(why string) <-chan struct{} {
	over := f.done // of a closed Flight, the ring is closed on the way there
	_ = f.do(func() {
		over = make(chan struct{})
		work := f.endRing(why)
		if work == nil {
			close(over)
			return
		}
		over = work.over
	})
	return over
}

// Event reports that a trigger has fired. It does not wait. Events of triggers that the
// configuration does not have any more are left out.
func (f *Flight) Event(e FlightEvent) {
	f.mu.Lock()
	if len(f.events) < maxEvents {
		f.events = append(f.events, e)
	} else {
		f.overflow[e.Trigger]++
	}
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// CaptureRequest is a capture on demand. It does not count towards the budget.
type CaptureRequest struct {
	Reason        string         // in words
	Scope         Scope          // a Kind of "" is the process
	Conn          string         // the connection that it is about, for its cause; may be empty
	Before, After *time.Duration // nil means the block's
}

// Captured is a capture that has been opened.
type Captured struct {
	Window string    // its id
	Opened time.Time // its true beginning
	Closes time.Time // when it is to be closed
}

// Capture opens a capture and returns when the sink has opened it. The errors are
// ErrForceOff, ErrNoRing, ErrManyCaptures, ErrClosed, those of the sink, a *model.FieldError, or, with
// the window's id alone, ErrStillOpening when ctx ends before.
func (f *Flight) Capture(ctx context.Context, r CaptureRequest) (Captured, error) {
	for field, d := range map[string]*time.Duration{"before": r.Before, "after": r.After} {
		if d != nil && (*d < 0 || *d > MaxOnDemand) {
			return Captured{}, &model.FieldError{Field: field, Value: d.String(), Valid: fmt.Sprintf("0s … %v", MaxOnDemand)}
		}
	}
	if r.Scope.Kind == "" {
		r.Scope.Kind = ScopeProcess
	}
	answer := make(chan capturedAnswer, 1)
	var id string
	var refused error
	if err := f.do(func() { id, refused = f.captureOnDemand(r, answer) }); err != nil {
		return Captured{}, err
	}
	if refused != nil {
		return Captured{}, refused
	}
	select {
	case a := <-answer:
		return a.captured, a.err
	case <-ctx.Done():
		return Captured{Window: id}, ErrStillOpening
	}
}

// MaxOnDemand is how far back a capture on demand may reach, and how long it may go on.
const MaxOnDemand = 24 * time.Hour

type capturedAnswer struct {
	captured Captured
	err      error
}

// Close ends the captures, closes the ring, ends the loop, and returns when all is done. It
// may be called more than once.
func (f *Flight) Close() {
	f.stopOnce.Do(func() { close(f.stop) })
	f.start()
	<-f.done
}

// set changes the configuration.
func (f *Flight) set(c *FlightConfig, source string) error {
	if f.ring != nil && f.config.KeepsRing(c) && !f.config.Equal(c) {
		if err := f.configure(c); err != nil {
			return err
		}
	}
	if c.IsOn() || f.config.IsOn() {
		f.log.Infof("flight recorder: %s from %s", c, source)
	}
	f.config, f.retry, f.fault = c, time.Time{}, ""
	counts := map[string]*triggerCount{}
	if c.IsOn() {
		for i := range c.Triggers {
			name := c.Triggers[i].Name
			if counts[name] = f.counts[name]; counts[name] == nil {
				counts[name] = &triggerCount{}
			}
		}
	}
	f.counts = counts
	return nil
}

// limits returns the guard's limits.
func (f *Flight) limits() model.DumpConfig {
	c := f.config
	if !c.IsOn() {
		d := DefaultFlightConfig()
		c = &d
	}
	return model.DumpConfig{CpuMaxRate: c.CPUMaxRate, MemMaxRate: c.MemMaxRate}
}

// judge pauses or resumes the ring by the guard's verdict. Before the first reading the ring
// is not paused.
func (f *Flight) judge(now time.Time) {
	limits := f.limits()
	if f.guard.follow(limits, now) {
		f.guardLog.went()
	}
	v, why := f.guard.judge(limits, now)
	if f.ring == nil {
		return
	}
	f.guardLog.show(v, why, now)
	if pause := v == verdictDown; pause != f.paused {
		f.paused = pause
		if pause {
			f.ring.sink.Pause(record.ReasonGuard)
		} else {
			f.ring.sink.Resume(record.ReasonGuard)
		}
	}
}
