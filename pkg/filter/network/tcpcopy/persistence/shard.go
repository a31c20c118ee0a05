package persistence

import (
	"encoding/binary"
	"sync"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// shard takes the entries of its share of a session's connections. Connections
// fill the active batch under the lock; the shard's worker swaps it for the
// other one and empties that.
type shard struct {
	session *Session
	full    chan struct{} // tells the worker that the active batch is worth a swap

	mu     sync.Mutex // guards the rest, and Conn's part of it
	closed bool       // the window is over: nothing is taken any more
	held   uint32     // bit r is set while recording pauses for reason r
	active batch
	number uint64 // of the active batch, from 1
	woken  bool   // full has been signalled for the active batch
	slots  uint32 // slots given out so far
	free   []uint32
	gapped []*Conn // connections with a gap or an end that found no room
	tally  tally
}

// tally is what a shard or a worker has counted, in the order of model.Direction.
type tally struct {
	connections uint64
	records     [2]uint64
	seen        [2]uint64
	written     [2]uint64
	lost        [2][model.NumReasons]uint64
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
func (sh *shard) joinLocked(c *Conn, before [2]uint64) {
	c.session = sh.session
	c.batch, c.named, c.gapped, c.ended, c.closing = 0, false, false, false, nil
	c.streams = [2]stream{{next: before[model.In]}, {next: before[model.Out]}}
	if n := len(sh.free); n > 0 {
		c.slot, sh.free = sh.free[n-1], sh.free[:n-1]
	} else {
		c.slot = sh.slots
		sh.slots++
	}
	sh.tally.connections++
}

// offerLocked accepts or loses the n bytes that pieces hold, the next of dir.
func (sh *shard) offerLocked(c *Conn, dir model.Direction, pieces [][]byte, n int, t int64) {
	sh.tally.seen[dir] += uint64(n)
	if sh.held != 0 {
		sh.loseLocked(c, dir, n, heldReason(sh.held), t)
		return
	}
	st := &c.streams[dir]
	keep := n
	if c.Limit > 0 {
		keep = int(min(uint64(n), c.Limit-min(c.Limit, st.kept)))
	}
	for left := keep; left > 0; {
		k := min(left, sh.session.layout.record)
		if k < left && c.Datagrams || !sh.eventRoomLocked(c, entrySize(k)) {
			sh.loseLocked(c, dir, left, model.ReasonBufferFull, t)
			break
		}
		sh.catchUpLocked(c, dir, t)
		e := entry{kind: kindData, dir: dir, slot: c.slot, offset: st.next, time: t}
		pieces = fill(sh.active.append(&e, k), pieces)
		sh.active.commit(k)
		st.next += uint64(k)
		st.kept += uint64(k)
		left -= k
	}
	if keep < n {
		sh.loseLocked(c, dir, n-keep, model.ReasonLimit, t)
	}
}

// fill copies the front of pieces to dst and returns what is left of them. It
// changes pieces.
func fill(dst []byte, pieces [][]byte) [][]byte {
	for len(dst) > 0 {
		k := copy(dst, pieces[0])
		dst = dst[k:]
		if k == len(pieces[0]) {
			pieces = pieces[1:]
		} else {
			pieces[0] = pieces[0][k:]
		}
	}
	return pieces
}

// heldReason returns the first reason that is set in held.
func heldReason(held uint32) model.Reason {
	for r := model.Reason(0); r < model.NumReasons; r++ {
		if held&(1<<r) != 0 {
			return r
		}
	}
	return model.ReasonNone
}

// loseLocked counts n bytes, the next of dir, as lost.
func (sh *shard) loseLocked(c *Conn, dir model.Direction, n int, reason model.Reason, t int64) {
	sh.tally.lost[dir][reason] += uint64(n)
	st := &c.streams[dir]
	// A gap has one reason. Where there is no room to write down the one before,
	// the two become one with the first reason: its place and length stay right,
	// and so do the accounts.
	if st.gap > 0 && st.reason != reason && sh.eventRoomLocked(c, 0) {
		sh.catchUpLocked(c, dir, t)
	}
	if st.gap == 0 {
		st.reason = reason
	}
	st.gap += uint64(n)
	st.next += uint64(n)
	sh.rememberLocked(c)
}

// rememberLocked puts c into the list of those that have something to say when
// the session ends.
func (sh *shard) rememberLocked(c *Conn) {
	if !c.gapped {
		c.gapped = true
		sh.gapped = append(sh.gapped, c)
	}
}

// eventRoomLocked tells whether there is room for an entry of c of that size and
// all that has to come before it: the intro and the gaps.
func (sh *shard) eventRoomLocked(c *Conn, size int) bool {
	size += 2 * entrySize(8)
	if c.batch != sh.number {
		size += entrySize(8 + len(c.describe()))
	}
	return sh.active.room(size)
}

// catchUpLocked writes what has to come before the next entry of c in dir. There
// must be room.
func (sh *shard) catchUpLocked(c *Conn, dir model.Direction, t int64) {
	if c.batch != sh.number {
		sh.introduceLocked(c, t)
	}
	if st := &c.streams[dir]; st.gap > 0 {
		e := entry{kind: kindGap, dir: dir, reason: st.reason, slot: c.slot, offset: st.next - st.gap, time: t}
		binary.LittleEndian.PutUint64(sh.active.append(&e, 8), st.gap)
		sh.active.commit(8)
		st.gap = 0
	}
}

func (sh *shard) introduceLocked(c *Conn, t int64) {
	description := c.describe()
	e := entry{kind: kindIntro, slot: c.slot, offset: c.firstOffset(model.In), time: t}
	if c.named {
		e.flags = flagRepeat
	}
	n := 8 + len(description)
	p := sh.active.append(&e, n)
	binary.LittleEndian.PutUint64(p, c.firstOffset(model.Out))
	copy(p[8:], description)
	sh.active.commit(n)
	c.batch, c.named = sh.number, true
}

// firstOffset is the offset from which the entries after an intro go on.
func (c *Conn) firstOffset(dir model.Direction) uint64 {
	return c.streams[dir].next - c.streams[dir].gap
}

// endLocked writes the close event of c, or remembers it when there is no room.
func (sh *shard) endLocked(c *Conn, end *ending, t int64) {
	n := 16 + len(end.reason)
	if !sh.eventRoomLocked(c, entrySize(n)) {
		c.closing = end
		sh.rememberLocked(c)
		return
	}
	sh.catchUpLocked(c, model.In, t)
	sh.catchUpLocked(c, model.Out, t)
	e := entry{kind: kindClose, slot: c.slot, time: t}
	p := sh.active.append(&e, n)
	binary.LittleEndian.PutUint64(p, end.totals[model.In])
	binary.LittleEndian.PutUint64(p[8:], end.totals[model.Out])
	copy(p[16:], end.reason)
	sh.active.commit(n)
	c.closing = nil
}
