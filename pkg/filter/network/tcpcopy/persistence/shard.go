package persistence

import (
	"encoding/binary"
	"sync"

	"mosn.io/tcpcopy/pkg/record"
)

// shard takes the entries of its share of a session's connections. Connections
// fill the active batch under the lock; the shard's worker swaps it for the
// other one and empties that.
type shard struct {
	session *Session
	full    chan struct{} // tells the worker that the active batch is worth a swap
	losses  *losses       // what a recovery knows of them; written under mu

	mu     sync.Mutex // guards the rest, and Conn's part of it
	clock  clock      // of the entries
	closed bool       // the window is over: nothing is taken any more
	held   uint32     // bit r is set while recording pauses for reason r
	active batch
	number uint64             // of the active batch, from 1
	woken  bool               // full has been signalled for the active batch
	joined map[*Conn]struct{} // connections that take part and have not ended
	slots  uint32             // slots given out so far
	free   []uint32
	gapped []*Conn // connections with a gap that has no entry yet, in any order
	ending []*Conn // connections whose end has found no room, in any order
	tally  tally
}

// tally is what a shard or a worker has counted, in the order of record.Direction.
type tally struct {
	connections uint64
	records     [2]uint64
	seen        [2]uint64
	written     [2]uint64
	lost        [2][record.NumReasons]uint64
}

func (t *tally) add(o *tally) {
	t.connections += o.connections
	for d := range t.seen {
		t.records[d] += o.records[d]
		t.seen[d] += o.seen[d]
		t.written[d] += o.written[d]
		for r := range t.lost[d] {
			t.lost[d][r] += o.lost[d][r]
		}
	}
}

// joinLocked lets c take part in the session. before says what passed earlier.
func (sh *shard) joinLocked(c *Conn, before record.PerDirection) {
	c.session = sh.session
	c.batch, c.named, c.gapped, c.ended, c.closing = 0, false, 0, false, nil
	c.streams = [2]stream{{next: before.In}, {next: before.Out}}
	if n := len(sh.free); n > 0 {
		c.slot, sh.free = sh.free[n-1], sh.free[:n-1]
	} else {
		c.slot = sh.slots
		sh.slots++
	}
	sh.joined[c] = struct{}{}
	sh.tally.connections++
}

// takesPartLocked lets c join at its first bytes, and the direction at its own.
// It is false for a connection that has ended.
func (sh *shard) takesPartLocked(c *Conn, dir record.Direction, before record.PerDirection) bool {
	if c.session != sh.session || !c.streams[dir].begun {
		sh.beginLocked(c, dir, before)
	}
	return !c.ended
}

// beginLocked lets c join, and the direction begin, if they have not.
func (sh *shard) beginLocked(c *Conn, dir record.Direction, before record.PerDirection) {
	if c.session != sh.session {
		sh.joinLocked(c, before)
	}
	st := &c.streams[dir]
	st.begun, st.next = true, before.Of(dir)
}

// data is Session.Data for the connections of the shard. It tells whether the
// worker is to be woken.
func (sh *shard) data(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) (wake bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed || !sh.takesPartLocked(c, dir, before) {
		return false
	}
	sh.offerLocked(c, dir, pieces, n, sh.clock.now())
	if sh.woken || sh.active.used() < sh.session.layout.wakeAt() {
		return false
	}
	sh.woken = true
	return true
}

// wake tells the worker that there is enough to do.
func (sh *shard) wake() {
	select {
	case sh.full <- struct{}{}:
	default: // it has been told
	}
}

// offerLocked accepts or loses the n bytes that pieces hold, the next of dir.
func (sh *shard) offerLocked(c *Conn, dir record.Direction, pieces [][]byte, n int, t int64) {
	sh.tally.seen[dir] += uint64(n)
	if sh.held != 0 {
		sh.loseLocked(c, dir, n, heldReason(sh.held), t)
		return
	}
	st := &c.streams[dir]
	keep := n
	if c.Limit > 0 {
		keep = int(min(uint64(n), c.Limit-min(c.Limit, st.kept)))
		if keep < n && c.Datagrams {
			keep = 0
		}
	}
	sh.takeLocked(c, dir, pieces, keep, t)
	if keep < n {
		sh.loseLocked(c, dir, n-keep, record.ReasonLimit, t)
	}
}

// takeLocked accepts the first n bytes that pieces hold, or loses what there is no
// room for. It changes pieces.
func (sh *shard) takeLocked(c *Conn, dir record.Direction, pieces [][]byte, n int, t int64) {
	st, l := &c.streams[dir], &sh.session.layout
	longest := l.piece
	if c.Datagrams {
		longest = l.record
	}
	for left := n; left > 0; {
		k := min(left, longest)
		r := c.room(l, k)
		if k < left && c.Datagrams || !sh.eventRoomLocked(c, dataSize(k, r)) {
			sh.loseLocked(c, dir, left, record.ReasonBufferFull, t)
			break
		}
		sh.catchUpLocked(c, dir, t)
		var h header // field by field: a copy of all would wait for the stores
		h.kind, h.dir, h.slot, h.offset, h.time = kindData, dir, c.slot, st.next, t
		left -= k
		if next := min(left, longest); l.placed && next > 0 && sh.active.fits(dataSize(k, r)+dataSize(next, c.room(l, next))) {
			h.flags = flagMore
		}
		pieces = sh.active.bytes(&h, k, r, pieces)
		st.next += uint64(k)
		st.kept += uint64(k)
	}
	sh.active.commit() // all at once: nobody kills half a record
}

