package persistence

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	// checkpointEvery is how old the last checkpoint of a connection may be when the next
	// bytes of it come. So a capture has to read the ring from that long before it begins,
	// to know the state of each of its connections.
	// Where there are so many that the memory has none of the last checkpointReach, it becomes
	// longer, up to maxCheckpointEvery.
	checkpointEvery    = 5 * time.Second
	maxCheckpointEvery = 40 * time.Second
	checkpointReach    = time.Minute
	// checkpointBytes is how many bytes may have come since.
	checkpointBytes = 4 << 20
	// checkpointSize is what a checkpoint needs beside its state, in bytes.
	checkpointSize = 200
)

// checkpoint is the state of a connection's decoder before an entry of data or a gap.
type checkpoint struct {
	conn  string       // identity of the connection
	place buffer.Place // of the entry
	time  int64        // of the entry, nanoseconds since the Unix epoch
	state []byte       // of package protocol; it is not changed
}

// checkpointMemory bounds the checkpoints and the decoders that captures make of them, of
// all shards together.
type checkpointMemory struct {
	every   atomic.Int64  // how old a last checkpoint may be, nanoseconds
	grown   atomic.Int64  // when every has become longer, nanoseconds since the Unix epoch
	limit   atomic.Int64  // bytes
	used    atomic.Int64  // bytes
	dropped atomic.Uint64 // checkpoints and decoders that there was no memory for
}

// add accounts for n bytes more. It returns false, and does not, where there is no room.
func (m *checkpointMemory) add(n int64) bool {
	if m.used.Add(n) > m.limit.Load() && n > 0 {
		m.used.Add(-n)
		return false
	}
	return true
}

// grow makes every longer at a time, unless it has just become so.
func (m *checkpointMemory) grow(t int64) {
	every := m.every.Load()
	if every < int64(maxCheckpointEvery) && t >= m.grown.Load()+every {
		m.grown.Store(t)
		m.every.Store(min(2*every, int64(maxCheckpointEvery)))
	}
}

// checkpoints are what the matching of a shard keeps of the decoders' states, beside the
// ring, for as long as the ring has the entries that follow. The hot path cannot know them:
// it does not decode. Their methods may be called from any goroutine; a nil one has none.
type checkpoints struct {
	memory *checkpointMemory

	mu      sync.Mutex // guards the rest
	conns   map[string][]*checkpoint
	all     []*checkpoint // oldest first
	working bool          // somebody matches the shard
	passed  buffer.Place  // the entries before it are matched
	waiting chan struct{} // closed when passed or working changes; nil where nobody waits
	wake    chan struct{} // has an element when somebody waits; of the matching

	asked atomic.Pointer[buffer.Place] // see ask
}

func newCheckpoints(m *checkpointMemory) *checkpoints {
	return &checkpoints{memory: m, conns: map[string][]*checkpoint{}, wake: make(chan struct{}, 1)}
}

// add keeps a checkpoint. Where there is no memory, the oldest ones are given up: captures
// want the newest.
func (c *checkpoints) add(p *checkpoint) {
	size := p.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.memory.add(size) {
		c.memory.dropped.Add(1)
		if len(c.all) == 0 {
			return
		}
		if c.all[0].time > p.time-int64(checkpointReach) {
			c.memory.grow(p.time)
		}
		c.dropFirstLocked()
	}
	c.all = append(c.all, p)
	c.conns[p.conn] = append(c.conns[p.conn], p)
}

func (p *checkpoint) size() int64 { return int64(len(p.state) + len(p.conn) + checkpointSize) }

// dropFirstLocked drops the oldest checkpoint.
func (c *checkpoints) dropFirstLocked() {
	p := c.all[0]
	c.all[0] = nil
	c.all = c.all[1:]
	c.memory.add(-p.size())
	if of := c.conns[p.conn]; len(of) > 1 {
		of[0] = nil
		c.conns[p.conn] = of[1:]
	} else {
		delete(c.conns, p.conn)
	}
}

// evict drops the checkpoints of entries before a time, which the ring has given up.
func (c *checkpoints) evict(since int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.all) > 0 && c.all[0].time < since {
		c.dropFirstLocked()
	}
}

// clear drops all checkpoints.
func (c *checkpoints) clear() { c.evict(math.MaxInt64) }

// before returns the newest checkpoint of a connection before a time; nil where there is
// none.
func (c *checkpoints) before(conn string, t int64) *checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.conns[conn]
	for i := len(of) - 1; i >= 0; i-- {
		if of[i].time < t {
			return of[i]
		}
	}
	return nil
}

