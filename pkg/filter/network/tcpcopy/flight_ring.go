package tcpcopy

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// storeRing is a ring in a store, as the policy of the flight recorder uses it.
type storeRing struct {
	recorder *recorder
	flight   *persistence.Flight
	event    func(strategy.FlightEvent)

	mu    sync.Mutex // guards the rest
	freed *ringStats // what it had at its end; nil before
}

// openStoreRing is the openRing of a recorder with a store.
func (r *recorder) openStoreRing(store *persistence.Store, c *strategy.FlightConfig, event func(strategy.FlightEvent)) (ring, error) {
	set, err := r.compileTriggers(c)
	if err != nil {
		return nil, err
	}
	flight, err := store.OpenFlight(persistence.FlightOptions{Size: c.Size, Crash: c.Crash, Window: uuid.NewString(), Room: r.flightRoom(c)})
	if errors.Is(err, persistence.ErrWindowOpen) {
		return nil, errors.Join(strategy.ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	s := &storeRing{recorder: r, flight: flight, event: event}
	flight.Match(set, s.fired)
	return s, nil
}

// compileTriggers compiles the triggers of a block.
func (r *recorder) compileTriggers(c *strategy.FlightConfig) (*persistence.Triggers, error) {
	return persistence.CompileTriggers(triggersOf(c.Triggers), persistence.TriggerOptions{
		Field: triggersField, Decoders: c.Decoders, Answers: r.recordsAnswers,
		Report: func(err error) { r.host.log.Alertf(alertKey, "%v", err) },
	})
}

// recordsAnswers reports whether the answers on a connection are recorded.
func (r *recorder) recordsAnswers(e *record.Endpoint) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listeners[e.ListenerName]
	return l == nil || l.scope.both
}

// flightRoom returns the Room of the ring's memory.
func (r *recorder) flightRoom(c *strategy.FlightConfig) persistence.Room {
	if r.host.room == nil {
		return nil
	}
	return r.host.room(c.MemMaxRate)
}

// fired passes on what a trigger has found.
func (s *storeRing) fired(e persistence.TriggerEvent) {
	s.event(strategy.FlightEvent{Trigger: e.Name, Time: e.Time, Conn: e.Conn, Listener: e.Listener, Call: e.Call})
}

// Configure implements strategy.RingSink.
func (s *storeRing) Configure(c *strategy.FlightConfig) error {
	set, err := s.recorder.compileTriggers(c)
	if err != nil {
		return err
	}
	s.flight.Match(set, s.fired)
	return nil
}

// Pause implements strategy.RingSink.
func (s *storeRing) Pause(reason record.Reason) { s.flight.Pause(reason) }

// Resume implements strategy.RingSink.
func (s *storeRing) Resume(reason record.Reason) { s.flight.Resume(reason) }

// OpenCapture implements strategy.RingSink.
func (s *storeRing) OpenCapture(spec strategy.CaptureSpec) (strategy.CaptureSink, error) {
	scope := persistence.Scope{}
	switch spec.Scope.Kind {
	case strategy.ScopeConnection:
		if _, ok := s.flight.Find(spec.Scope.Conn); !ok {
			return nil, strategy.ErrNoConnection
		}
		scope.Conn = spec.Scope.Conn
	case strategy.ScopeListener:
		scope.Listener = spec.Scope.Listener
		if scope.Listener == "" {
			e, ok := s.flight.Find(spec.Scope.Conn)
			if !ok {
				return nil, strategy.ErrNoConnection
			}
			scope.Listener = e.ListenerName
		}
	}
	session, err := s.flight.OpenCapture(spec.Window, scope)
	if err != nil {
		return nil, err
	}
	return session, nil
}

// Shut implements strategy.RingSink. A window that reads the ring goes on to its end.
func (s *storeRing) Shut() { s.flight.Shut() }

// Close implements strategy.RingSink.
func (s *storeRing) Close() {
	last := s.Stats()
	last.Used, last.Holds, last.Memory = 0, 0, strategy.OwnMemory{}
	s.mu.Lock()
	s.freed = &last
	s.mu.Unlock()
	s.flight.Close()
}

// Stats implements ring.
func (s *storeRing) Stats() ringStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.freed != nil {
		return *s.freed
	}
	f := s.flight.Stats()
	out := ringStats{
		Used: f.Used, Shards: f.Holds, Evicted: f.Evicted, Costs: map[string]time.Duration{},
		Memory: strategy.OwnMemory{Bytes: uint64(f.Size), Shared: f.Shared}, // all of it is allocated
	}
	if len(f.Holds) > 0 {
		out.Holds = slices.Min(f.Holds)
	}
	if set := s.flight.Triggers(); set != nil {
		for _, t := range set.Status().Triggers {
			out.Costs[t.Name] = time.Duration(t.CPUMsPerS * float64(time.Millisecond))
		}
	}
	return out
}
