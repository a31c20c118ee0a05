package persistence

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// Session is one open window: it takes the records of the window's connections
// and has them written. The root package
// puts it behind strategy.Tap.
type Session struct {
	store  *Store
	window record.Window
	layout sizes
	memory *memory // what the encoders work in
	spool  *spool  // what the batches are in
	shards []*shard
	crew   []*worker // one a shard
	begun  time.Time // when the store was asked for it, about window.Opened

	segments *segments     // nil without pcapng
	stop     chan struct{} // closed to stop the workers
	workers  sync.WaitGroup

	portraits chan portrait // taken, and not yet written
	hangs     *hangWatch    // nil in a recovery

	mu    sync.Mutex                  // guards the rest
	taken map[model.BusinessType]bool // business types that have had their portrait; nil once closed
	ports map[string]bool
}

// startSession prepares the memory of a window's session and starts its workers.
// Session.Close ends them.
func startSession(store *Store, w record.Window) (*Session, error) {
	l := store.config.layout()
	spool, fault, err := newSpool(store.config, spoolHeader{
		Dir: store.config.Dir, Run: store.host.Run, Window: w.ID, Trigger: w.Trigger, Opened: w.Opened,
		Formats: store.config.Formats, Workers: l.workers, Batch: l.batch,
	})
	if err != nil {
		return nil, err
	}
	if fault != nil {
		store.alert("spool", fmt.Errorf("a killed process will lose what is in its buffers: %w", fault))
	}
	mem, err := newMemory(len(store.config.Formats) * l.encoded)
	if err != nil {
		spool.remove()
		return nil, err
	}
	s := newSession(store, w, l, mem, spool)
	spool.populate(l)
	for i, sh := range s.shards {
		sh.active.state.begin(sh.number)
		s.workers.Add(1)
		go s.crew[i].run()
	}
	s.workers.Add(2)
	go s.writePortraits()
	go s.watchSpace(s.lookAtSpace(false)) // the first look before the first byte
	return s, nil
}

// newSession makes a session that works in mem and spool, without goroutines.
func newSession(store *Store, w record.Window, l sizes, mem *memory, spool *spool) *Session {
	now := time.Now()
	clock := newClock(now)
	s := &Session{
		store:     store,
		window:    w,
		begun:     now,
		layout:    l,
		memory:    mem,
		spool:     spool,
		stop:      make(chan struct{}),
		portraits: make(chan portrait, maxPortraits),
		taken:     map[model.BusinessType]bool{},
		ports:     map[string]bool{},
	}
	if store.config.Has(FormatPcapng) {
		s.segments = newSegments(store, w, mem.take(l.encoded))
	}
	if store.config.TextFormat() != "" {
		store.flowLog.use(mem.take(l.encoded))
	}
	for i, state := range spool.states {
		sh := &shard{
			session: s, full: make(chan struct{}, 1), losses: &state.losses,
			clock: clock, number: 1, joined: map[*Conn]struct{}{},
		}
		sh.active = batch{mem: spool.batchMemory(i, 0), state: &state.batches[0]}
		w := &worker{session: s, shard: sh, state: state, clock: clock}
		w.spare = batch{mem: spool.batchMemory(i, 1), state: &state.batches[1]}
		for i, f := range store.config.Formats {
			w.outputs = append(w.outputs, newOutput(w, i, f))
		}
		s.shards, s.crew = append(s.shards, sh), append(s.crew, w)
	}
	return s
}

// Data takes copies of the n bytes that pieces hold, which have just passed on c
// in direction dir. before tells how many bytes of each direction had passed when
// they came; the one of dir counts at the direction's first call in the session,
// where it must be exact, and the other is a hint. Data never waits for room and
// returns before the caller may reuse the bytes. It changes the slice pieces, but
// not what its elements point to.
func (s *Session) Data(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) {
	c.describe() // not under the lock: it asks the proxy
	if sh := s.shard(c); sh.data(c, dir, before, pieces, n) {
		sh.wake()
	}
}

// Skip counts n bytes that have passed on c without Data being able to see them.
func (s *Session) Skip(c *Conn, dir record.Direction, before record.PerDirection, n int, reason record.Reason) {
	c.describe()
	sh := s.shard(c)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed || !sh.takesPartLocked(c, dir, before) {
		return
	}
	sh.tally.seen[dir] += uint64(n)
	sh.loseLocked(c, dir, n, reason, sh.clock.now())
}

// End says that c has ended, after so many bytes have passed: those that were
// read and that this session has not been told of are a gap. A connection
// that has had no bytes in this session is not mentioned in its records.
func (s *Session) End(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	sh := s.shard(c)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.partLocked(c, reason, passed)
}

