package tcpcopy

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// host is the part of MOSN that a recorder needs.
type host struct {
	log       logger
	effective *persistence.Source              // the configuration in force; nil for none
	static    *persistence.Source              // the one that the process was started with; nil for none
	roller    func() string                    // roller words that hold where a listener names none
	listeners func() map[string]map[string]any // the tcpcopy blocks of MOSN's listeners, by listener
	// open reports whether MOSN has a listener of that name. It may be called from any
	// goroutine. nil means that all are there.
	open    func(listener string) bool
	metrics metricSource
	meter   strategy.Meter // nil means strategy.SystemMeter
	// room returns the Room of memory up to a rate; nil means that of the machine, or no
	// limits where meter is not the machine's either.
	room func(maxRate float64) persistence.Room
	// openRing opens the flight recorder's ring; nil means in the store.
	openRing openRing
}

// logger is the part of MOSN's error log that the recorder writes to.
type logger interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Alertf(alert string, format string, args ...any)
}

// alertKey is what operators look for in MOSN's log.
const alertKey = "tcpcopy"

// recorder is shared by all listeners of the process: it has one strategy and one
// dump directory. It outlives the factories, which MOSN makes anew at each update of
// a listener.
type recorder struct {
	run        string // the process's part of connection identities
	host       host
	controller *strategy.Controller
	// gate is what the bytes of the connections go to: the flight recorder's ring, the
	// window's, or that of live-only windows; nil when nobody wants them. The stores write it.
	gate    atomic.Pointer[persistence.Ring]
	flight  *strategy.Flight
	ring    atomic.Pointer[ringSession] // the open one; nil without one
	evicted atomic.Uint64               // bytes that rings which are closed have given up
	panics  atomic.Uint64

	connections atomic.Int64 // that are open and have a filter
	handed      atomic.Bool  // records may come without a listener: portraits, the work pool
	unbound     atomic.Int64 // factories that have not been bound yet

	panicked   sync.Map                        // key: where; the log has an alert of a panic there
	warned     atomic.Pointer[strategy.Window] // the last window in which a refused portrait was logged
	clients    clients
	upgrading  atomic.Bool // a successor is taking the connections over
	meters     *meters
	publishing sync.Once
	retiring   sync.WaitGroup // the goroutines that close stores which have been replaced
	skips      *skipLog
	drained    chan struct{} // closed by drain when everything is written

	drainTimeout time.Duration // constant but for tests

	// binding guards changes of the store and of the process's parts. It may be held
	// while the disk is waited for, up to openTimeout. It is locked before mu.
	binding sync.Mutex

	mu        sync.Mutex // guards the rest; the disk is never waited for under it
	listeners map[string]*boundListener
	refused   map[string]refusal // by listener
	refusals  uint64
	owners    map[string]string // by part of the process: the listener that configures it
	parts     settings          // the parts in force
	applied   *model.DumpConfig // the last strategy that a listener has put into force

	appliedFlight *flightSettings  // the last flight block that a listener has put into force
	flightChange  *strategy.Change // the last attempt to change it; never written to once it is here

	store  *persistence.Store   // in force; nil before the first and at the end
	old    []*persistence.Store // replaced, and not closed yet
	past   persistence.Stats    // of the closed ones
	pool   map[string]*poolConn // by port
	watch  *watch               // nil when no file is watched
	closed bool
	// unanswered has the dump directories, as they are configured, that are being opened
	// and have not answered for openTimeout: since when.
	unanswered map[string]time.Time
}

// boundListener is a listener whose configuration is in force. It does not change.
type boundListener struct {
	name, port string
	settings   *settings
	scope      scope
}

// refusal is a configuration that was refused.
type refusal struct {
	Listener string     `json:"listener"`
	Time     *time.Time `json:"time,omitempty"` // nil for a block that could not be read
	Error    string     `json:"error"`
}

func newRecorder(run string, h host) *recorder {
	r := &recorder{
		run:       run,
		host:      h,
		listeners: map[string]*boundListener{},
		refused:   map[string]refusal{},
		owners:    map[string]string{},
		pool:      map[string]*poolConn{},
		drained:   make(chan struct{}),

		unanswered: map[string]time.Time{},

		drainTimeout: drainTimeout,
	}
	r.skips = &skipLog{store: r.storeOrNil, panicked: r.countPanic, clock: clock.System()}
	r.flight = r.newFlight()
	meter := h.meter
	if meter == nil {
		meter = strategy.SystemMeterBeside(r.ringMemory)
	}
	r.controller = strategy.New(strategy.Options{Sink: r, Meter: meter, Log: h.log, Panicked: r.countPanic, Skipped: r.skips.add, Forced: r.flight.SetForced})
	r.meters = newMeters(h.metrics)
	if r.host.meter == nil && r.host.room == nil {
		r.host.room = machineRoom
	}
	return r
}

