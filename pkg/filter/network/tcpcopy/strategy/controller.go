package strategy

import (
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

// MaxManual is the longest manual window.
const MaxManual = time.Hour

// What a Controller refuses, beside invalid configurations.
var (
	ErrForceOff    = errors.New("switch is FORCE_OFF")
	ErrWindowOpen  = errors.New("a window is open")
	ErrNoWindow    = errors.New("no window is open")
	ErrGuardDown   = errors.New("guard is down")
	ErrBusy        = errors.New("the recorder is not ready for a window")
	ErrSwitchedOff = errors.New("recording was switched off")
	ErrCanceled    = errors.New("it was closed before it was open")
	ErrClosed      = errors.New("strategy controller is closed")
)

// Logger writes what an operator should read. It is called from any goroutine; the
// loop waits for it.
type Logger interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
}

type silent struct{}

func (silent) Infof(string, ...any) {}
func (silent) Warnf(string, ...any) {}

// Options are what a Controller needs.
type Options struct {
	Sink  Sink          // without one no window opens
	Clock Clock         // nil means the system's
	Meter Meter         // nil means SystemMeter
	NewID func() string // nil means random UUIDs
	Log   Logger        // nil means silent
	// Panicked reports a panic that was caught in the loop, the Sink or the Meter:
	// where is one of few. It is called from any goroutine. nil means a warning in
	// the log.
	Panicked func(where string, value any, stack []byte)
	// Skipped is called for each window that does not open although it is due or
	// somebody asks for it, with a Skip of one window. The loop calls it, and waits for
	// it. nil means that only the status has it.
	Skipped func(record.Skip)
	// Forced is called when the switch becomes FORCE_OFF, and when it is no longer. The loop
	// calls it and waits for it, so that it has returned when Set does. nil is for nobody.
	Forced func(forced bool)
}

// Controller decides for one process when a window is open. Its methods may be called
// from any goroutine; all but Open and Status pass through one goroutine, the loop,
// which alone changes anything. The loop does not wait for the Sink.
type Controller struct {
	gate   atomic.Pointer[Window] // written by the loop
	status atomic.Pointer[Status] // written by the loop

	// Set by New.
	sink     Sink
	clock    Clock
	newID    func() string
	log      Logger
	panicked panicHook
	onSkip   func(record.Skip) // nil for none
	onForced func(bool)        // nil for none
	commands chan command
	returned chan func()   // calls for the loop, sent when the Sink returns; room for one
	stop     chan struct{} // closed by Close, ends the loop
	done     chan struct{} // closed by the loop, at its end
	starting sync.Once     // starts the loop
	stopOnce sync.Once

	// Only the loop uses the fields from here on.
	guard      *guard
	layers     map[model.Layer]*layer
	effective  effective
	last       time.Time        // the clock's last reading
	rest       time.Time        // nothing that is due is done before; see panicRest
	window     *Window          // the open one; nil when none is
	transition *transition      // the window that the Sink opens or closes; nil when there is none
	began      time.Time        // when its gate was opened
	closes     time.Time        // when it is to be closed
	paused     bool             // the guard pauses it
	waiting    time.Time        // when the wait for the next scheduled window began
	manual     []*manualOpening // wait for the guard's first reading
	lives      []*liveWindow    // live-only windows that are open
	verdict    verdict          // of the guard, by the last step
	why        string           // its reason
	guardLog   guardLog         // of verdict
	skipped    SkipStatus       // its list is replaced, never changed
	skipping   bool             // no window has opened since the last skip

	livesOpening int // live-only windows that are being opened
}

// layer is one layer of the switch.
type layer struct {
	config model.DumpConfig
	change *Change // the last attempt; never written to once it is here
}

