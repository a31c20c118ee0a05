package trigger

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// Event says that a trigger was met.
type Event struct {
	Trigger int    // its place in the list that was compiled
	Time    int64  // of the entry that met it, or of the tick; nanoseconds since the Unix epoch
	Slot    uint32 // of the connection
	Conn    string // identity of the connection

	// Count is how often it was met at once: how many patterns end in one record. It is 1
	// for calls and close events.
	Count uint32

	Call *CauseCall // that met Where, else nil
}

// CauseCall is what a cause says of a call. It has no payload.
type CauseCall struct {
	ID        string    `json:"id"` // <conn>#<n>, as the decoder counts the connection's calls
	Protocol  string    `json:"protocol"`
	Time      time.Time `json:"time"`
	Status    string    `json:"status"`
	Failed    bool      `json:"failed"`
	LatencyMS *float64  `json:"latency_ms"` // nil where it is not known; the elapsed time where there is no answer yet
}

// Matcher matches the entries of one shard. It belongs to one goroutine, which gives it
// every entry once and in order.
type Matcher struct {
	set  *Set
	plan *plan
	fire func(Event)

	searches    [2]*search         // nil for a direction without patterns
	evaluators  []*query.Evaluator // of the triggers with a condition
	connections []*connection      // by slot
	open        int
	behind      int   // slots from here on may have connections that follow an earlier plan
	shedHere    int   // connections that are not decoded for want of memory
	shedAt      int64 // when the last one was
	relieved    int64 // when the largest decoders were looked for last

	meter meter
}

// connection is what a matcher has of a connection.
type connection struct {
	endpoint *record.Endpoint // nil in slots without a connection
	plan     *plan            // that it follows
	next     [2]uint64        // offsets after what came
	states   [2]uint16        // of the automata
	oneSided bool             // its answers are not recorded
	shed     bool             // it is not decoded for want of memory
	off      bool             // it is not decoded any more
	tries    uint8            // how often its protocol was not found
	retry    int64            // when it is looked for again; 0 if it was found, or is looked for
	decoding *decoding        // nil while it is not decoded
}

// NewMatcher returns a matcher for a shard. It calls fire, in its own goroutine, with every
// event; fire must not wait. The matcher is ended with Stop.
func (s *Set) NewMatcher(fire func(Event)) *Matcher {
	m := &Matcher{set: s, fire: fire, evaluators: make([]*query.Evaluator, len(s.triggers))}
	m.newEvaluators()
	m.meter.init(len(s.triggers))
	m.update()
	return m
}

func (m *Matcher) newEvaluators() {
	for i := range m.set.triggers {
		if q := m.set.triggers[i].query; q != nil {
			m.evaluators[i] = q.Evaluator()
		}
	}
}

// Open says that entries of a connection follow in a slot, after so many bytes of each
// direction. e stays the caller's, and is not changed before Close. A second Open of a connection that is
// open is ignored.
func (m *Matcher) Open(slot uint32, e *record.Endpoint, base record.PerDirection, t int64) {
	m.update()
	for int(slot) >= len(m.connections) {
		m.connections = append(m.connections, nil)
	}
	c := m.connections[slot]
	if c != nil && c.endpoint != nil {
		if c.endpoint.Conn == e.Conn {
			return
		}
		m.forget(c)
	}
	if c == nil {
		c = &connection{}
		m.connections[slot] = c
	}
	*c = connection{endpoint: e, plan: m.plan, next: [2]uint64{base.In, base.Out}}
	c.oneSided = m.set.options.Answers != nil && !m.set.options.Answers(e)
	m.open++
	m.set.connections.Add(1)
	if len(m.plan.wheres) > 0 {
		m.join(c, t)
	}
}

// at returns the connection in a slot, nil if there is none.
func (m *Matcher) at(slot uint32) *connection {
	if int(slot) >= len(m.connections) || m.connections[slot] == nil || m.connections[slot].endpoint == nil {
		return nil
	}
	return m.connections[slot]
}

