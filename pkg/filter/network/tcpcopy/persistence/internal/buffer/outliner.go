package buffer

import (
	"bytes"
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/record"
)

// outliner makes an outline of a view, or one outline of several. The views stay as they
// are until batch has returned.
type outliner struct {
	reader  *Reader
	entries []outlineEntry
	conns   map[uint32]*outlineConn // by slot, those that have not ended
	size    int                     // bytes of the entries
	seen    record.PerDirection     // bytes that they stand for, those of the reader
	firsts  Tally                   // of them, what the reader is the first to count

	dropped      Tally // what dropEnded has left out
	droppedFirst Tally
}

// outlineEntry is an entry of an outline.
type outlineEntry struct {
	Header
	conn    *outlineConn
	payload []byte // of a header or a close event
	length  uint64 // of a gap
}

// outlineConn is a connection of an outline.
type outlineConn struct {
	description []byte
	included    bool
	ended       bool
	gaps        [2]int // the last gap of each direction: its place in entries, from 1; 0 for none
}

func newOutliner(r *Reader) *outliner {
	return &outliner{reader: r, conns: map[uint32]*outlineConn{}}
}

// add adds the entries of b that are new to the reader. The headers of the connections
// among the earlier ones are needed where the reader has not had them.
func (o *outliner) add(b *Batch) {
	counts := b.Counts()
	counts.Lock()
	defer counts.Unlock()
	if b.first != 0 {
		o.firsts.Add(b.firsts)
	}
	var e Entry
	for at := 0; at < b.n; {
		next, ok := b.Entry(at, &e)
		if !ok {
			return
		}
		isNew := at >= b.start
		if e.Kind == KindHeader {
			o.addHeader(&e, isNew || b.joined)
		}
		c := o.conns[e.Slot]
		if c == nil && b.first != 0 { // the reader has its header from before the outline
			c = &outlineConn{included: true}
			o.conns[e.Slot] = c
		}
		switch {
		case e.Kind == KindHeader || c == nil:
		case e.Kind == KindClose:
			delete(o.conns, e.Slot)
			if isNew && c.included {
				c.ended = true
				o.entry(outlineEntry{Header: e.Header, conn: c, payload: e.Payload}, len(e.Payload))
			}
		case isNew && c.included:
			if !o.reader.watches && !o.early(&e.Header) && b.first == 0 && counts.First(at) {
				o.firsts.lose(e.Dir, lostAs(&e), e.Length())
			}
			o.addGap(c, &e)
		}
		at = next
	}
}

// addHeader adds a connection, and its header where that is needed.
func (o *outliner) addHeader(e *Entry, needed bool) {
	c := o.conns[e.Slot]
	if c != nil && e.Flags&FlagRepeat != 0 && bytes.Equal(c.description, e.Description()) {
		return
	}
	c = &outlineConn{description: e.Description(), included: o.reader.includesDescription(e.Description())}
	o.conns[e.Slot] = c
	if needed && c.included {
		o.entry(outlineEntry{Header: e.Header, conn: c, payload: e.Payload}, len(e.Payload))
	}
}

// addGap adds what e stands for to the last gap of its direction, or as one.
func (o *outliner) addGap(c *outlineConn, e *Entry) {
	if !o.early(&e.Header) {
		o.seen.Add(e.Dir, e.Length())
	}
	reason := lostAs(e)
	if last := c.gaps[e.Dir]; last > 0 {
		g := &o.entries[last-1]
		if g.Reason == reason && g.Offset+g.length == e.Offset && o.early(&g.Header) == o.early(&e.Header) {
			g.length += e.Length()
			return
		}
	}
	g := outlineEntry{Header: e.Header, conn: c, length: e.Length()}
	g.Kind, g.Reason, g.Flags = KindGap, reason, 0
	o.entry(g, 8)
	c.gaps[e.Dir] = len(o.entries)
}

// early reports whether an entry came before what the reader wants.
func (o *outliner) early(h *Header) bool { return h.Time < o.reader.since }

func (o *outliner) entry(e outlineEntry, payload int) {
	o.entries = append(o.entries, e)
	o.size += eventSize(payload)
}

// dropEnded leaves out the connections that have ended.
func (o *outliner) dropEnded() {
	kept := o.entries[:0]
	known := map[*outlineConn]bool{}
	for _, e := range o.entries {
		if !e.conn.ended {
			kept = append(kept, e)
			continue
		}
		switch e.Kind {
		case KindHeader:
			if e.Flags&FlagRepeat == 0 {
				known[e.conn] = true
			}
			o.size -= eventSize(len(e.payload))
		case KindGap:
			if !o.early(&e.Header) {
				if known[e.conn] {
					o.dropped.Connections++
					known[e.conn] = false
				}
				o.dropped.lose(e.Dir, e.Reason, e.length)
				o.seen.Add(e.Dir, -e.length)
			}
			o.size -= eventSize(8)
		case KindClose:
			o.size -= eventSize(len(e.payload))
		}
	}
	o.entries = kept
	// Nobody knows which part of these bytes others had counted: all where it was any.
	o.droppedFirst = o.firsts
	for _, dir := range record.Directions() {
		for reason := range o.firsts.Lost[dir] {
			n := min(o.firsts.Lost[dir][reason], o.dropped.Lost[dir][reason])
			o.firsts.unlose(dir, record.Reason(reason), n)
		}
	}
	o.droppedFirst.sub(&o.firsts)
}

// batch returns the outline, which stands for what is between those places.
func (o *outliner) batch(from, to Place) *Batch {
	b := &Batch{mem: make([]byte, o.size), number: to.Batch, first: from.Batch, from: from, to: to, reader: o.reader.state, firsts: &o.firsts}
	for i := range o.entries {
		e := &o.entries[i]
		if e.Kind == KindGap {
			b.event(&e.Header, 8, func(p []byte) { binary.LittleEndian.PutUint64(p, e.length) })
		} else {
			b.event(&e.Header, len(e.payload), func(p []byte) { copy(p, e.payload) })
		}
	}
	b.seen = o.seen
	return b
}
