package buffer

import (
	"runtime/debug"

	"mosn.io/tcpcopy/pkg/record"
)

// accept is Data without the description. It returns the shard that goes on for this one
// where that has the bytes to accept, nil elsewhere.
func (sh *Shard) accept(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) (next *Shard) {
	sh.mu.Lock()
	panicOnFault, returned := debug.SetPanicOnFault(true), false
	defer func() { // as leave does, which costs more
		debug.SetPanicOnFault(panicOnFault)
		if !returned {
			sh.panickedLocked(recover())
		}
		sh.mu.Unlock()
	}()
	next = sh.acceptOrIgnoreLocked(c, dir, before, pieces, n)
	returned = true
	return next
}

// acceptOrIgnoreLocked is accept under the shard's lock. It ignores what comes after the
// end of the window or the connection, unless it returns the shard that goes on.
func (sh *Shard) acceptOrIgnoreLocked(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) (next *Shard) {
	if sh.closed || !sh.participatesLocked(c, dir, before) {
		return sh.next
	}
	sh.offerLocked(c, dir, pieces, n, sh.clock.Now())
	if sh.unread < sh.geometry.wakeAt() {
		return nil
	}
	sh.unread = 0
	for _, r := range sh.readers {
		r.wake()
	}
	return nil
}

// participatesLocked lets c join at its first bytes, and the direction begin at its
// own. It reports false for a connection that has ended.
func (sh *Shard) participatesLocked(c *Conn, dir record.Direction, before record.PerDirection) bool {
	if c.shard != sh || !c.streams[dir].begun {
		sh.beginLocked(c, dir, before)
	}
	return !c.ended
}

// beginLocked lets c join, and the direction begin, if they have not.
func (sh *Shard) beginLocked(c *Conn, dir record.Direction, before record.PerDirection) {
	if c.shard != sh {
		sh.joinLocked(c, before)
	}
	st := &c.streams[dir]
	st.begun, st.next = true, before.Of(dir)
}

// joinLocked makes c one of the shard's connections. before is what passed earlier.
func (sh *Shard) joinLocked(c *Conn, before record.PerDirection) {
	c.shard = sh
	c.batch, c.named, c.gapped, c.ended, c.closeEvent = 0, false, 0, false, nil
	c.streams = [2]stream{{next: before.In}, {next: before.Out}}
	if n := len(sh.unused); n > 0 {
		c.slot, sh.unused = sh.unused[n-1], sh.unused[:n-1]
	} else {
		c.slot = sh.slots
		sh.slots++
	}
	sh.joined[c] = struct{}{}
}

// offerLocked accepts or loses the n bytes that pieces hold, the next of dir.
func (sh *Shard) offerLocked(c *Conn, dir record.Direction, pieces [][]byte, n int, t int64) {
	if sh.failed != nil {
		sh.loseLocked(c, dir, n, record.ReasonWriteError, t)
		return
	}
	if sh.paused != 0 {
		sh.loseLocked(c, dir, n, pauseReason(sh.paused), t)
		return
	}
	st, g := &c.streams[dir], &sh.geometry
	keep := n
	if c.Limit > 0 && !g.Retain { // who reads what is retained has a limit of its own
		keep = int(min(uint64(n), c.Limit-min(c.Limit, st.kept)))
		if keep < n && c.Datagrams {
			keep = 0
		}
	}
	sh.acceptLocked(c, dir, pieces, keep, t)
	if keep < n {
		sh.loseLocked(c, dir, n-keep, record.ReasonLimit, t)
	}
}

// acceptLocked makes entries of the first n bytes that pieces hold, or loses what
// there is no room for. It changes pieces. The entries of a batch come to count all at
// once: nobody kills half a record.
func (sh *Shard) acceptLocked(c *Conn, dir record.Direction, pieces [][]byte, n int, t int64) {
	st, g := &c.streams[dir], &sh.geometry
	longest := g.longest(c)
	for left := n; left > 0; {
		k := min(left, longest)
		m := g.margins(c, k)
		if k < left && c.Datagrams || !sh.hasRoomLocked(c, dataSize(k, m)) {
			sh.loseLocked(c, dir, left, record.ReasonBufferFull, t)
			break
		}
		sh.writeBeforeLocked(c, dir, t)
		var h Header // field by field: a copy of all would wait for the stores
		h.Kind, h.Dir, h.Slot, h.Offset, h.Time = KindData, dir, c.slot, st.next, t
		left -= k
		if next := min(left, longest); g.InPlace && next > 0 && (sh.active.fits(dataSize(k, m)+dataSize(next, g.margins(c, next))) || sh.spareLocked() > 0) {
			h.Flags = FlagMore
		}
		pieces = sh.active.data(&h, k, m, pieces)
		sh.unread += dataSize(k, m)
		st.next += uint64(k)
		st.kept += uint64(k)
	}
	sh.active.commit()
}

// pauseReason returns the first reason that is set in paused.
func pauseReason(paused uint32) record.Reason {
	for r := record.Reason(0); r < record.NumReasons; r++ {
		if paused&(1<<r) != 0 {
			return r
		}
	}
	return record.ReasonNone
}

// loseLocked counts n bytes, the next of dir, as lost.
func (sh *Shard) loseLocked(c *Conn, dir record.Direction, n int, reason record.Reason, t int64) {
	st := &c.streams[dir]
	if sh.failed != nil { // there is no batch to write a gap to
		sh.loseBesideLocked(c, dir, record.ReasonWriteError, uint64(n))
		st.next += uint64(n)
		return
	}
	// A gap has one reason. Where there is no room to write down the one before,
	// the two become one with the first reason, in the accounts too.
	if st.gap > 0 && st.reason != reason && sh.hasRoomLocked(c, 0) {
		sh.writeBeforeLocked(c, dir, t)
	}
	if st.gap == 0 {
		st.reason = reason
	}
	sh.pending.lose(dir, st.reason, uint64(n))
	sh.state.pending[dir][st.reason].Add(uint64(n))
	st.gap += uint64(n)
	st.next += uint64(n)
	if c.gapped == 0 {
		sh.gapped = append(sh.gapped, c)
		c.gapped = len(sh.gapped)
	}
}

// maxReason bounds the reason of a close event, in bytes.
const maxReason = 256

// endLocked is End under the shard's lock.
func (sh *Shard) endLocked(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	if sh.closed || c.shard != sh || c.ended {
		return
	}
	t := sh.clock.Now()
	c.ended = true
	delete(sh.joined, c)
	passed.In = max(passed.In, c.streams[record.In].next)
	if out := &c.streams[record.Out]; reason == record.CloseMoved && out.begun && c.Sent != nil {
		passed.Out = min(passed.Out, out.next)
	} else {
		passed.Out = max(passed.Out, out.next)
	}
	// What the proxy has sent, it has offered before. What it has read, it may not
	// have shown.
	if st := &c.streams[record.In]; st.begun && passed.In > st.next {
		sh.loseLocked(c, record.In, int(passed.In-st.next), record.ReasonUnseen, t)
	}
	if sh.failed != nil {
		return
	}
	sh.closeLocked(c, &CloseEvent{Reason: reason[:min(len(reason), maxReason)], Totals: passed}, t)
}
