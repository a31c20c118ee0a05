package trigger

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// Set is the compiled triggers, with what the matchers of all shards share. It is safe for
// concurrent use.
type Set struct {
	triggers []compiled
	automata [2]*automaton // nil for a direction without patterns
	closes   uint64        // triggers with close reasons
	options  Options
	plan     atomic.Pointer[plan] // what is matched now

	counters    []counters // of each trigger
	connections atomic.Int64
	memory      atomic.Int64 // bytes of all decoders
	full        atomic.Bool  // the memory was reported to be full
	shedConns   atomic.Uint64
	undecided   atomic.Uint64
	panics      atomic.Uint64

	mu    sync.Mutex // guards all below
	shed  []int      // triggers that are shed, in the order in which they were
	rates rates

	topics topics
}

// ErrDecoders says that the decoders have as much memory as they may: connections are no
// longer decoded, so that triggers with where do not see their calls.
var ErrDecoders = errors.New("the decoders of the triggers have all of their memory (flight.decoders); calls of some connections are not seen by triggers")

// PanicError is a panic in the decoder of a connection. The connection is no longer
// decoded; nothing else has changed.
type PanicError struct {
	Conn     string // the connection's identity
	Protocol string // "" if it was not known
	Value    any    // what the panic was called with
	Stack    []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("triggers: the decoder of connection %s (%s) has failed, and its calls are no longer seen: %v", e.Conn, e.Protocol, e.Value)
}

func newSet(all []compiled, automata [2]*automaton, o Options) *Set {
	s := &Set{triggers: all, automata: automata, options: o, counters: make([]counters, len(all))}
	for i := range all {
		if len(all[i].closes) > 0 {
			s.closes |= 1 << i
		}
	}
	s.topics.names = map[[16]byte]string{}
	s.plan.Store(s.newPlan(s.all()))
	return s
}

// all returns the set of all triggers.
func (s *Set) all() uint64 {
	if len(s.triggers) == maxTriggers {
		return 1<<64 - 1
	}
	return 1<<len(s.triggers) - 1
}

// Len returns how many triggers there are.
func (s *Set) Len() int { return len(s.triggers) }

// Name returns the name of a trigger, as Event.Trigger counts it.
func (s *Set) Name(trigger int) string { return s.triggers[trigger].Name }

// DependOnAnswers returns the names of the triggers that depend on what servers send. They are of no use where only
// requests are recorded.
func (s *Set) DependOnAnswers() []string {
	var names []string
	for i := range s.triggers {
		if s.triggers[i].answers {
			names = append(names, s.triggers[i].Name)
		}
	}
	return names
}

// Decodes reports whether a trigger needs calls, so that matchers have decoders and
// checkpoints.
func (s *Set) Decodes() bool {
	return slices.ContainsFunc(s.triggers, func(t compiled) bool { return t.query != nil })
}

// plan is what is matched: the triggers that are not shed. It is immutable.
type plan struct {
	active    uint64 // triggers
	filters   [2]*prefilter
	wheres    []int // active triggers with a condition
	protocols map[string]uint64
	headers   [2][]string // names of header fields that are asked for, by direction
	bodies    [2]bool
	content   uint64      // triggers that ask for header fields or bodies
	times     []threshold // in ascending order
}

// threshold is a time without an answer after which a call is evaluated.
type threshold struct {
	after    time.Duration
	triggers uint64
}

// newPlan returns the plan for a set of triggers.
func (s *Set) newPlan(active uint64) *plan {
	p := &plan{active: active, protocols: map[string]uint64{}}
	for dir, a := range s.automata {
		if a != nil {
			p.filters[dir] = newPrefilter(a.patterns, active)
		}
	}
	eachBit(active, func(i int) {
		q := s.triggers[i].query
		if q == nil {
			return
		}
		p.wheres = append(p.wheres, i)
		for _, name := range q.Protocols() {
			p.protocols[name] |= 1 << i
		}
		p.ask(q, 1<<i)
		p.thresholds(q, 1<<i)
	})
	slices.SortFunc(p.times, func(a, b threshold) int { return int(max(min(a.after-b.after, 1), -1)) })
	return p
}

// ask adds what of a call's content a condition asks for.
func (p *plan) ask(q *query.Query, trigger uint64) {
	needs := q.Needs()
	if needs.Headers() || needs.Bodies() {
		p.content |= trigger
	}
	for _, dir := range record.Directions() {
		side := sideOf(dir)
		names := q.Headers(side)
		if needs&(query.RequestBody<<side) != 0 {
			p.bodies[dir] = true
			names = append(slices.Clip(names), codingFields...)
		}
		for _, name := range names {
			if !slices.Contains(p.headers[dir], name) {
				p.headers[dir] = append(p.headers[dir], name)
			}
		}
	}
}

// A condition that uses latency in other ways than to compare it with a literal is evaluated
// at times that grow by an eighth.
const (
	firstTime = 100 * time.Millisecond
	lastTime  = time.Hour
)

// thresholds adds the times after which a condition is evaluated.
func (p *plan) thresholds(q *query.Query, trigger uint64) {
	add := func(after time.Duration) {
		after = max(after, 0)
		i := slices.IndexFunc(p.times, func(t threshold) bool { return t.after == after })
		if i < 0 {
			i = len(p.times)
			p.times = append(p.times, threshold{after: after})
		}
		p.times[i].triggers |= trigger
	}
	literals, others := q.Latencies()
	for _, literal := range literals {
		add(literal)
	}
	if others {
		for t := firstTime; t <= lastTime; t += t / 8 {
			add(t)
		}
	}
}

// spans reports whether decoders give the values of header fields and bodies.
func (p *plan) spans() bool { return p.content != 0 }

// wants reports whether a connection is decoded on in a protocol: because its calls may meet
// a condition, or because it may change to one whose calls may. A connection of HTTP/1.1 does that
// with its first request, or it is not waited for.
func (p *plan) wants(protocol string, answered bool) bool {
	may := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return p.protocols[name] != 0 })
	}
	switch protocol {
	case "": // not known yet
		return true
	case call.HTTP1:
		return may(call.HTTP1) || !answered && may(call.WebSocket, call.HTTP2, call.GRPC)
	case call.HTTP2:
		return may(call.HTTP2, call.GRPC)
	case call.MySQL, call.PostgreSQL:
		return may(protocol, call.TLS)
	default:
		return may(protocol)
	}
}
