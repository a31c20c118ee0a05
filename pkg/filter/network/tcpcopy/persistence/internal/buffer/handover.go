package buffer

import (
	"runtime/debug"

	"mosn.io/tcpcopy/pkg/record"
)

// HandOver ends the accepting, as Close does, and has next go on: the shard of the same
// index in another ring, which has the same number of them. Each byte of a connection is in
// one of the two, and its offsets go on: what is offered to sh from now on goes to next. What
// sh holds stays for its readers, and so do its gaps and close events that have found no
// room.
func (sh *Shard) HandOver(next *Shard) {
	sh.WritePending()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return
	}
	next.mu.Lock()
	defer next.mu.Unlock()
	sh.closed, sh.next = true, next
	for i, c := range sh.gapped {
		sh.gapped[i] = c.detached()
	}
	for i, c := range sh.unclosed {
		sh.unclosed[i] = c.detached()
	}
	for c := range sh.joined {
		next.adoptLocked(c)
	}
	sh.joined = nil
}

// adoptLocked makes c, of another shard, one of the shard's connections. The caller has the
// lock of the other shard too.
func (sh *Shard) adoptLocked(c *Conn) {
	was := c.streams
	sh.joinLocked(c, record.PerDirection{In: was[record.In].next, Out: was[record.Out].next})
	for dir := range was {
		c.streams[dir].begun = was[dir].begun
	}
}

// detached returns c as it is in its shard, for what the shard has still to write of it: c
// itself is about to join another.
func (c *Conn) detached() *Conn {
	d := &Conn{
		ID: c.ID, Limit: c.Limit, Datagrams: c.Datagrams, Describe: c.Describe, Sent: c.Sent,
		shard: c.shard, slot: c.slot, batch: c.batch, named: c.named, gapped: c.gapped, ended: c.ended, closeEvent: c.closeEvent,
		streams: c.streams,
	}
	d.description.Store(c.description.Load())
	return d
}

// offerSkip is Skip for a connection with a description. It returns the shard that goes on
// for this one, nil if the bytes are counted, or of no interest.
func (sh *Shard) offerSkip(c *Conn, dir record.Direction, before record.PerDirection, n int, reason record.Reason) (next *Shard) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.closed || !sh.participatesLocked(c, dir, before) {
		return sh.next
	}
	sh.loseLocked(c, dir, n, reason, sh.clock.Now())
	return nil
}

// offerEnd is End. It returns the shard that goes on for this one, nil if there is none.
func (sh *Shard) offerEnd(c *Conn, reason record.CloseReason, passed record.PerDirection) (next *Shard) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	sh.endLocked(c, reason, passed)
	return sh.next
}

// offerEndAll is EndAll. It returns the shard that goes on for this one, nil if there is
// none.
func (sh *Shard) offerEndAll(reason record.CloseReason) (next *Shard) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	for c := range sh.joined {
		var passed record.PerDirection
		if c.Sent != nil {
			passed.Out = c.Sent()
		}
		sh.endLocked(c, reason, passed)
	}
	return sh.next
}
