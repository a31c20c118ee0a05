package persistence

import (
	"sort"
	"sync"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// Scope says which connections a session has. The zero Scope means all.
type Scope struct {
	Conn     string // identity of the only one; "" for all
	Listener string // name of the listener whose connections it has; "" for all
}

// includes reports whether a connection is in the scope.
func (s Scope) includes(e *record.Endpoint) bool {
	return (s.Conn == "" || s.Conn == e.Conn) && (s.Listener == "" || s.Listener == e.ListenerName)
}

// selection says which entries of a ring a session has, and which of them it loses. One
// that reads all that its ring has needs none: nil selects everything.
type selection struct {
	scope Scope
	since int64 // nanoseconds since the Unix epoch: what was before is not in the session

	mu     sync.Mutex // guards the rest
	pauses []pauseTime
	until  int64 // what comes later is not in the session either; 0 while it goes on
}

// pauseTime is a time in which recording pauses, in nanoseconds since the Unix epoch.
type pauseTime struct {
	reason   record.Reason
	from, to int64 // to is 0 while it goes on
}

// pause says that recording pauses from t on.
func (s *selection) pause(r record.Reason, t int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pauses = append(s.pauses, pauseTime{reason: r, from: t})
}

// resume ends the pause for reason r at t.
func (s *selection) resume(r record.Reason, t int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.pauses {
		if p := &s.pauses[i]; p.reason == r && p.to == 0 {
			p.to = t
		}
	}
}

// end says that what comes after t is not in the session.
func (s *selection) end(t int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == 0 {
		s.until = t
	}
}

// paused reports whether recording pauses now.
func (s *selection) paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pauses {
		if p.to == 0 {
			return true
		}
	}
	return false
}

// now returns the pauses so far, and until when the session goes on.
func (s *selection) now() (pauses []pauseTime, until int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]pauseTime(nil), s.pauses...), s.until
}

// selector applies a selection to the batches of one pipeline. A nil one selects
// everything.
type selector struct {
	*selection
	pauses []pauseTime // that concern the batch
	until  int64
}

// newSelector returns what applies s; nil for nil.
func newSelector(s *selection) *selector {
	if s == nil {
		return nil
	}
	return &selector{selection: s}
}

// begin prepares for the next batch.
func (s *selector) begin() {
	if s != nil {
		s.pauses, s.until = s.now()
	}
}

// choose reports whether the session has an entry of f, and why it loses its bytes.
func (s *selector) choose(f *flow, e *buffer.Entry) (lost record.Reason, in bool) {
	if s == nil {
		return record.ReasonNone, true
	}
	if e.Time < s.since || s.until != 0 && e.Time > s.until || !f.inScope {
		return record.ReasonNone, false
	}
	if e.Kind != buffer.KindData {
		return record.ReasonNone, true
	}
	for i := range s.pauses {
		if p := &s.pauses[i]; e.Time >= p.from && (p.to == 0 || e.Time < p.to) {
			return p.reason, true
		}
	}
	n := uint64(len(e.Payload))
	if f.limit > 0 && f.kept[e.Dir]+n > f.limit {
		f.kept[e.Dir] = f.limit // whole records only, and none behind one that is lost
		return record.ReasonLimit, true
	}
	f.kept[e.Dir] += n
	return record.ReasonNone, true
}

// span is a range of positions in a batch, at which entries are.
type span struct {
	from, to int
	lost     record.Reason // why the session loses their bytes; ReasonNone where it does not
}

// spans are in the order of their positions and do not overlap.
type spans []span

// add adds the entry from at to next, the last so far.
func (s spans) add(at, next int, lost record.Reason) spans {
	if n := len(s); n > 0 && s[n-1].to == at && s[n-1].lost == lost {
		s[n-1].to = next
		return s
	}
	return append(s, span{at, next, lost})
}

// find returns the first position of an entry in s from at on, and why its bytes are lost.
// ok is false when there is none before end.
func (s spans) find(at, end int) (position int, lost record.Reason, ok bool) {
	i := 0
	if len(s) > 1 {
		i = sort.Search(len(s), func(i int) bool { return s[i].to > at })
	}
	if i == len(s) {
		return 0, record.ReasonNone, false
	}
	position = max(at, s[i].from)
	return position, s[i].lost, position < min(end, s[i].to)
}

// contain reports whether the entry at that position is in s.
func (s spans) contain(at int) bool {
	position, _, ok := s.find(at, at+1)
	return ok && position == at
}