// at returns the checkpoint of a connection at the place of an entry; nil where there is
// none. It waits until the matching has come that far, but not after the timer fires: it
// returns false for late then.
func (c *checkpoints) at(conn string, place buffer.Place, timer <-chan time.Time) (p *checkpoint, late bool) {
	for {
		c.mu.Lock()
		if !c.working || place.Before(c.passed) {
			defer c.mu.Unlock()
			of := c.conns[conn]
			for i := len(of) - 1; i >= 0; i-- {
				if of[i].place == place {
					return of[i], false
				}
			}
			return nil, false
		}
		if c.waiting == nil {
			c.waiting = make(chan struct{})
		}
		waiting := c.waiting
		c.mu.Unlock()
		select {
		case c.wake <- struct{}{}:
		default: // it has been woken
		}
		select {
		case <-waiting:
		case <-timer:
			return nil, true
		}
	}
}

// ask has a checkpoint made of each connection before its first entry from a place on: a
// window begins there, which reads nothing of before. Connections of which the matching has
// had an entry meanwhile have none.
func (c *checkpoints) ask(p buffer.Place) { c.asked.Store(&p) }

// pass says that the entries before a place are matched.
func (c *checkpoints) pass(p buffer.Place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed = p
	c.notifyLocked()
}

// work says whether somebody matches the shard.
func (c *checkpoints) work(working bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working = working
	c.notifyLocked()
}

func (c *checkpoints) notifyLocked() {
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
}

// checkpointing says when the matching of a shard makes the next checkpoint of each of its
// connections, by slot.
type checkpointing struct {
	memory *checkpointMemory
	slots  []checkpointDue
}

type checkpointDue struct {
	at    int64        // nanoseconds since the Unix epoch; 0 for the next entry
	bytes int          // that came since the last one
	last  buffer.Place // of the last one
}

// open says that the connection in a slot is another one. One whose first bytes the ring
// has needs no checkpoint yet: a new decoder is its state.
func (c *checkpointing) open(slot uint32, base record.PerDirection, t int64) {
	for int(slot) >= len(c.slots) {
		c.slots = append(c.slots, checkpointDue{})
	}
	c.slots[slot] = checkpointDue{}
	if base == (record.PerDirection{}) {
		c.slots[slot].at = t + c.memory.every.Load()
	}
}

// due reports whether a checkpoint is made before the entry at a place, and counts the
// entry. asked is where a window begins, nil for none.
func (c *checkpointing) due(e *buffer.Entry, place buffer.Place, asked *buffer.Place) bool {
	slot, t, n := e.Slot, e.Time, len(e.Payload)
	if int(slot) >= len(c.slots) {
		return false
	}
	d := &c.slots[slot]
	d.bytes += n
	if t < d.at && d.bytes <= checkpointBytes && (asked == nil || place.Before(*asked) || !d.last.Before(*asked)) {
		return false
	}
	*d = checkpointDue{at: t + c.memory.every.Load(), bytes: n, last: place}
	return true
}

// checkpoint keeps the state of an entry's connection before the entry, where it is time
// for that.
func (m *matching) checkpoint(b *buffer.Batch, at int, e *buffer.Entry) {
	place := b.Origin(at)
	if !m.checkpointing.due(e, place, m.checkpoints.asked.Load()) || int(e.Slot) >= len(m.endpoints) || m.endpoints[e.Slot] == nil {
		return
	}
	state := m.matcher.Checkpoint(e.Slot)
	if len(state) == 0 || len(state) > record.MaxCheckpoint {
		return
	}
	m.checkpointing.memory.limit.Store(m.set.Spare())
	m.checkpoints.add(&checkpoint{conn: m.endpoints[e.Slot].Conn, place: place, time: e.Time, state: state})
}

// resuming finds out the states of a session's connections where the session begins. What a
// capture reads of before is given to decoders, from the newest checkpoints on; where it
// reads nothing of a connection, and in a window, which reads nothing of before, the matching
// makes a checkpoint there. It belongs to a pipeline.
type resuming struct {
	checkpoints *checkpoints
	since       int64 // the capture has what comes from then on, nanoseconds since the Unix epoch
	waits       time.Duration
	found       []*flow // that have a state, in this batch
	over        bool    // no connection needs its decoder any more
}

const (
	// resumeWaits is how long a pipeline waits in all for the matching to come to entries
	// that it writes. After that it goes on without states.
	resumeWaits = time.Second
	// maxResumeWait is how long it waits at a time. If that is not enough, the matching does
	// not keep up, and it is not waited for any more.
	maxResumeWait = 100 * time.Millisecond
)