// bind puts a listener's settings into force, whole or not at all. A refused listener
// is listed in the status, and its traffic is not recorded.
func (r *recorder) bind(name, port string, s *settings) (*boundListener, error) {
	r.binding.Lock()
	defer r.binding.Unlock()
	l, err := r.admit(name, port, s)
	if err != nil {
		return nil, err
	}
	r.startPublishing()
	if err := errors.Join(r.applyStrategy(name, s), r.applyFlight(name, s)); err != nil {
		return nil, err
	}
	return l, nil
}

// admit checks the settings of a listener and installs them. A new store is open
// before the old one is retired; if it cannot be opened, the old one stays.
func (r *recorder) admit(name, port string, s *settings) (l *boundListener, err error) {
	refused := func(err error) error {
		err = fmt.Errorf("tcpcopy: listener %s: %w", name, err)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.refuseLocked(name, err)
		return err
	}
	next, brings, err := r.check(name, s)
	if err != nil {
		return nil, refused(err)
	}
	store, err := r.prepareStore(next.output, next.buffer)
	if err != nil {
		return nil, refused(err)
	}
	l = &boundListener{name: name, port: port, settings: s, scope: s.scope}
	old := r.install(l, next, brings, store)
	if old != nil {
		r.retire(old)
	}
	return l, nil
}

// install puts checked settings into force, and store unless it is nil. It returns
// the replaced store, nil if there is none.
func (r *recorder) install(l *boundListener, next settings, brings map[string]bool, store *persistence.Store) (old *persistence.Store) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = next
	for part, mine := range brings {
		if mine {
			r.owners[part] = l.name
		} else if r.owners[part] == l.name {
			delete(r.owners, part)
		}
	}
	r.listeners[l.name] = l
	delete(r.refused, l.name)
	if store == nil {
		return nil
	}
	if old = r.store; old != nil {
		r.old = append(r.old, old)
	}
	r.store = store
	return old
}

// check returns the parts that would be in force with the listener, and which of them
// the listener would own.
func (r *recorder) check(name string, s *settings) (next settings, brings map[string]bool, err error) {
	p := r.presence()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return next, nil, errStopping
	}
	r.releaseLocked(name, p)
	brings = map[string]bool{
		partStrategy: r.conflictLocked(name, partStrategy, s.strategy != nil, s.strategy, r.parts.strategy, &err),
		partOutput:   r.conflictLocked(name, partOutput, s.output != nil, s.output, r.parts.output, &err),
		partBuffer:   r.conflictLocked(name, partBuffer, s.buffer != nil, s.buffer, r.parts.buffer, &err),
		partGuard:    r.conflictLocked(name, partGuard, s.guard != nil, s.guard, r.parts.guard, &err),
		partFlight:   r.conflictLocked(name, partFlight, s.flight != nil, s.flight, r.parts.flight, &err),
	}
	if err != nil {
		return next, nil, err
	}
	next = r.parts
	if s.output != nil {
		next.output = s.output
	}
	if s.buffer != nil {
		next.buffer = s.buffer
	}
	if s.strategy != nil {
		next.strategy = s.strategy
	}
	if s.guard != nil {
		next.guard = s.guard
	}
	if s.flight != nil {
		next.flight = s.flight
	}
	return next, brings, errors.Join(r.directionsLocked(name, s, next.output), r.flightFitsLocked(s, next))
}

// conflictLocked reports whether the listener would own the part. It joins an error
// to err if another listener owns the part and has configured it otherwise.
func (r *recorder) conflictLocked(name, part string, brings bool, offered, inForce any, err *error) bool {
	owner := r.owners[part]
	if brings && owner != "" && owner != name && !reflect.DeepEqual(offered, inForce) {
		*err = errors.Join(*err, fmt.Errorf("%s differs from the one of listener %s; it is the process's: give it in one of the two, or alike in both", part, owner))
	}
	return brings && (owner == "" || owner == name)
}

