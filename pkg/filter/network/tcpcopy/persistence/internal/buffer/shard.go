package buffer

import (
	"errors"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"mosn.io/tcpcopy/pkg/record"
)

// Shard holds the entries of its share of a session's connections. Connections
// fill the active batch under the lock; the shard's worker swaps it for the
// other one and empties that.
type Shard struct {
	geometry Geometry
	spool    *Spool        // that has the batches and the state
	state    *ShardState   // what a recovery knows of the shard; its losses are written under mu
	full     chan struct{} // has an element when the active batch is worth a swap

	spare *workerBatch // the worker's, between two calls of Swap

	mu       sync.Mutex  // guards the rest, and Conn's part of it
	clock    Clock       // of the entries
	closed   bool        // the window is over: nothing is accepted any more
	failed   *FaultError // the spool cannot be used any more; nil otherwise
	paused   uint32      // bit r is set while recording pauses for reason r
	active   Batch
	number   uint64             // of the active batch, from 1
	woken    bool               // full has been signalled for the active batch
	joined   map[*Conn]struct{} // connections that take part and have not ended
	slots    uint32             // slots given out so far
	free     []uint32
	gapped   []*Conn // connections with a gap that has no entry yet, in any order
	unclosed []*Conn // connections whose close event has found no room, in any order
	tally    Tally
}

// workerBatch is the batch that a worker reads without the shard's lock. It has cache
// lines of its own: in those of the lock each of its reads would wait for a connection.
type workerBatch struct {
	Batch
	_ [128 - unsafe.Sizeof(Batch{})]byte
}

// NewShards returns the shards of a session whose batches are in spool. Their
// clocks go on from begun, a reading of time.Now.
func NewShards(g Geometry, spool *Spool, begun time.Time) []*Shard {
	shards := make([]*Shard, len(spool.states))
	for i, state := range spool.states {
		shards[i] = &Shard{
			geometry: g, spool: spool, state: state, full: make(chan struct{}, 1), clock: NewClock(begun),
			active: Batch{mem: spool.batchMemory(i, 0), state: &state.batches[0]},
			spare:  &workerBatch{Batch: Batch{mem: spool.batchMemory(i, 1), state: &state.batches[1]}},
			number: 1, joined: map[*Conn]struct{}{},
		}
	}
	return shards
}

// Begin makes the active batch that of a new session. It comes before the first
// entry; a shard of a dead spool has no Begin.
func (sh *Shard) Begin() {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	sh.active.state.begin(sh.number)
}

// Full has an element when there is enough in the active batch to be worth a Swap.
func (sh *Shard) Full() <-chan struct{} { return sh.full }

// Data accepts or loses the n bytes that pieces hold, which have just passed on c in
// dir after before. It copies them, changes pieces, and never waits for room. It asks
// c.Describe at the connection's first bytes.
func (sh *Shard) Data(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) {
	c.describe() // not under the lock: it asks the proxy
	if sh.accept(c, dir, before, pieces, n) {
		sh.wake()
	}
}

// wake wakes the worker: there is enough to do.
func (sh *Shard) wake() {
	select {
	case sh.full <- struct{}{}:
	default: // it has been woken
	}
}

// Skip counts n bytes that have passed on c without Data being able to see them.
func (sh *Shard) Skip(c *Conn, dir record.Direction, before record.PerDirection, n int, reason record.Reason) {
	c.describe()
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.closed || !sh.participatesLocked(c, dir, before) {
		return
	}
	sh.tally.Seen.Add(dir, uint64(n))
	if sh.failed != nil {
		reason = record.ReasonWriteError
	}
	sh.loseLocked(c, dir, n, reason, sh.clock.Now())
}

// End says that c has ended, after so many bytes have passed: those that were
// read and that the shard has not seen are a gap. A connection that has had no
// bytes in this session has no close event.
func (sh *Shard) End(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	sh.endLocked(c, reason, passed)
}

// EndAll says of all connections which have had bytes in this session and have
// not ended that they end for that reason. Their totals are the bytes that this
// process has sent itself: what it has only passed on to its successor is recorded,
// and comes after them.
func (sh *Shard) EndAll(reason record.CloseReason) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	for c := range sh.joined {
		var passed record.PerDirection
		if c.Sent != nil {
			passed.Out = c.Sent()
		}
		sh.endLocked(c, reason, passed)
	}
}

// Pause makes what passes a gap, until Resume is called for the same reason.
func (sh *Shard) Pause(r record.Reason) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.paused |= 1 << r
}

// Resume ends the pause for reason r.
func (sh *Shard) Resume(r record.Reason) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.paused &^= 1 << r
}

// Paused reports whether recording pauses for any reason.
func (sh *Shard) Paused() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.paused != 0
}

// Close ends the accepting: what passes from now on is in no window. What the shard
// holds stays for the worker.
func (sh *Shard) Close() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closed = true
}

// Forget drops the connections. A connection refers to its last shard until the next
// one: that must not keep the other connections.
func (sh *Shard) Forget() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.joined, sh.gapped, sh.unclosed = nil, nil, nil
}

// closesPerSwap is how many close events that found no room are written at a swap,
// under the shard's lock.
const closesPerSwap = 1 << 10

// Swap returns the active batch, which is the caller's until its next call of Swap
// and which it has emptied by then with Reset. It returns nil when the batch is
// empty. Only the worker calls it.
func (sh *Shard) Swap() *Batch {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.active.n == 0 || sh.failed != nil {
		return nil
	}
	if s := sh.active.state; s.Number() != sh.number || s.used.Load() != uint64(sh.active.n) {
		// What was cut off and made as long again reads as zeros.
		sh.failLocked(&FaultError{Path: sh.spool.Path(), cause: errors.New("its states have changed")})
		return nil
	}
	sh.active, sh.spare.Batch = sh.spare.Batch, sh.active
	sh.number++
	sh.active.state.begin(sh.number)
	sh.woken = false
	sh.writeClosesLocked(closesPerSwap, sh.clock.Now())
	return &sh.spare.Batch
}

// WritePending writes the gaps and close events that have found no room, as long as
// there is some. It reports whether all are written. The worker calls it when the
// shard is closed.
func (sh *Shard) WritePending() (complete bool) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.failed != nil {
		return true
	}
	return sh.writePendingLocked(sh.clock.Now())
}

// Account adds what the worker has counted of a batch, and frees the slots of the
// connections that have ended in it. It returns what the shard has counted so far.
func (sh *Shard) Account(t *Tally, freed []uint32) Tally {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.tally.Add(t)
	sh.free = append(sh.free, freed...)
	return sh.tally
}

// Tally returns what the shard has counted so far. Bytes in the batches are seen and
// not yet written or lost.
func (sh *Shard) Tally() Tally {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.tally
}

// Used returns how many bytes of the active batch are in use.
func (sh *Shard) Used() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.failed != nil {
		return 0
	}
	return sh.active.used()
}

// Progress returns the number of the active batch, which grows with each Swap, and
// whether the batch has entries that wait for one.
func (sh *Shard) Progress() (number uint64, waiting bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.number, sh.active.n > 0 && sh.failed == nil
}

// Waiting returns how many connections have a gap, and how many a close event, that
// has no entry yet, and how many slots there are.
func (sh *Shard) Waiting() (gapped, unclosed, slots int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.gapped), len(sh.unclosed), int(sh.slots)
}

// State returns how far the shard's batches have got, which outlives the process
// where there is a spool.
func (sh *Shard) State() *ShardState { return sh.state }
