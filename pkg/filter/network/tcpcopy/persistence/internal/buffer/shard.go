package buffer

import (
	"bytes"
	"encoding/binary"
	"runtime/debug"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Shard holds the entries of its share of a ring's connections. Connections fill the
// active batch, the newest of those that are held, under the lock. Readers read the
// batches in their order.
type Shard struct {
	geometry Geometry
	spool    *Spool        // that has the batches and the states
	index    int           // of the shard in the spool
	state    *ShardState   // what a recovery knows of the losses; written under mu
	pressure chan struct{} // has an element when little memory is left that nobody needs

	mu           sync.Mutex  // guards the rest, and Conn's part of it
	clock        Clock       // of the entries
	closed       bool        // the window is over: nothing is accepted any more
	next         *Shard      // that goes on since then; nil for none, see HandOver
	failed       *FaultError // the spool cannot be used any more; nil otherwise
	paused       uint32      // bit r is set while recording pauses for reason r
	active       *Batch      // the last one of held
	held         []*Batch    // those that have entries somebody may want, in their order
	free         []*Batch
	number       uint64 // of the active batch, from 1
	evicted      uint64 // number of the newest batch that was given up; 0 for none
	evictedUntil int64  // time before which all entries of such batches came, nanoseconds since the Unix epoch
	evictedBytes uint64 // that the entries of such batches stand for
	begun        int64  // when the first batch began, nanoseconds since the Unix epoch
	readers      []*Reader
	outlineLimit int                // maxOutlined
	unread       int                // bytes of entries since the readers were woken
	joined       map[*Conn]struct{} // connections that take part and have not ended
	slots        uint32             // slots given out so far
	unused       []uint32           // of them, those that may be given out again
	closing      []uint32           // of them, those of connections that have ended in the active batch
	gapped       []*Conn            // connections with a gap that has no entry yet, in any order
	unclosed     []*Conn            // connections whose close event has found no room, in any order
	pending      Tally              // what has passed and has no entry yet: it is lost
}

// NewShards returns the shards of a ring whose batches are in spool. Their clocks go on
// from begun, a reading of time.Now.
func NewShards(g Geometry, spool *Spool, begun time.Time) []*Shard {
	shards := make([]*Shard, spool.header.Workers)
	for i := range shards {
		sh := &Shard{geometry: g, spool: spool, index: i, state: spool.shard(i), clock: NewClock(begun), pressure: make(chan struct{}, 1), joined: map[*Conn]struct{}{}, outlineLimit: maxOutlined}
		for which := range spool.header.Batches { // the last free one is used first
			b := spool.newBatch(i, spool.header.Batches-1-which)
			if g.Retain {
				b.counts = &Counts{}
			}
			sh.free = append(sh.free, b)
		}
		shards[i] = sh
	}
	return shards
}

// Pressure has an element when there may be something for Relieve to do.
func (sh *Shard) Pressure() <-chan struct{} { return sh.pressure }

// Begin makes the first batch the active one. It comes before the first entry.
func (sh *Shard) Begin() {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	sh.begun = sh.clock.Now()
	sh.nextBatchLocked()
}

// Data accepts or loses the n bytes that pieces hold, which have just passed on c in
// dir after before. It copies them, changes pieces, and never waits for room. It asks
// c.Describe at the connection's first bytes.
func (sh *Shard) Data(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) {
	c.describe() // not under the lock: it asks the proxy
	for to := sh; to != nil; {
		to = to.accept(c, dir, before, pieces, n)
	}
}

// Skip counts n bytes that have passed on c without Data being able to see them.
func (sh *Shard) Skip(c *Conn, dir record.Direction, before record.PerDirection, n int, reason record.Reason) {
	c.describe()
	for to := sh; to != nil; {
		to = to.offerSkip(c, dir, before, n, reason)
	}
}

// End says that c has ended, after so many bytes have passed: those that were
// read and that the shard has not seen are a gap. A connection that has had no
// bytes in this session has no close event.
func (sh *Shard) End(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	for to := sh; to != nil; {
		to = to.offerEnd(c, reason, passed)
	}
}

// EndAll says of all connections which have had bytes in this session and have
// not ended that they end for that reason. Their totals are the bytes that this
// process has sent itself: what it has only passed on to its successor is recorded,
// and comes after them.
func (sh *Shard) EndAll(reason record.CloseReason) {
	for to := sh; to != nil; {
		to = to.offerEndAll(reason)
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

// Closed reports whether nothing is accepted any more.
func (sh *Shard) Closed() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.closed
}

// Find returns the description of a connection that has had bytes in the shard and has not
// ended; ok is false where there is none.
func (sh *Shard) Find(conn string) (e record.Endpoint, ok bool) {
	prefix := append(binary.LittleEndian.AppendUint16(nil, uint16(len(conn))), conn...)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for c := range sh.joined {
		if text := c.describe().text; bytes.HasPrefix(text, prefix) {
			_, ok = decodeEndpoint(text, &e)
			return e, ok
		}
	}
	return e, false
}

// Forget drops the connections. A connection refers to its last shard until the next
// one: that must not keep the other connections.
func (sh *Shard) Forget() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.joined, sh.gapped, sh.unclosed = nil, nil, nil
}

// closesPerSwap is how many close events that found no room are written when a reader is
// done with a view, under the shard's lock.
const closesPerSwap = 1 << 10

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

// Holds returns since when the shard has everything, in nanoseconds since the Unix epoch,
// and how many bytes it has given up.
func (sh *Shard) Holds() (since int64, evicted uint64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.sinceLocked(), sh.evictedBytes
}

// sinceLocked returns since when the shard has everything.
func (sh *Shard) sinceLocked() int64 {
	return max(sh.begun, sh.evictedUntil)
}

// Used returns how many bytes of the batches are in use.
func (sh *Shard) Used() (used int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.failed != nil {
		return 0
	}
	for _, b := range sh.held {
		used += b.used()
	}
	return used
}

// Waiting returns how many connections have a gap, and how many a close event, that
// has no entry yet, and how many slots there are.
func (sh *Shard) Waiting() (gapped, unclosed, slots int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.gapped), len(sh.unclosed), int(sh.slots)
}