// EndAll says of all connections which have had bytes in this session and have
// not ended that they end for that reason: they live on, but not in this process.
func (s *Session) EndAll(reason record.CloseReason) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		for c := range sh.joined {
			sh.partLocked(c, reason, record.PerDirection{})
		}
		sh.mu.Unlock()
	}
}

// partLocked is End under the shard's lock.
func (sh *shard) partLocked(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	if sh.closed || c.session != sh.session || c.ended {
		return
	}
	t := sh.clock.now()
	c.ended = true
	delete(sh.joined, c)
	passed.In = max(passed.In, c.streams[record.In].next)
	passed.Out = max(passed.Out, c.streams[record.Out].next)
	// What the proxy has sent, it has offered before. What it has read, it may not
	// have shown.
	if st := &c.streams[record.In]; st.begun && passed.In > st.next {
		n := passed.In - st.next
		sh.tally.seen[record.In] += n
		sh.loseLocked(c, record.In, int(n), record.ReasonUnseen, t)
	}
	sh.endLocked(c, &ending{reason: reason[:min(len(reason), maxReason)], totals: passed}, t)
}

// maxReason bounds the reason of a close event, in bytes.
const maxReason = 256

// Hold pauses recording for reason r: what passes meanwhile is a gap.
func (s *Session) Hold(r record.Reason) { s.setHeld(func(held uint32) uint32 { return held | 1<<r }) }

// Release ends the pause for reason r.
func (s *Session) Release(r record.Reason) {
	s.setHeld(func(held uint32) uint32 { return held &^ (1 << r) })
}

// Held tells whether recording pauses.
func (s *Session) Held() bool {
	sh := s.shards[0] // all have the same
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.held != 0
}

func (s *Session) setHeld(change func(uint32) uint32) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.held = change(sh.held)
		sh.mu.Unlock()
	}
}

// Close ends the session: it returns when all its records are on disk and its
// index line is written. Data of connections that still hold the session is
// ignored from now on.
func (s *Session) Close(closed time.Time) {
	closed = s.plausible(closed)
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.closed = true
		sh.mu.Unlock()
	}
	s.mu.Lock()
	s.taken = nil
	s.mu.Unlock()
	defer s.hangs.end()
	s.hangs.step()
	close(s.stop)
	s.workers.Wait()
	s.hangs.step()
	s.store.flowLog.use(nil)
	s.store.finish(s, closed, false)
	s.hangs.step()
	s.memory.free()
	s.spool.remove()
	for _, sh := range s.shards {
		// A connection keeps its last session until the next one: that must not keep
		// the other connections.
		sh.mu.Lock()
		sh.joined, sh.gapped, sh.ending = nil, nil, nil
		sh.mu.Unlock()
	}
	s.crew = nil
}

// plausible returns the moment at which the session has been closed: closed, unless
// the host's clock was set in between. Then it is as long after the opening as the
// monotonic clock says.
func (s *Session) plausible(closed time.Time) time.Time {
	const tolerance = time.Second
	length := time.Since(s.begun)
	if said := closed.Sub(s.window.Opened); said < 0 || said > length+tolerance {
		return s.window.Opened.Add(length)
	}
	return closed
}

// Accounts returns what has become of the window's traffic up to now. Bytes in
// the batches are seen and not yet written or lost.
func (s *Session) Accounts() record.Accounts {
	t := s.tally()
	return t.accounts()
}

func (s *Session) tally() (sum tally) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		sum.add(&sh.tally)
		sh.mu.Unlock()
	}
	return sum
}

// Buffered returns how many bytes of the batches are in use.
func (s *Session) Buffered() int64 {
	var used int64
	for _, sh := range s.shards {
		sh.mu.Lock()
		used += int64(sh.active.used())
		sh.mu.Unlock()
	}
	return used
}

func (t *tally) accounts() record.Accounts {
	a := record.Accounts{Connections: t.connections, LostBy: map[string]uint64{}}
	for _, d := range []record.Direction{record.In, record.Out} {
		a.Records.Add(d, t.records[d])
		a.Seen.Add(d, t.seen[d])
		a.Written.Add(d, t.written[d])
		for r, n := range t.lost[d] {
			if n > 0 {
				a.Lost.Add(d, n)
				a.LostBy[record.Reason(r).String()] += n
			}
		}
	}
	return a
}

// shard returns the shard of c. The number is mixed before it is divided: MOSN
// numbers the connections to upstreams too, so that those of clients are often all
// even or all odd.
func (s *Session) shard(c *Conn) *shard {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, as Knuth multiplies
	return s.shards[uint32(c.ID*golden>>32)%uint32(len(s.shards))]
}

func (s *Session) addPort(port string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[port] = true
}

// portList returns the listeners' ports that the window has records of, sorted.
func (s *Session) portList() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, slices.Sorted(maps.Keys(s.ports))...)
}