// Data gives the matcher bytes that passed. It does not keep p.
func (m *Matcher) Data(slot uint32, dir record.Direction, offset uint64, t int64, p []byte) {
	c := m.current(slot, t)
	if c == nil || len(p) == 0 {
		return
	}
	timed := m.meter.begin()
	if s := m.searches[dir]; s != nil && s.filter == nil {
		c.states[dir] = root // all are shed
	} else if s != nil {
		if offset != c.next[dir] {
			c.states[dir] = root
		}
		c.states[dir] = s.record(c.states[dir], p)
		if len(s.which) > 0 {
			m.found(slot, c, s, t)
		}
		if timed {
			m.meter.patterns(s, len(p))
		}
	}
	if c.retry != 0 && dir == record.In && t >= c.retry && len(m.plan.wheres) > 0 {
		c.next[dir] = offset
		m.join(c, t)
	}
	c.next[dir] = offset + uint64(len(p))
	if d := c.decoding; d != nil {
		if d.name == "" {
			d.undecided += uint64(len(p))
		}
		m.decode(d, slot, t, func() { d.decoder.Data(dir, offset, time.Unix(0, t), p) })
		if dir == record.In {
			d.asked(m.plan, t)
		}
		if timed {
			m.meter.decoding(m.plan, d, len(p))
		}
	}
	if m.meter.timed = false; m.meter.count%flushEvery == 0 {
		m.meter.flush(m.set)
	}
}

// found fires for the patterns that a search has found.
func (m *Matcher) found(slot uint32, c *connection, s *search, t int64) {
	var counts [maxTriggers]uint32
	var owners uint64
	for _, i := range s.which {
		o := s.patterns[i].owners & s.active
		eachBit(o, func(trigger int) { counts[trigger] += s.found[i] })
		owners |= o
		s.found[i] = 0
	}
	s.which = s.which[:0]
	eachBit(owners, func(trigger int) {
		m.fired(Event{Trigger: trigger, Time: t, Slot: slot, Conn: c.endpoint.Conn, Count: counts[trigger]})
	})
}

// fired counts an event and passes it on.
func (m *Matcher) fired(e Event) {
	m.set.counters[e.Trigger].fire(&e)
	m.fire(e)
}

// Gap says that n bytes from offset on passed and are not there.
func (m *Matcher) Gap(slot uint32, dir record.Direction, offset, n uint64, reason record.Reason, t int64) {
	c := m.current(slot, t)
	if c == nil || n == 0 {
		return
	}
	c.states[dir] = root
	c.next[dir] = offset + n
	if d := c.decoding; d != nil {
		m.decode(d, slot, t, func() { d.decoder.Gap(dir, offset, n, reason) })
	}
}

// Close says that the connection in a slot has ended, after so many bytes in all. The slot
// may be used again.
func (m *Matcher) Close(slot uint32, reason record.CloseReason, totals record.PerDirection, t int64) {
	c := m.current(slot, t)
	if c == nil {
		return
	}
	if d := c.decoding; d != nil {
		m.decode(d, slot, t, func() {
			d.decoder.Close(time.Unix(0, t), reason, totals)
			d.decoder.End(time.Unix(0, t))
		})
	}
	eachBit(m.set.closes, func(i int) {
		if m.set.triggers[i].closes[reason] {
			m.fired(Event{Trigger: i, Time: t, Slot: slot, Conn: c.endpoint.Conn, Count: 1})
		}
	})
	m.forget(c)
}

// forget empties the slot of a connection.
func (m *Matcher) forget(c *connection) {
	m.drop(c)
	if c.shed {
		m.shedHere--
	}
	*c = connection{}
	m.open--
	m.set.connections.Add(-1)
}

// Tick says that all entries up to a time have been given. Calls that have had no answer
// until then are looked at. It is called a few times a second.
func (m *Matcher) Tick(now int64) {
	m.update()
	m.meter.flush(m.set)
	m.set.roll(now)
	if len(m.plan.wheres) == 0 {
		return
	}
	start := m.meter.now()
	m.catchUp(now)
	for slot, c := range m.connections {
		if c != nil && c.decoding != nil && c.plan == m.plan && c.decoding.due != 0 && c.decoding.due <= now {
			m.wait(c, uint32(slot), now) //nolint:gosec // it is a slot
		}
	}
	if m.shedHere > 0 {
		m.rejoin(now)
	}
	m.meter.ticked(m.plan, m.meter.now()-start)
}

