package persistence

import (
	"slices"
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
	// until is the same for the end, of the session of a killed process; 0 where that went
	// on. A live one ends where its readers do.
	until int64

	mu     sync.Mutex // guards the rest
	pauses []pause
}

// pause is a time in which recording pauses, as places in the order of each shard's
// entries: so what passes before Pause is called is kept, and what passes after it has
// returned is lost, whatever the clock says.
type pause struct {
	reason   record.Reason
	from, to []buffer.Place // by shard; from is nil for the beginning, to while it goes on
}

// contains reports whether an entry of a shard is in the pause.
func (p *pause) contains(shard int, at buffer.Place) bool {
	return (p.from == nil || !at.Before(p.from[shard])) && (p.to == nil || at.Before(p.to[shard]))
}

// pause says that recording pauses from those places on.
func (s *selection) pause(r record.Reason, from []buffer.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.pauses, func(p pause) bool { return p.reason == r && p.to == nil }) {
		return
	}
	s.pauses = append(s.pauses, pause{reason: r, from: from})
}

// resume ends the pause for reason r at those places.
func (s *selection) resume(r record.Reason, to []buffer.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.pauses {
		if p := &s.pauses[i]; p.reason == r && p.to == nil {
			p.to = to
		}
	}
	if to == nil { // nothing has passed yet
		s.pauses = slices.DeleteFunc(s.pauses, func(p pause) bool { return p.reason == r })
	}
}

// forget drops the pauses that have ended before the places that the session has got to. So
// there are never many.
func (s *selection) forget(at []buffer.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pauses = slices.DeleteFunc(s.pauses, func(p pause) bool {
		if p.to == nil {
			return false
		}
		for i, to := range p.to {
			if at[i].Before(to) {
				return false
			}
		}
		return true
	})
}

// paused reports whether recording pauses now.
func (s *selection) paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.pauses, func(p pause) bool { return p.to == nil })
}

// reasons returns the reasons for which recording pauses now.
func (s *selection) reasons() (all []record.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pauses {
		if p.to == nil {
			all = append(all, p.reason)
		}
	}
	return all
}

// selector applies a selection to the batches of one pipeline. A nil one selects
// everything.
type selector struct {
	*selection
	shard  int
	pauses []pause // up to the batch
}

// newSelector returns what applies s to a shard; nil for nil.
func newSelector(s *selection, shard int) *selector {
	if s == nil {
		return nil
	}
	return &selector{selection: s, shard: shard}
}

// begin prepares for the next batch.
func (s *selector) begin() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pauses = append(s.pauses[:0], s.selection.pauses...)
}

// choose reports whether the session has the entry of f at a place, how many of its bytes it
// keeps, and why it loses the others.
func (s *selector) choose(f *flow, e *buffer.Entry, at buffer.Place) (keep int, lost record.Reason, in bool) {
	n := len(e.Payload)
	if s == nil {
		return n, record.ReasonNone, true
	}
	if e.Time < s.since || s.until != 0 && e.Time > s.until || !f.inScope {
		return 0, record.ReasonNone, false
	}
	if e.Kind != buffer.KindData {
		return n, record.ReasonNone, true
	}
	for i := range s.pauses {
		if p := &s.pauses[i]; p.contains(s.shard, at) {
			return 0, p.reason, true
		}
	}
	if f.limit == 0 {
		return n, record.ReasonNone, true
	}
	keep = int(min(uint64(n), f.limit-f.kept[e.Dir]))
	if keep < n && f.Network == "udp" {
		keep = 0 // a datagram is whole or not there
	}
	f.kept[e.Dir] += uint64(keep)
	if keep < n || f.kept[e.Dir] == f.limit && e.Flags&buffer.FlagMore != 0 { // that is lost, whatever it is
		lost = record.ReasonLimit
	}
	return keep, lost, true
}

// span is a range of positions in a batch, at which entries are.
type span struct {
	from, to int
	lost     record.Reason // why the session loses their bytes; ReasonNone where it does not
	keep     int           // bytes of its only entry that it keeps all the same
}

// spans are in the order of their positions and do not overlap.
type spans []span

// add adds the entry from at to next, the last so far. Where it is lost, its first keep bytes
// are not.
func (s spans) add(at, next int, lost record.Reason, keep int) spans {
	if lost == record.ReasonNone {
		keep = 0
	}
	if n := len(s); n > 0 && s[n-1].to == at && s[n-1].lost == lost && s[n-1].keep == 0 && keep == 0 {
		s[n-1].to = next
		return s
	}
	return append(s, span{at, next, lost, keep})
}

// find returns the span of the first entry in s from at on, which it begins with. ok is
// false when there is none before end.
func (s spans) find(at, end int) (found span, ok bool) {
	i := 0
	if len(s) > 1 {
		i = sort.Search(len(s), func(i int) bool { return s[i].to > at })
	}
	if i == len(s) {
		return span{}, false
	}
	found = s[i]
	found.from = max(at, found.from)
	return found, found.from < min(end, found.to)
}

// contain reports whether the entry at that position is in s.
func (s spans) contain(at int) bool {
	found, ok := s.find(at, at+1)
	return ok && found.from == at
}