// directionsLocked refuses hex together with a listener that records both
// directions.
func (r *recorder) directionsLocked(name string, s *settings, output *outputSettings) error {
	formats := persistence.DefaultConfig().Formats
	if output != nil {
		formats = output.formats
	}
	if !slices.Contains(formats, persistence.FormatHex) {
		return nil
	}
	both := s.scope.both
	culprit := name
	for other, l := range r.listeners {
		if other != name && l.scope.both {
			both, culprit = true, other
		}
	}
	if !both {
		return nil
	}
	return &model.FieldError{
		Field: "output.formats",
		Value: "hex",
		Valid: fmt.Sprintf("hex_meta, pcapng where capture.direction is both (listener %s), because hex lines cannot tell the directions apart", culprit),
	}
}

// applyStrategy puts the strategy and the guard of an admitted listener into force. A
// strategy that the listener has had before changes nothing: somebody may have changed
// the switch since.
func (r *recorder) applyStrategy(name string, s *settings) error {
	r.mu.Lock()
	mine := r.owners[partStrategy] == name && s.strategy != nil && !reflect.DeepEqual(r.applied, s.strategy)
	if mine {
		r.applied = s.strategy
	}
	guard := r.parts.guard
	r.mu.Unlock()
	if guard != nil {
		r.controller.SetGuard(*guard)
		r.flight.SetGuard(*guard)
	}
	if mine {
		return r.controller.Set(model.LayerApp, *s.strategy, "listener "+name)
	}
	return nil
}

// countRefusal counts a configuration that was refused before its listener was known.
// The status finds its error in MOSN's configuration.
func (r *recorder) countRefusal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals++
}

// refuseLocked records a refusal for the status and counts it.
func (r *recorder) refuseLocked(listener string, err error) {
	now := time.Now()
	r.refusals++
	r.refused[listener] = refusal{Listener: listener, Time: &now, Error: err.Error()}
}

// windowSink is the session of a window, as the strategy's controller uses it.
type windowSink struct {
	*persistence.Session
	recorder *recorder
}

// OpenWindow opens the session of a window. It implements strategy.Sink. It refuses a
// window that would record nothing.
func (r *recorder) OpenWindow(w record.Window) (strategy.WindowSink, error) {
	if err := r.nothingToRecord(); err != nil {
		return nil, &record.SkipError{Reason: record.SkipListener, Err: err}
	}
	session, err := r.openSession(w)
	if err != nil {
		return nil, err
	}
	r.skips.flush()
	r.startPublishing()
	return &windowSink{Session: session, recorder: r}, nil
}

// openSession opens a session in the store in force. A store that has been replaced
// refuses: it is sealed.
func (r *recorder) openSession(w record.Window) (*persistence.Session, error) {
	store, err := r.readyStore()
	if err != nil {
		return nil, &record.SkipError{Reason: record.SkipOutput, Err: err}
	}
	session, err := store.OpenWindow(w)
	if errors.Is(err, persistence.ErrNoRoom) {
		return nil, &record.SkipError{Reason: record.SkipMemory, Err: err}
	}
	return session, err
}

// Close closes the session and updates the metrics.
func (s *windowSink) Close(closed time.Time) {
	defer s.recorder.recoverPanic("closing a window")
	s.Session.Close(closed)
	s.recorder.publish()
}

// Discard ends the session of a window that never was open.
func (s *windowSink) Discard() {
	defer s.recorder.recoverPanic("closing a window")
	s.Session.Discard()
}

// subscribe opens a live stream. The caller closes it.
func (r *recorder) subscribe() (*persistence.Live, error) {
	store, err := r.readyStore()
	if err != nil {
		return nil, err
	}
	return store.Subscribe()
}

// recoverPanic is deferred where a panic would end the process, or the connection,
// which MOSN closes then. It counts the panic.
func (r *recorder) recoverPanic(where string) {
	if p := recover(); p != nil {
		r.countPanic(where, p, debug.Stack())
	}
}

// countPanic counts a panic that was caught at where, and alerts at the first one
// there. It is the one hook for panics: what this package starts calls it, and so do
// packages strategy and persistence.
func (r *recorder) countPanic(where string, value any, stack []byte) {
	r.panics.Add(1)
	if _, known := r.panicked.LoadOrStore(where, true); !known {
		r.host.log.Alertf(alertKey, "panic in %s: %v\n%s", where, value, stack)
	}
}