// Checkpoint returns the state of the decoder of the connection in a slot, from which
// protocol.Resume goes on; nil where it is not decoded. It has bytes of the connection that
// were not decided yet.
func (m *Matcher) Checkpoint(slot uint32) []byte {
	c := m.at(slot)
	if c == nil || c.decoding == nil {
		return nil
	}
	d := c.decoding
	var state []byte
	m.decode(d, slot, d.at, func() { state = d.decoder.Checkpoint() })
	return state
}

// Stop frees what the matcher shares with others. It must not be used after that.
func (m *Matcher) Stop() {
	for _, c := range m.connections {
		if c != nil && c.endpoint != nil {
			m.forget(c)
		}
	}
	m.meter.flush(m.set)
	m.connections = nil
}

// update begins to follow the set's plan. Connections follow one by one.
func (m *Matcher) update() {
	p := m.set.plan.Load()
	if p == m.plan {
		return
	}
	m.plan, m.behind = p, 0
	for dir, a := range m.set.automata {
		if a == nil {
			continue
		}
		if m.searches[dir] == nil {
			m.searches[dir] = newSearch(a, nil, 0)
		}
		m.searches[dir].filter, m.searches[dir].active = p.filters[dir], p.active
	}
	if len(p.wheres) == 0 {
		for _, c := range m.connections {
			if c != nil {
				m.drop(c)
			}
		}
	}
}

// current returns the connection in a slot, which follows the set's plan; nil if there is
// none.
func (m *Matcher) current(slot uint32, t int64) *connection {
	m.update()
	c := m.at(slot)
	if c != nil && c.plan != m.plan {
		m.follow(c, t)
	}
	return c
}

// follow makes a connection follow the matcher's plan.
func (m *Matcher) follow(c *connection, t int64) {
	before := c.plan
	c.plan = m.plan
	switch {
	case len(m.plan.wheres) == 0:
		m.drop(c)
	case c.decoding != nil:
		m.adapt(c.decoding, before, t)
	case !c.shed && c.retry == 0:
		m.join(c, t)
	}
}

// followEach is how many connections follow a new plan at a tick, beside those of which something
// comes.
const followEach = 500

// catchUp makes connections follow the matcher's plan.
func (m *Matcher) catchUp(now int64) {
	for n := 0; m.behind < len(m.connections) && n < followEach; m.behind++ {
		if c := m.connections[m.behind]; c != nil && c.endpoint != nil && c.plan != m.plan {
			m.follow(c, now)
			n++
		}
	}
}

// Continue returns a matcher of another set that goes on where m is, and ends m: streams
// are searched on, and connections that m decodes are decoded on. Those that it does not decode
// are joined in their middle. Patterns that have begun are found if both sets have them.
func (s *Set) Continue(m *Matcher, fire func(Event), t int64) *Matcher {
	n := s.NewMatcher(fire)
	same := s.sameAs(m.set)
	n.connections = make([]*connection, len(m.connections))
	for slot, c := range m.connections {
		if c == nil || c.endpoint == nil {
			continue
		}
		o := &connection{endpoint: c.endpoint, plan: n.plan, next: c.next}
		o.oneSided = s.options.Answers != nil && !s.options.Answers(c.endpoint)
		for dir, a := range s.automata {
			if before := m.set.automata[dir]; a != nil && before != nil {
				o.states[dir] = a.run(root, before.prefix(c.states[dir]))
			}
		}
		n.connections[slot] = o
		n.open++
		s.connections.Add(1)
		if len(n.plan.wheres) > 0 && (c.decoding == nil || !n.inherit(o, c.decoding, c.plan, same, t)) {
			n.join(o, t)
		}
	}
	m.Stop()
	return n
}

// sameAs returns, for each trigger of old with a condition, the number of the same trigger
// in s, or -1.
func (s *Set) sameAs(old *Set) []int {
	same := make([]int, len(old.triggers))
	for i := range old.triggers {
		same[i] = -1
		for k := range s.triggers {
			if s.triggers[k].Name == old.triggers[i].Name && s.triggers[k].Where == old.triggers[i].Where {
				same[i] = k
			}
		}
	}
	return same
}

// cause returns what an event says of a call.
func cause(c *call.Call, id string) *CauseCall {
	k := &CauseCall{ID: id, Protocol: c.Protocol, Time: c.Time().UTC(), Status: c.Status, Failed: c.Failed}
	if d, ok := c.Latency(); ok {
		ms := float64(d) / float64(time.Millisecond)
		k.LatencyMS = &ms
	}
	return k
}
