package tcpcopy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// ring is an open ring, as the recorder uses it.
type ring interface {
	strategy.RingSink
	// Stats returns what the ring has now. It does not wait, and may be called from any
	// goroutine, also after Close.
	Stats() ringStats
}

// ringStats is what a ring has at one moment.
type ringStats struct {
	Used    int64           // bytes of the batches in use
	Holds   time.Duration   // how far back everything is there, of all shards
	Shards  []time.Duration // the same of each shard
	Evicted uint64          // bytes that passed and were given up, since the ring is open

	Memory strategy.OwnMemory // the ring's pages that are in use

	// Costs are the processor time that each trigger has needed in a second, by its name.
	Costs map[string]time.Duration
}

// openRing opens a ring on a store. It may take as long as the memory and the disk do. event
// is called for each trigger that fires; it does not wait.
type openRing func(store *persistence.Store, c *strategy.FlightConfig, event func(strategy.FlightEvent)) (ring, error)

// newFlight returns the policy of the recorder's ring.
func (r *recorder) newFlight() *strategy.Flight {
	return strategy.NewFlight(strategy.FlightOptions{
		Sink: flightSink{r}, Meter: r.host.meter, Log: r.host.log, Panicked: r.countPanic,
		Alert: func(format string, args ...any) { r.host.log.Alertf(alertKey, format, args...) },
	})
}

// flightSink opens the ring in the store in force.
type flightSink struct{ recorder *recorder }

// OpenRing implements strategy.FlightSink. It refuses a ring that would record nothing.
func (s flightSink) OpenRing(c *strategy.FlightConfig) (strategy.RingSink, error) {
	r := s.recorder
	if err := r.nothingToRecord(); err != nil {
		return nil, err
	}
	if err := r.answersMissing(c); err != nil {
		return nil, err
	}
	store, err := r.readyStore()
	if err != nil {
		return nil, err
	}
	if formats := store.Config().Formats; !tellsConnections(formats) {
		return nil, formatsFault(formats)
	}
	open := r.host.openRing
	if open == nil {
		open = r.openStoreRing
	}
	opened, err := open(store, c, r.flight.Event)
	if err != nil {
		return nil, err
	}
	session := &ringSession{ring: opened, recorder: r}
	r.ring.Store(session)
	r.startPublishing()
	return session, nil
}

// answersMissing returns the faults of triggers that need answers which no listener records.
func (r *recorder) answersMissing(c *strategy.FlightConfig) error {
	r.mu.Lock()
	both := r.recordsBothLocked()
	r.mu.Unlock()
	if both || !c.IsOn() {
		return nil
	}
	answers, _ := checkTriggers(c.Triggers)
	return answersFault(answers)
}

// flightRefusal returns the refusal of the flight block that a listener has put into force, nil
// if there is none. The rest of the listener's block is in force.
func (r *recorder) flightRefusal() *refusal {
	c := r.flight.Status().Config
	err := r.answersMissing(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.IsOn() && r.parts.output == nil {
		err = errors.Join((&flightSettings{FlightConfig: *c}).needsFlow(formatsOf(nil)), err)
	}
	owner := r.owners[partFlight]
	if err == nil || owner == "" || r.appliedFlight == nil || !c.Equal(&r.appliedFlight.FlightConfig) {
		return nil
	}
	return &refusal{Listener: owner, Error: fmt.Sprintf("tcpcopy: listener %s: %v", owner, err)}
}

// ringSession is the open ring of a recorder.
type ringSession struct {
	ring
	recorder *recorder
}

// Shut ends the ring's recording.
func (s *ringSession) Shut() {
	s.recorder.ring.CompareAndSwap(s, nil)
	s.ring.Shut()
	s.recorder.evicted.Add(s.Stats().Evicted)
}

// Close frees the ring's memory and updates the metrics.
func (s *ringSession) Close() {
	s.ring.Close()
	s.recorder.publish()
}

// applyFlight puts the flight block of an admitted listener into force, and tries to open a
// ring that could not be opened: the listener may be what was missing. A block that the listener has
// had before changes nothing: somebody may have replaced it since.
func (r *recorder) applyFlight(name string, s *settings) error {
	r.mu.Lock()
	mine := r.owners[partFlight] == name && s.flight != nil && !reflect.DeepEqual(r.appliedFlight, s.flight)
	if mine {
		r.appliedFlight = s.flight
	}
	r.mu.Unlock()
	if !mine {
		r.flight.Retry()
		return nil
	}
	return r.installFlight(s.flight, "listener "+name)
}

// flightFits returns why a flight block does not fit the listeners, nil if it does, or if
// there are none yet.
func (r *recorder) flightFits(f *flightSettings) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.listeners) == 0 {
		return nil
	}
	return errors.Join(f.needsFlow(formatsOf(r.parts.output)), f.needsAnswers(r.recordsBothLocked()))
}

