package buffer

import (
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/record"
)

// hasRoomLocked reports whether there is room for an entry of c of that size and
// all that has to come before it: the connection header and the pending gaps.
func (sh *Shard) hasRoomLocked(c *Conn, size int) bool {
	size += 2 * eventSize(8)
	if c.batch != sh.number {
		size += eventSize(8 + len(c.describe().text))
	}
	return sh.active.fits(size)
}

// writeBeforeLocked writes what has to come before the next entry of c in dir: the
// connection header and the pending gap. There must be room.
func (sh *Shard) writeBeforeLocked(c *Conn, dir record.Direction, t int64) {
	if c.batch != sh.number {
		sh.writeHeaderLocked(c, t)
	}
	if st := &c.streams[dir]; st.gap > 0 {
		h := Header{Kind: KindGap, Dir: dir, Reason: st.reason, Slot: c.slot, Offset: st.next - st.gap, Time: t}
		sh.active.event(&h, 8, func(p []byte) { binary.LittleEndian.PutUint64(p, st.gap) })
		sh.active.commit()
		st.gap = 0
	}
	if c.streams[record.In].gap == 0 && c.streams[record.Out].gap == 0 {
		sh.unlistGappedLocked(c)
	}
}

// writeHeaderLocked writes the connection header of c.
func (sh *Shard) writeHeaderLocked(c *Conn, t int64) {
	text := c.describe().text
	h := Header{Kind: KindHeader, Slot: c.slot, Offset: c.firstOffset(record.In), Time: t}
	if c.named {
		h.Flags = FlagRepeat
	}
	sh.active.event(&h, 8+len(text), func(p []byte) {
		binary.LittleEndian.PutUint64(p, c.firstOffset(record.Out))
		copy(p[8:], text)
	})
	sh.active.commit()
	c.batch, c.named = sh.number, true
}

// unlistGappedLocked removes c from the list of gapped connections.
func (sh *Shard) unlistGappedLocked(c *Conn) {
	if c.gapped == 0 {
		return
	}
	end := len(sh.gapped) - 1
	last := sh.gapped[end]
	sh.gapped[c.gapped-1], last.gapped = last, c.gapped
	sh.gapped[end], c.gapped = nil, 0
	sh.gapped = sh.gapped[:end]
}

// MaxUnclosed is how many connections of a shard may wait for room for their close
// event. Of more, while nothing can be written, the log has no last gap and no close
// event: they would keep the connections' memory for as long as the disk hangs.
const MaxUnclosed = 1 << 14

// closeLocked writes the close event of c, or lets it wait when there is no room.
func (sh *Shard) closeLocked(c *Conn, e *CloseEvent, t int64) {
	n := 16 + len(e.Reason)
	if !sh.hasRoomLocked(c, eventSize(n)) {
		sh.unlistGappedLocked(c)
		if len(sh.unclosed) < MaxUnclosed {
			c.closeEvent = e
			sh.unclosed = append(sh.unclosed, c)
		}
		return
	}
	sh.writeBeforeLocked(c, record.In, t)
	sh.writeBeforeLocked(c, record.Out, t)
	h := Header{Kind: KindClose, Slot: c.slot, Time: t}
	sh.active.event(&h, n, func(p []byte) {
		binary.LittleEndian.PutUint64(p, e.Totals.In)
		binary.LittleEndian.PutUint64(p[8:], e.Totals.Out)
		copy(p[16:], e.Reason)
	})
	sh.active.commit()
	c.closeEvent = nil
}

// writeClosesLocked writes up to most of the close events that have found no room, as
// long as there is some. It reports whether all are written.
func (sh *Shard) writeClosesLocked(most int, t int64) (complete bool) {
	for ; len(sh.unclosed) > 0; most-- {
		last := len(sh.unclosed) - 1
		c := sh.unclosed[last]
		if most == 0 {
			return false
		}
		sh.unclosed[last] = nil
		sh.unclosed = sh.unclosed[:last]
		if sh.closeLocked(c, c.closeEvent, t); c.closeEvent != nil {
			return false
		}
	}
	return true
}

// writePendingLocked writes all close events and gaps that wait, as long as there is
// room. It reports whether all are written.
func (sh *Shard) writePendingLocked(t int64) (complete bool) {
	if !sh.writeClosesLocked(len(sh.unclosed), t) {
		return false
	}
	for len(sh.gapped) > 0 {
		c := sh.gapped[len(sh.gapped)-1]
		if !sh.hasRoomLocked(c, 0) {
			return false
		}
		sh.writeBeforeLocked(c, record.In, t)
		sh.writeBeforeLocked(c, record.Out, t)
	}
	return true
}
