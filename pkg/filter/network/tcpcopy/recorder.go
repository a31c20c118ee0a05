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

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// host is what a recorder needs of MOSN.
type host struct {
	log       logger
	effective func() ([]byte, error)           // the configuration in force, as JSON
	static    func() ([]byte, error)           // the one that the process was started with
	roller    func() string                    // roller words that hold where a listener names none
	listeners func() map[string]map[string]any // the tcpcopy blocks of MOSN's listeners, by listener
	metrics   metricSource
	meter     strategy.Meter // nil means the machine's
}

// logger is the part of MOSN's error log that the recorder writes to.
type logger interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
	Alertf(alert string, format string, args ...any)
}

// alertKey is what operators look for in MOSN's log.
const alertKey = "tcpcopy"

// recorder is what the process's listeners share: one strategy, one dump
// directory. It outlives the factories, which MOSN makes anew at each update of
// a listener.
type recorder struct {
	run        string // the process's part of connection identities
	host       host
	controller *strategy.Controller
	panics     atomic.Uint64
	panicked   sync.Map                        // by where: the log has it that there was a panic
	warned     atomic.Pointer[strategy.Window] // in which the log has last had a portrait that was not taken
	meters     *meters
	publishing sync.Once
	retiring   sync.WaitGroup // the goroutines that close stores which have been replaced
	drained    chan struct{}  // closed when the disk has everything, at the end

	drainPatience time.Duration // constant but for tests

	// binding is held while the store or what belongs to the process changes, so it
	// may wait for the disk, up to openPatience. It is taken before mu.
	binding sync.Mutex

	mu        sync.Mutex // guards the rest; the disk is never waited for under it
	listeners map[string]*boundListener
	refused   map[string]refusal // by listener
	refusals  uint64
	owners    map[string]string    // which listener has brought a part that is the process's
	parts     settings             // the parts in force
	applied   *model.DumpConfig    // the strategy that a listener has last put into force
	store     *persistence.Store   // in force; nil before the first and at the end
	old       []*persistence.Store // replaced, and not closed yet
	past      persistence.Stats    // of those that are closed
	pool      map[string]*poolConn // by port
	watch     *watch               // nil when no file is watched
	closed    bool
}

// boundListener is a listener whose configuration is in force. It does not change.
type boundListener struct {
	name, port string
	settings   *settings
	capture    capture
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

		drainPatience: drainPatience,
	}
	r.controller = strategy.New(strategy.Options{Sink: r, Meter: h.meter, Log: h.log, Panicked: r.countPanic})
	r.meters = newMeters(h.metrics)
	return r
}

// The parts of a configuration that are the process's, as the errors name them.
const (
	partStrategy = "strategy"
	partOutput   = "output"
	partBuffer   = "buffer"
	partGuard    = "guard"
)

// bind puts a listener's settings into force, whole or not at all. A listener
// that is refused is listed in the status, and its traffic goes unrecorded.
func (r *recorder) bind(name, port string, s *settings) (*boundListener, error) {
	r.binding.Lock()
	defer r.binding.Unlock()
	l, err := r.takeOver(name, port, s)
	if err != nil {
		return nil, err
	}
	r.startPublishing()
	if err := r.putIntoForce(name, s); err != nil {
		return nil, err
	}
	return l, nil
}

// takeOver checks and takes over what the listener brings. A new store is ready
// before the old one goes; when it cannot be had, the old one stays.
func (r *recorder) takeOver(name, port string, s *settings) (l *boundListener, err error) {
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
	l = &boundListener{name: name, port: port, settings: s, capture: s.capture}
	old := r.commit(l, next, brings, store)
	if old != nil {
		r.retire(old)
	}
	return l, nil
}

// commit puts what has been checked into force, and store unless it is nil. It
// returns the store that has been replaced, if any.
func (r *recorder) commit(l *boundListener, next settings, brings map[string]bool, store *persistence.Store) (old *persistence.Store) {
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

// check returns the parts that would be in force, and which of them the listener
// brings.
func (r *recorder) check(name string, s *settings) (next settings, brings map[string]bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return next, nil, errStopping
	}
	brings = map[string]bool{
		partStrategy: r.conflictLocked(name, partStrategy, s.strategy != nil, s.strategy, r.parts.strategy, &err),
		partOutput:   r.conflictLocked(name, partOutput, s.output != nil, s.output, r.parts.output, &err),
		partBuffer:   r.conflictLocked(name, partBuffer, s.buffer != nil, s.buffer, r.parts.buffer, &err),
		partGuard:    r.conflictLocked(name, partGuard, s.guard != nil, s.guard, r.parts.guard, &err),
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
	return next, brings, r.directionsLocked(name, s, next.output)
}

// conflictLocked tells whether the listener brings the part, and joins an error
// to err when it disagrees with the listener that has brought it.
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
	both := s.capture.both
	culprit := name
	for other, l := range r.listeners {
		if other != name && l.capture.both {
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

// putIntoForce hands the strategy and the guard of a listener that has been
// bound to the controller. A strategy that the listener has brought before
// changes nothing: others may have changed the switch since.
func (r *recorder) putIntoForce(name string, s *settings) error {
	r.mu.Lock()
	mine := r.owners[partStrategy] == name && s.strategy != nil && !reflect.DeepEqual(r.applied, s.strategy)
	if mine {
		r.applied = s.strategy
	}
	guard := r.parts.guard
	r.mu.Unlock()
	if guard != nil {
		r.controller.SetGuard(*guard)
	}
	if mine {
		return r.controller.Set(model.LayerApp, *s.strategy, "listener "+name)
	}
	return nil
}

// countRefusal counts a configuration that was refused before its listener was
// known; the status finds it in MOSN's configuration.
func (r *recorder) countRefusal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals++
}

func (r *recorder) refuseLocked(listener string, err error) {
	now := time.Now()
	r.refusals++
	r.refused[listener] = refusal{Listener: listener, Time: &now, Error: err.Error()}
}

// tap is a window's session with what goes on beside it.
type tap struct {
	*persistence.Session
	recorder *recorder
}

// OpenWindow begins the session of a window; it implements strategy.Sink.
func (r *recorder) OpenWindow(w record.Window) (strategy.Tap, error) {
	session, err := r.openSession(w)
	if err != nil {
		return nil, err
	}
	r.startPublishing()
	return &tap{Session: session, recorder: r}, nil
}

// openSession begins a session in the store that is in force. A store that is
// being replaced has its session before or not at all.
func (r *recorder) openSession(w record.Window) (*persistence.Session, error) {
	store, err := r.readyStore()
	if err != nil {
		return nil, err
	}
	return store.OpenWindow(w)
}

// Close ends the session and has the metrics tell of it.
func (t *tap) Close(closed time.Time) {
	defer t.recorder.recoverPanic("closing a window")
	t.Session.Close(closed)
	t.recorder.publish()
}

// subscribe begins a live stream.
func (r *recorder) subscribe() (*persistence.Live, error) {
	store, err := r.readyStore()
	if err != nil {
		return nil, err
	}
	return store.Subscribe()
}

// recoverPanic keeps a fault of the recorder from the connection, which MOSN
// would close, and from the process.
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