// installFlight puts a flight block into force.
func (r *recorder) installFlight(f *flightSettings, source string) error {
	if err := r.flight.Set(&f.FlightConfig, source); err != nil {
		r.refuseFlight(source, err)
		return err
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flightChange = &strategy.Change{Source: source, Time: now}
	return nil
}

// refuseFlight records that source has offered a flight block that is refused. The one in
// force stays.
func (r *recorder) refuseFlight(source string, err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flightChange = &strategy.Change{Source: source, Time: now, Error: err.Error()}
}

// captureTimeout is how long an application waits for a capture to be opened.
const captureTimeout = 5 * time.Second

// capture opens a capture of the process on demand. When the sink has not opened it after
// captureTimeout, it returns the window's id with strategy.ErrStillOpening.
func (r *recorder) capture(reason string) (window string, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.countPanic("a capture on demand", p, debug.Stack())
			err = fmt.Errorf("tcpcopy: capture panicked: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), captureTimeout)
	defer cancel()
	captured, err := r.flight.Capture(ctx, strategy.CaptureRequest{Reason: reason})
	if err != nil {
		return captured.Window, fmt.Errorf("tcpcopy: capture: %w", err)
	}
	return captured.Window, nil
}

// flightReply is the flight recorder's part of the status.
type flightReply struct {
	On      bool   `json:"on"`
	Reason  string `json:"reason,omitempty"` // why there is no ring, or why it is paused
	Paused  bool   `json:"paused,omitempty"` // by the guard
	Size    int64  `json:"size"`             // bytes, as configured
	Used    int64  `json:"used"`             // bytes
	HoldsMS int64  `json:"holds_ms"`         // how far back everything is there

	EvictedBytes uint64         `json:"evicted_bytes"` // that were given up
	Captures     uint64         `json:"captures"`      // that have been opened
	Suppressed   uint64         `json:"suppressed"`    // triggers and requests that nothing was written for
	Shards       []shardReply   `json:"shards"`
	Triggers     []triggerReply `json:"triggers"`
	// Excludes are the parts of listeners' traffic that the ring does not have.
	Excludes []string         `json:"excludes,omitempty"`
	Change   *strategy.Change `json:"change,omitempty"` // of the block; nil before the first
}

type shardReply struct {
	HoldsMS int64 `json:"holds_ms"`
}

type triggerReply struct {
	Name       string     `json:"name"`
	Fired      uint64     `json:"fired"`
	Suppressed uint64     `json:"suppressed"`
	Last       *time.Time `json:"last"`         // null before the first
	CPU        float64    `json:"cpu_ms_per_s"` // processor milliseconds a second
}

// captureReply is an open window in the list of all that are open.
type captureReply struct {
	strategy.WindowStatus
	// Closes is null for a live-only window, which ends with its reader.
	Closes *time.Time    `json:"closes"`
	State  string        `json:"state"` // opening, open, closing
	Scope  string        `json:"scope,omitempty"`
	Conn   string        `json:"conn,omitempty"`     // of a capture with that scope
	Name   string        `json:"listener,omitempty"` // likewise
	Joined uint64        `json:"joined,omitempty"`   // events that fell into the capture
	Cause  *record.Cause `json:"cause,omitempty"`

	Accounts *record.Accounts `json:"accounts,omitempty"` // of a live-only window, up to now
}

// stateOpen is the state of a window that records.
const stateOpen = "open"

// flightReply returns the flight recorder's part of the status.
func (r *recorder) flightReply(p presence) flightReply {
	s, stats := r.flight.Status(), r.ringStats()
	out := flightReply{
		On: s.On, Reason: s.Reason, Paused: s.Paused, Captures: s.Captures, Suppressed: s.Suppressed,
		Used: stats.Used, HoldsMS: stats.Holds.Milliseconds(), EvictedBytes: stats.Evicted, Shards: []shardReply{}, Triggers: []triggerReply{},
	}
	if s.Config.IsOn() {
		out.Size = s.Config.Size
	}
	for _, holds := range stats.Shards {
		out.Shards = append(out.Shards, shardReply{HoldsMS: holds.Milliseconds()})
	}
	for _, t := range s.Triggers {
		cost := stats.Costs[t.Name]
		out.Triggers = append(out.Triggers, triggerReply{Name: t.Name, Fired: t.Fired, Suppressed: t.Suppressed, Last: t.Last, CPU: float64(cost) / float64(time.Millisecond)})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out.Change = r.flightChange
	if s.Config.IsOn() {
		out.Excludes = r.excludedLocked(p)
	}
	return out
}

// excludedLocked returns what the scopes of listeners leave out, beside directions and what
// is beyond their limits, for people.
func (r *recorder) excludedLocked(p presence) (excluded []string) {
	for _, name := range slices.Sorted(maps.Keys(r.listeners)) {
		scope := r.listeners[name].scope
		if !p.has(name) {
			continue
		}
		if scope.sample < 1 {
			excluded = append(excluded, fmt.Sprintf("listener %s: capture.sample is %g", name, scope.sample))
		}
		if len(scope.peers) > 0 {
			excluded = append(excluded, fmt.Sprintf("listener %s: other clients than capture.peers, %d networks", name, len(scope.peers)))
		}
	}
	return excluded
}

// ringStats returns what the open ring has, and what all have given up.
func (r *recorder) ringStats() (s ringStats) {
	past := r.evicted.Load()
	if session := r.ring.Load(); session != nil {
		s = session.Stats()
	}
	s.Evicted += past
	return s
}

// ringMemory returns the open ring's memory, which windows' guard leaves out: it is there
// whether a window is open or not.
func (r *recorder) ringMemory() strategy.OwnMemory {
	if session := r.ring.Load(); session != nil {
		return session.Stats().Memory
	}
	return strategy.OwnMemory{}
}

// openWindows returns all windows that are open, captures and live-only ones included.
func openWindows(s *strategy.Status, f *strategy.FlightStatus, lives []persistence.OpenCapture) []captureReply {
	all := []captureReply{}
	if s.Window != nil {
		all = append(all, captureReply{WindowStatus: *s.Window, Closes: &s.Window.Closes, State: stateOpen})
	}
	for _, l := range s.Lives {
		i := slices.IndexFunc(lives, func(o persistence.OpenCapture) bool { return o.Window.ID == l.ID })
		if i < 0 {
			continue // it has ended with its store, and its reader has not seen that yet
		}
		all = append(all, captureReply{WindowStatus: l, State: stateOpen, Accounts: &lives[i].Accounts})
	}
	for _, c := range f.Running {
		w := captureReply{
			WindowStatus: strategy.WindowStatus{ID: c.ID, Trigger: record.TriggerFlight, Opened: c.Opened, Paused: f.Paused},
			Closes:       &c.Closes, State: stateOpen, Scope: string(c.Scope.Kind), Conn: c.Scope.Conn, Name: c.Scope.Listener, Joined: c.Joined, Cause: c.Cause,
		}
		switch {
		case c.Opening:
			w.State = "opening"
		case c.Closing:
			w.State = "closing"
		}
		all = append(all, w)
	}
	return all
}

// publishFlight brings the metrics of the flight recorder up to date. The caller holds mu of
// the meters.
func (r *recorder) publishFlight(m *meters) {
	s, stats := r.flight.Status(), r.ringStats()
	if s.Config == nil {
		return // no flight block has ever been configured
	}
	m.set("flight_on", truth(s.On))
	m.set("flight_paused", truth(s.Paused))
	m.set("flight_used_bytes", stats.Used)
	m.set("flight_holds_ms", stats.Holds.Milliseconds())
	m.set("flight_captures_open", int64(len(s.Running)))
	m.count("flight_evicted_bytes", stats.Evicted)
	m.count("flight_captures", s.Captures)
	m.count("flight_suppressed", s.Suppressed)
	fired, costs := map[string]uint64{}, map[string]time.Duration{}
	for _, t := range s.Triggers {
		name := metricName(t.Name)
		fired[name] += t.Fired
		costs[name] += stats.Costs[t.Name]
	}
	for name, n := range fired {
		m.count("flight_fired_"+name, n)
		m.set("flight_cpu_us_per_s_"+name, costs[name].Microseconds())
	}
}

// metricName returns the name of a trigger as a metric may have it. Triggers may have the same.
func metricName(trigger string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '_'
	}, trigger)
}
