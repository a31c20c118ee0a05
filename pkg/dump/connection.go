package dump

import (
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump/internal/recent"
	"mosn.io/tcpcopy/pkg/record"
)

// maxGaps bounds the gaps of a connection that are kept one by one.
const maxGaps = 4096

// Connection is what the records of one window say of one connection.
type Connection struct {
	record.Identity
	First, Last time.Time           // of its records
	Records     record.PerDirection // of data
	Bytes       record.PerDirection // of data
	Lost        record.PerDirection // bytes in gaps
	Gaps        []record.Gap        // in the order of the records; the first maxGaps of them
	MoreGaps    int                 // gaps that are not in Gaps
	Closed      bool                // its end was seen; Reason and Totals hold
	Reason      string
	Totals      record.PerDirection // bytes of the connection in all
	Legacy      bool                // see record.Record

	start bool      // its beginning was seen, as the file says
	from  [2]uint64 // offset of the first byte that the window has
	next  [2]uint64 // offset behind the last
	seen  [2]bool   // from and next hold
	any   [2]bool   // there was data or a gap
}

// Complete tells whether the window has all of the connection: its beginning,
// its end and, in each direction that was recorded, every byte.
func (c *Connection) Complete() bool {
	if c.Legacy || !c.Closed || len(c.Gaps) > 0 || !c.any[record.In] && !c.any[record.Out] && c.Totals != (record.PerDirection{}) {
		return false
	}
	totals := [2]uint64{c.Totals.In, c.Totals.Out}
	for _, dir := range []record.Direction{record.In, record.Out} {
		if c.any[dir] && (c.from[dir] != 0 || c.next[dir] != totals[dir]) {
			return false
		}
	}
	return true
}

// Recorded tells whether there are records of a direction's bytes.
func (c *Connection) Recorded(dir record.Direction) bool { return c.any[dir] }

// Began tells whether the window has the connection from its first byte on.
func (c *Connection) Began() bool {
	if c.Legacy {
		return false
	}
	for _, dir := range []record.Direction{record.In, record.Out} {
		if c.seen[dir] && c.from[dir] != 0 {
			return false
		}
	}
	return c.start || c.any[record.In] || c.any[record.Out]
}

// Tracker joins records to connections and finds what is missing between them.
// Give it the records in a Reader's order. It forgets a connection when its
// window is over, so its memory does not grow with the number of windows.
type Tracker struct {
	done  func(*Connection)
	conns map[connKey]*Connection
	order []*Connection     // of conns, by first record
	open  map[string]string // the window that each process records in
}

// connKey names a connection in a window.
type connKey struct{ window, conn string }

// NewTracker returns a Tracker that hands each connection to done, which may be
// nil, when its window is over, in the order of their first records.
func NewTracker(done func(*Connection)) *Tracker {
	if done == nil {
		done = func(*Connection) {}
	}
	return &Tracker{done: done, conns: map[connKey]*Connection{}, open: map[string]string{}}
}

// Add takes a record in. It returns its connection, the gaps in front of it that
// no record tells of, by direction (Length 0 where there is none), and whether
// the record is the connection's first. Bytes that were there before are cut off
// the front of r.
func (t *Tracker) Add(r *record.Record) (c *Connection, missing [2]record.Gap, first bool) {
	run, _, _ := strings.Cut(r.Conn, "-")
	if t.open[run] != r.Window {
		if len(t.open) >= recent.MaxConnections {
			clear(t.open)
		}
		if before, ok := t.open[run]; ok {
			t.finish(before, run)
		}
		t.open[run] = r.Window
	}
	key := connKey{r.Window, r.Conn}
	c = t.conns[key]
	if c == nil {
		first = true
		c = &Connection{Identity: r.Identity, First: r.Time, Legacy: r.Legacy}
		t.conns[key] = c
		t.order = append(t.order, c)
	}
	return c, c.add(r), first
}

// finish hands out the connections of a process in a window that is over.
func (t *Tracker) finish(window, run string) {
	rest := t.order[:0]
	for _, c := range t.order {
		if of, _, _ := strings.Cut(c.Conn, "-"); c.Window != window || of != run {
			rest = append(rest, c)
			continue
		}
		delete(t.conns, connKey{c.Window, c.Conn})
		t.done(c)
	}
	clear(t.order[len(rest):])
	t.order = rest
}

// Finish hands out what is left. Call it after the last record.
func (t *Tracker) Finish() {
	for _, c := range t.order {
		t.done(c)
	}
	t.order = nil
	clear(t.conns)
	clear(t.open)
}

func (c *Connection) add(r *record.Record) (missing [2]record.Gap) {
	if r.Time.After(c.Last) {
		c.Last = r.Time
	}
	if r.Time.Before(c.First) {
		c.First = r.Time
	}
	if c.Peer == "" {
		c.Peer, c.Listener = r.Peer, r.Listener
	}
	switch r.Kind {
	case record.KindOpen:
		c.start = c.start || r.Start
		if base := [2]uint64{r.Base.In, r.Base.Out}; r.HasBase {
			for dir := range base {
				if !c.seen[dir] {
					c.seen[dir], c.from[dir], c.next[dir] = true, base[dir], base[dir]
				}
			}
		}
	case record.KindData, record.KindGap:
		missing[r.Direction] = c.pass(r)
	case record.KindClose:
		c.Closed, c.Reason, c.Totals = true, r.Reason, r.Totals
		totals := [2]uint64{r.Totals.In, r.Totals.Out}
		for _, dir := range []record.Direction{record.In, record.Out} {
			if c.any[dir] && totals[dir] > c.next[dir] {
				missing[dir] = record.Gap{Direction: dir, Offset: c.next[dir], Length: totals[dir] - c.next[dir], Reason: record.ReasonMissing}
				c.lose(missing[dir])
			}
		}
	}
	return missing
}

// pass takes in a record of data or a gap.
func (c *Connection) pass(r *record.Record) (missing record.Gap) {
	dir := r.Direction
	if !c.seen[dir] || !c.any[dir] && r.Offset < c.from[dir] {
		c.seen[dir], c.from[dir], c.next[dir] = true, r.Offset, r.Offset
	}
	c.any[dir] = true
	if r.Offset > c.next[dir] {
		missing = record.Gap{Direction: dir, Offset: c.next[dir], Length: r.Offset - c.next[dir], Reason: record.ReasonMissing}
		c.lose(missing)
	}
	if known := c.next[dir] - min(r.Offset, c.next[dir]); known > 0 {
		known = min(known, r.Length)
		r.Offset += known
		r.Length -= known
		if r.Kind == record.KindData {
			r.Data = r.Data[known:]
		}
	}
	if r.Length == 0 {
		return missing
	}
	c.next[dir] = r.Offset + r.Length
	if r.Kind == record.KindGap {
		c.lose(record.Gap{Direction: dir, Offset: r.Offset, Length: r.Length, Reason: r.Reason})
		return missing
	}
	c.Bytes.Add(dir, r.Length)
	c.Records.Add(dir, 1)
	return missing
}

// lose notes a gap, as one with the last where they touch.
func (c *Connection) lose(g record.Gap) {
	c.Lost.Add(g.Direction, g.Length)
	if n := len(c.Gaps); n > 0 {
		if last := &c.Gaps[n-1]; last.Direction == g.Direction && last.Reason == g.Reason && last.Offset+last.Length == g.Offset {
			last.Length += g.Length
			return
		}
		if n >= maxGaps {
			c.MoreGaps++
			return
		}
	}
	c.Gaps = append(c.Gaps, g)
}
