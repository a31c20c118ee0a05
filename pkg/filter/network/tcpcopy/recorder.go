package tcpcopy

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
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
	meters     *meters
	publishing sync.Once

	mu        sync.Mutex // guards the rest
	listeners map[string]*boundListener
	refused   map[string]refusal // by listener
	refusals  uint64
	owners    map[string]string // which listener has brought a part that is the process's
	parts     settings          // the parts in force
	applied   *model.DumpConfig // the strategy that a listener has last put into force
	store     *persistence.Store
	past      persistence.Stats    // of stores that have been replaced
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
	}
	r.controller = strategy.New(strategy.Options{Sink: r, Meter: h.meter, Log: h.log})
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
	r.mu.Lock()
	l, old, err := r.bindLocked(name, port, s)
	if err != nil {
		err = fmt.Errorf("tcpcopy: listener %s: %w", name, err)
		r.refuseLocked(name, err)
	} else {
		delete(r.refused, name)
	}
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	r.retire(old)
	r.startPublishing()
	if err := r.putIntoForce(name, s); err != nil {
		return nil, err
	}
	return l, nil
}

// bindLocked checks and takes over what the listener brings. It returns the
// store that has been replaced, if any.
func (r *recorder) bindLocked(name, port string, s *settings) (_ *boundListener, old *persistence.Store, err error) {
	if r.closed {
		return nil, nil, errors.New("the process is stopping")
	}
	parts := map[string]bool{
		partStrategy: r.conflictLocked(name, partStrategy, s.strategy != nil, s.strategy, r.parts.strategy, &err),
		partOutput:   r.conflictLocked(name, partOutput, s.output != nil, s.output, r.parts.output, &err),
		partBuffer:   r.conflictLocked(name, partBuffer, s.buffer != nil, s.buffer, r.parts.buffer, &err),
		partGuard:    r.conflictLocked(name, partGuard, s.guard != nil, s.guard, r.parts.guard, &err),
	}
	if err != nil {
		return nil, nil, err
	}
	next := r.parts
	if s.output != nil {
		next.output = s.output
	}
	if s.buffer != nil {
		next.buffer = s.buffer
	}
	if err := r.directionsLocked(name, s, next.output); err != nil {
		return nil, nil, err
	}
	old, err = r.openStoreLocked(next.output, next.buffer)
	if err != nil {
		return nil, nil, err
	}
	if s.strategy != nil {
		next.strategy = s.strategy
	}
	if s.guard != nil {
		next.guard = s.guard
	}
	r.parts = next
	for part, brings := range parts {
		if brings {
			r.owners[part] = name
		} else if r.owners[part] == name {
			delete(r.owners, part)
		}
	}
	l := &boundListener{name: name, port: port, settings: s, capture: s.capture}
	r.listeners[name] = l
	return l, old, nil
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

// openStoreLocked makes sure that there is a store with that configuration and
// returns the one that it replaces. The new one is ready before the old one goes;
// when it fails, the old one stays.
func (r *recorder) openStoreLocked(o *outputSettings, b *bufferSettings) (old *persistence.Store, err error) {
	roll := persistence.DefaultRoll()
	if words := strings.TrimSpace(r.host.roller()); words != "" && (o == nil || o.roll == nil) {
		if roll, err = persistence.ParseRoll(words); err != nil {
			return nil, fmt.Errorf("global_log_roller: %w", err)
		}
	}
	config, err := storeConfig(o, b, roll)
	if err != nil {
		return nil, err
	}
	if r.store != nil && r.store.Config().Equal(config) {
		return nil, nil
	}
	store, err := persistence.Open(config, persistence.Host{
		Run:       r.run,
		Effective: r.host.effective,
		Static:    r.host.static,
		Alert:     func(what string, err error) { r.host.log.Alertf(alertKey, "%s: %v", what, err) },
		Info:      func(format string, args ...any) { r.host.log.Infof(format, args...) },
	})
	if err != nil {
		return nil, err
	}
	old, r.store = r.store, store
	return old, nil
}

// retire closes a store that has been replaced, and the window that is open in it.
func (r *recorder) retire(old *persistence.Store) {
	if old == nil {
		return
	}
	if old.Stats().Window != nil {
		_, _ = r.controller.CloseWindow() // it may have closed by itself meanwhile
	}
	old.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = plus(r.past, old.Stats())
}

// plus adds up what two stores have done; b may still be at work.
func plus(a, b persistence.Stats) persistence.Stats {
	b.Windows += a.Windows
	b.Faults += a.Faults
	b.LiveLost += a.LiveLost
	b.Accounts = a.Accounts.Plus(b.Accounts)
	return b
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
func (r *recorder) OpenWindow(w model.Window) (strategy.Tap, error) {
	session, err := r.openSession(w)
	if err != nil {
		return nil, err
	}
	r.startPublishing()
	return &tap{Session: session, recorder: r}, nil
}

// openSession begins a session in the store that is in force. A store that is
// being replaced has its session before or not at all.
func (r *recorder) openSession(w model.Window) (*persistence.Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("the process is stopping")
	}
	if r.store == nil {
		if _, err := r.openStoreLocked(r.parts.output, r.parts.buffer); err != nil {
			return nil, err
		}
	}
	return r.store.OpenWindow(w)
}

// Close ends the session and has the metrics tell of it.
func (t *tap) Close(closed time.Time) {
	defer t.recorder.recoverPanic("closing a window")
	t.Session.Close(closed)
	t.recorder.publish()
}

// close ends the recording: the open window is closed and its records are
// written. moved says that another process goes on with the connections that are
// still open. It is idempotent.
func (r *recorder) close(moved bool) {
	if w := r.controller.Open(); w != nil && moved {
		sessionOf(w).EndAll(movedReason)
	}
	r.mu.Lock()
	watch := r.watch
	r.closed = true
	r.mu.Unlock()
	if watch != nil {
		watch.close()
	}
	r.controller.Close()
	r.stopPublishing()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != nil {
		r.store.Close()
		r.past = plus(r.past, r.store.Stats())
		r.store = nil
	}
}

// subscribe begins a live stream.
func (r *recorder) subscribe() (*persistence.Live, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil && !r.closed {
		if _, err := r.openStoreLocked(r.parts.output, r.parts.buffer); err != nil {
			return nil, err
		}
	}
	if r.store == nil {
		return nil, errors.New("the process is stopping")
	}
	return r.store.Subscribe()
}

// movedReason is the reason in the close event of a connection that a hot upgrade
// has handed to another process, or that ends with this one. The other process
// has it under an identity of its own, with the same client address: MOSN hands
// over a socket and no name (pkg/network/transfer.go).
const movedReason = "moved"

// stats adds up what all stores have done.
func (r *recorder) stats() persistence.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s persistence.Stats
	if r.store != nil {
		s = r.store.Stats()
	}
	return plus(r.past, s)
}

// recoverPanic keeps a fault of the recorder from the connection, which MOSN
// would close.
func (r *recorder) recoverPanic(where string) {
	if p := recover(); p != nil {
		if r.panics.Add(1) == 1 {
			r.host.log.Alertf(alertKey, "panic in %s: %v\n%s", where, p, debug.Stack())
		}
	}
}