// newResuming returns nil where nobody knows states.
func newResuming(c *checkpoints, since int64) *resuming {
	if c == nil {
		return nil
	}
	return &resuming{checkpoints: c, since: since, waits: resumeWaits}
}

// resumed is what a resuming has of a connection.
type resumed struct {
	from    *checkpoint      // that a decoder begins with, when its entry comes
	decoder protocol.Decoder // that has had the entries before
	size    int64            // bytes that are accounted for it

	// state, of the connection's first entry in the capture, is what the capture's files
	// need to be decoded; nil where it is not known.
	state []byte
	at    record.PerDirection // offsets at which it holds
}

// enter says that a connection's entries follow. Where t is its beginning, they are all
// there.
func (r *resuming) enter(f *flow, isNew bool, t int64) {
	switch {
	case r == nil || !f.inScope || f.Network == "udp" || t >= r.since:
	case isNew && f.base == (record.PerDirection{}):
		f.resumed.decoder = protocol.New(unheard{}, protocol.Limits{})
	default:
		f.resumed.from = r.checkpoints.before(f.Conn, r.since)
	}
}

// pass gives an entry that is before the capture to the decoder of its connection.
func (r *resuming) pass(f *flow, e *buffer.Entry, place buffer.Place) {
	if r == nil || e.Time >= r.since {
		return
	}
	s := &f.resumed
	if s.from != nil && s.from.place == place {
		if d, err := protocol.Resume(unheard{}, s.from.state); err == nil {
			s.decoder = d
		}
		s.from = nil
	}
	if s.decoder == nil {
		return
	}
	if !s.try(func() {
		if e.Kind == buffer.KindData {
			s.decoder.Data(e.Dir, e.Offset, time.Unix(0, e.Time), e.Payload)
		} else {
			s.decoder.Gap(e.Dir, e.Offset, e.Length(), e.Reason)
		}
	}) {
		r.drop(f)
		return
	}
	size := int64(s.decoder.Size())
	if !r.checkpoints.memory.add(size - s.size) {
		r.checkpoints.memory.dropped.Add(1)
		r.drop(f)
		return
	}
	s.size = size
}

// try calls step, which uses the decoder, and reports whether it returned. Whatever a
// decoder does, the bytes are written.
func (s *resumed) try(step func()) (ok bool) {
	defer func() {
		if !ok {
			_ = recover()
		}
	}()
	step()
	return true
}

// drop drops the decoder of a connection, if there is one.
func (r *resuming) drop(f *flow) {
	if r == nil || f == nil || f.resumed.decoder == nil {
		return
	}
	r.checkpoints.memory.add(-f.resumed.size)
	f.resumed.decoder, f.resumed.size = nil, 0
}

// begin says that the entry at a place is the first of its connection in the capture.
func (r *resuming) begin(f *flow, place buffer.Place) {
	if r == nil || f.Network == "udp" || f.base == (record.PerDirection{}) {
		return
	}
	s := &f.resumed
	if s.decoder != nil {
		s.try(func() { s.state = s.decoder.Checkpoint() })
		r.drop(f)
	} else if r.waits > 0 {
		begun := time.Now()
		timer := time.NewTimer(min(r.waits, maxResumeWait))
		p, late := r.checkpoints.at(f.Conn, place, timer.C)
		timer.Stop()
		if p != nil {
			s.state = p.state
		}
		if r.waits -= time.Since(begun); late {
			r.waits = 0
		}
	}
	s.from = nil
	if at, ok := protocol.CheckpointAt(s.state); ok && len(s.state) <= record.MaxCheckpoint {
		s.at = at
		r.found = append(r.found, f)
	} else {
		s.state = nil
	}
}

// forget drops the states of the connections that have begun: their openings are written.
// It also drops all decoders when the last entry came so late that the next one of a
// connection which has not begun has a checkpoint.
func (r *resuming) forget(all []*flow, last int64) {
	if r == nil {
		return
	}
	for _, f := range r.found {
		f.resumed.state = nil
	}
	clear(r.found)
	r.found = r.found[:0]
	if !r.over && last >= r.since+r.checkpoints.memory.every.Load() {
		r.over = true
		r.end(all)
	}
}

// end drops all decoders.
func (r *resuming) end(all []*flow) {
	for _, f := range all {
		r.drop(f)
	}
}

// unheard is a sink for whose decoder only the state matters.
type unheard struct{}

func (unheard) Call(*protocol.Call) {}
func (unheard) Span(protocol.Span)  {}
func (unheard) WantsSpans() bool    { return false }