// heldReason returns the first reason that is set in held.
func heldReason(held uint32) record.Reason {
	for r := record.Reason(0); r < record.NumReasons; r++ {
		if held&(1<<r) != 0 {
			return r
		}
	}
	return record.ReasonNone
}

// loseLocked counts n bytes, the next of dir, as lost.
func (sh *shard) loseLocked(c *Conn, dir record.Direction, n int, reason record.Reason, t int64) {
	st := &c.streams[dir]
	// A gap has one reason. Where there is no room to write down the one before,
	// the two become one with the first reason, in the accounts too.
	if st.gap > 0 && st.reason != reason && sh.eventRoomLocked(c, 0) {
		sh.catchUpLocked(c, dir, t)
	}
	if st.gap == 0 {
		st.reason = reason
	}
	sh.tally.lost[dir][st.reason] += uint64(n)
	sh.losses[dir][st.reason].Add(uint64(n))
	st.gap += uint64(n)
	st.next += uint64(n)
	if c.gapped == 0 {
		sh.gapped = append(sh.gapped, c)
		c.gapped = len(sh.gapped)
	}
}

// forgetLocked takes c out of the list of gapped connections.
func (sh *shard) forgetLocked(c *Conn) {
	if c.gapped == 0 {
		return
	}
	end := len(sh.gapped) - 1
	last := sh.gapped[end]
	sh.gapped[c.gapped-1], last.gapped = last, c.gapped
	sh.gapped[end], c.gapped = nil, 0
	sh.gapped = sh.gapped[:end]
}

// eventRoomLocked tells whether there is room for an entry of c of that size and
// all that has to come before it: the intro and the gaps.
func (sh *shard) eventRoomLocked(c *Conn, size int) bool {
	size += 2 * eventSize(8)
	if c.batch != sh.number {
		size += eventSize(8 + len(c.describe().text))
	}
	return sh.active.fits(size)
}

// catchUpLocked writes what has to come before the next entry of c in dir. There
// must be room.
func (sh *shard) catchUpLocked(c *Conn, dir record.Direction, t int64) {
	if c.batch != sh.number {
		sh.introduceLocked(c, t)
	}
	if st := &c.streams[dir]; st.gap > 0 {
		h := header{kind: kindGap, dir: dir, reason: st.reason, slot: c.slot, offset: st.next - st.gap, time: t}
		sh.active.event(&h, 8, func(p []byte) { binary.LittleEndian.PutUint64(p, st.gap) })
		sh.active.commit()
		st.gap = 0
	}
	if c.streams[record.In].gap == 0 && c.streams[record.Out].gap == 0 {
		sh.forgetLocked(c)
	}
}

func (sh *shard) introduceLocked(c *Conn, t int64) {
	text := c.describe().text
	h := header{kind: kindIntro, slot: c.slot, offset: c.firstOffset(record.In), time: t}
	if c.named {
		h.flags = flagRepeat
	}
	sh.active.event(&h, 8+len(text), func(p []byte) {
		binary.LittleEndian.PutUint64(p, c.firstOffset(record.Out))
		copy(p[8:], text)
	})
	sh.active.commit()
	c.batch, c.named = sh.number, true
}

// firstOffset is the offset from which the entries after an intro go on.
func (c *Conn) firstOffset(dir record.Direction) uint64 {
	return c.streams[dir].next - c.streams[dir].gap
}

// maxEnding is how many connections of a shard may wait for room for their end.
// Of more, while nothing can be written, the log has no last gap and no end: they
// would keep the connections' memory for as long as the disk hangs.
const maxEnding = 1 << 14

// endLocked writes the close event of c, or lets it wait when there is no room.
func (sh *shard) endLocked(c *Conn, end *ending, t int64) {
	n := 16 + len(end.reason)
	if !sh.eventRoomLocked(c, eventSize(n)) {
		sh.forgetLocked(c)
		if len(sh.ending) < maxEnding {
			c.closing = end
			sh.ending = append(sh.ending, c)
		}
		return
	}
	sh.catchUpLocked(c, record.In, t)
	sh.catchUpLocked(c, record.Out, t)
	h := header{kind: kindClose, slot: c.slot, time: t}
	sh.active.event(&h, n, func(p []byte) {
		binary.LittleEndian.PutUint64(p, end.totals.In)
		binary.LittleEndian.PutUint64(p[8:], end.totals.Out)
		copy(p[16:], end.reason)
	})
	sh.active.commit()
	c.closing = nil
}

// endWaitingLocked writes up to most of the close events that have found no room,
// as long as there is some. It tells whether it was enough for all.
func (sh *shard) endWaitingLocked(most int, t int64) bool {
	for ; len(sh.ending) > 0; most-- {
		last := len(sh.ending) - 1
		c := sh.ending[last]
		if most == 0 {
			return false
		}
		sh.ending[last] = nil
		sh.ending = sh.ending[:last]
		if sh.endLocked(c, c.closing, t); c.closing != nil {
			return false
		}
	}
	return true
}

// settleLocked writes all ends and gaps that wait, as long as there is room. It
// tells whether there was enough.
func (sh *shard) settleLocked(t int64) bool {
	if !sh.endWaitingLocked(len(sh.ending), t) {
		return false
	}
	for len(sh.gapped) > 0 {
		c := sh.gapped[len(sh.gapped)-1]
		if !sh.eventRoomLocked(c, 0) {
			return false
		}
		sh.catchUpLocked(c, record.In, t)
		sh.catchUpLocked(c, record.Out, t)
	}
	return true
}