// New returns a Controller with both layers at their defaults and the guard on. Its
// loop is started by the first call that changes something, and Close ends it: a
// Controller that nobody uses has no goroutine.
func New(o Options) *Controller {
	c := &Controller{
		sink:     o.Sink,
		clock:    o.Clock,
		newID:    o.NewID,
		log:      o.Log,
		panicked: o.Panicked,
		onSkip:   o.Skipped,
		onForced: o.Forced,
		commands: make(chan command),
		returned: make(chan func(), 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		layers: map[model.Layer]*layer{
			model.LayerApp:    {config: model.DefaultDumpConfig()},
			model.LayerGlobal: {config: model.DefaultDumpConfig()},
		},
	}
	if c.sink == nil {
		c.sink = noSink{}
	}
	if c.clock == nil {
		c.clock = clock.System()
	}
	if c.newID == nil {
		c.newID = uuid.NewString
	}
	if c.log == nil {
		c.log = silent{}
	}
	if c.panicked == nil {
		c.panicked = c.warnPanic
	}
	meter := o.Meter
	if meter == nil {
		meter = SystemMeter()
	}
	c.guard = newGuard(meter, c.panicked)
	c.guardLog.log = c.log
	c.skipped.List = []record.Skip{}
	c.resolve()
	c.step()
	c.publish()
	return c
}

// Open is the gate: it returns the open window, or nil when nothing is to be recorded.
// It costs one atomic load. A window that the guard pauses stays open; its WindowSink
// is paused.
func (c *Controller) Open() *Window { return c.gate.Load() }

// Status returns the state after the last change. It never waits, not for the Sink
// either.
func (c *Controller) Status() Status { return *c.status.Load() }

// Set puts cfg into force in a layer. An invalid one is refused whole, with an
// error that names every fault. Turning the effective switch off closes the open
// window, whatever opened it: when Set returns, its gate is closed, and its records
// may still be on their way to the disk. A change of the schedule counts from when
// the wait or the window began. The source says who asked, for status and log.
func (c *Controller) Set(name model.Layer, cfg model.DumpConfig, source string) error {
	if name != model.LayerApp && name != model.LayerGlobal {
		return &model.FieldError{Field: "layer", Value: string(name), Valid: "app, global"}
	}
	if err := cfg.Validate(name); err != nil {
		err = fmt.Errorf("dump config of layer %s from %s: %w", name, source, err)
		c.Refuse(name, source, err)
		return err
	}
	return c.do(func() { c.set(name, cfg, source) })
}

// Refuse records in the status that source offered a configuration for the layer
// which could not be read, because of err. The one in force stays.
func (c *Controller) Refuse(name model.Layer, source string, err error) {
	// A closed Controller shows no status any more.
	_ = c.do(func() {
		if l := c.layers[name]; l != nil {
			l.change = &Change{Source: source, Time: c.now(), Error: err.Error()}
		}
	})
}

// SetGuard enables or disables the guard; it is enabled at the start. While it is
// disabled, recording goes on whatever the load.
func (c *Controller) SetGuard(on bool) {
	// A closed Controller records nothing either way.
	_ = c.do(func() { c.guard.enabled = on })
}

// OpenManual opens a window for d, at most MaxManual, unless the switch is FORCE_OFF.
// It waits up to a second for the guard's first reading and for the former window to
// be written, and without a limit for the Sink to open this one. The errors are
// ErrForceOff, ErrWindowOpen, ErrBusy, ErrGuardDown, ErrSwitchedOff, ErrCanceled,
// ErrClosed, or the Sink's.
func (c *Controller) OpenManual(d time.Duration) (record.Window, error) {
	return c.openOnDemand(d, false)
}

// OpenUnguarded is OpenManual for a window that the guard neither keeps closed nor
// pauses.
func (c *Controller) OpenUnguarded(d time.Duration) (record.Window, error) {
	return c.openOnDemand(d, true)
}

// Measure reports whether the guard lets record, whatever the switch says. Where no
// readings are made it waits for one, up to a second.
func (c *Controller) Measure() bool {
	m := &manualOpening{measure: true, answer: make(chan answer, 1)}
	if err := c.do(func() { c.addManual(m) }); err != nil {
		return false
	}
	a := <-m.answer
	return a.available
}

func (c *Controller) openOnDemand(d time.Duration, unguarded bool) (record.Window, error) {
	if d <= 0 || d > MaxManual {
		return record.Window{}, &model.FieldError{Field: "length of a manual window", Value: d, Valid: fmt.Sprintf("more than 0, up to %v", MaxManual)}
	}
	m := &manualOpening{length: d, unguarded: unguarded, answer: make(chan answer, 1)}
	if err := c.do(func() { c.addManual(m) }); err != nil {
		return record.Window{}, err
	}
	a := <-m.answer
	return a.window, a.err
}

// CloseWindow closes the open window, whatever opened it, and returns it when its
// WindowSink is closed; Closes then is the moment at which its gate was closed. It
// also waits for a window that is being closed already. The error is ErrNoWindow or
// ErrClosed.
func (c *Controller) CloseWindow() (record.Window, error) {
	var tr *transition
	if err := c.do(func() { tr = c.cancelWindow(ErrCanceled, "on demand") }); err != nil {
		return record.Window{}, err
	}
	if tr == nil {
		return record.Window{}, ErrNoWindow
	}
	if <-tr.over; tr.failed {
		return record.Window{}, ErrNoWindow
	}
	return tr.window, nil
}

// Drop closes the window of that ID if it is open or being opened. It returns when
// the gate is closed; the channel is closed when the WindowSink is. why is the reason,
// for the log.
func (c *Controller) Drop(id, why string) <-chan struct{} {
	var tr *transition
	err := c.do(func() {
		if c.window != nil && c.window.ID == id || c.transition != nil && c.transition.window.ID == id {
			tr = c.cancelWindow(fmt.Errorf("%w: %s", ErrCanceled, why), why)
		}
	})
	switch {
	case err != nil:
		return c.done // the window is closed on the way there
	case tr == nil:
		over := make(chan struct{})
		close(over)
		return over
	}
	return tr.over
}

// Close closes the open window, ends the loop and returns when both are done and
// no reading is under way. It may be called more than once.
func (c *Controller) Close() {
	c.stopOnce.Do(func() { close(c.stop) })
	c.start() // a loop that has not been needed yet has to end too
	<-c.done
}
