package dump

import (
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// maxGaps bounds the gaps of a connection that are kept one by one.
const maxGaps = 4096

// Connection is what the records of one window say of one connection. Streams fills
// it while records come; all but State is for reading.
type Connection struct {
	record.Identity
	First, Last time.Time           // of its records
	Records     record.PerDirection // of data
	Bytes       record.PerDirection // of data
	Lost        record.PerDirection // bytes in gaps
	Gaps        []record.Gap        // in the order of the records; the first maxGaps of them
	MoreGaps    int                 // gaps that are not in Gaps
	Closed      bool                // there was a close event; Reason and Totals hold
	Reason      string
	Totals      record.PerDirection // bytes of the connection in all
	Legacy      bool                // see record.Record

	// State belongs to the receiver of a Streams' events; Streams does not touch it.
	State any

	started bool // the file says that it has the beginning
	streams [2]stream

	// Of Streams:
	window *streamWindow // that it is in; nil once it is done
	number uint64        // its position in the window's slots
	at     int           // its index among those in memory
	place  int64         // where it was in the temporary file last, plus one; 0 where it was not
	used   uint64        // when it was used last
	ending bool          // it has had a close event and stays in memory for a while
	size   int           // bytes of State when they were counted last
}

// stream is how far one direction of a connection has come.
type stream struct {
	from  uint64 // offset of the first byte that the window has
	next  uint64 // offset after the last one
	known bool   // from and next hold
	any   bool   // there was data or a gap
}

// Complete reports whether the window has all of the connection: its beginning, its
// end and, in each direction that was recorded, every byte.
func (c *Connection) Complete() bool {
	in, out := c.streams[record.In], c.streams[record.Out]
	if c.Legacy || !c.Closed || len(c.Gaps) > 0 || !in.any && !out.any && c.Totals != (record.PerDirection{}) {
		return false
	}
	return in.complete(c.Totals.In) && out.complete(c.Totals.Out+c.PassedOn())
}

// complete reports whether nothing is missing of the total bytes of a direction, as far
// as it was recorded.
func (s stream) complete(total uint64) bool { return !s.any || s.from == 0 && s.next == total }

// PassedOn returns how many of the last bytes to the client the process did not send
// itself: a hot upgrade had moved the connection, and they went to the process that has
// it now, which has them in its records if it sent them.
func (c *Connection) PassedOn() uint64 {
	out := c.streams[record.Out]
	if c.Reason != string(record.CloseMoved) || !out.any {
		return 0
	}
	return out.next - min(out.next, c.Totals.Out)
}

// Recorded reports whether there are records of a direction's bytes.
func (c *Connection) Recorded(dir record.Direction) bool { return c.streams[dir].any }

// Began reports whether the window has the connection from its first byte on.
func (c *Connection) Began() bool {
	in, out := c.streams[record.In], c.streams[record.Out]
	if c.Legacy || in.known && in.from != 0 || out.known && out.from != 0 {
		return false
	}
	return c.started || in.any || out.any
}

// run returns the process that recorded the connection.
func (c *Connection) run() string { return runOf(c.Conn) }

// runOf returns the process in a connection's identity, <run>-<number>.
func runOf(conn string) string {
	run, _, _ := strings.Cut(conn, "-")
	return run
}

// extend widens First and Last to r, and adds the addresses where they are not known yet.
func (c *Connection) extend(r *record.Record) {
	if r.Time.After(c.Last) {
		c.Last = r.Time
	}
	if r.Time.Before(c.First) {
		c.First = r.Time
	}
	if c.Peer == "" {
		c.Peer, c.Listener = r.Peer, r.Listener
	}
}

// opened adds what an opening or a state says.
func (c *Connection) opened(r *record.Record) {
	c.started = c.started || r.Start
	if !r.HasBase {
		return
	}
	for _, dir := range record.Directions() {
		if s := &c.streams[dir]; !s.known {
			s.begin(r.Base.Of(dir))
		}
	}
}

// begin says that the window has the direction from an offset on.
func (s *stream) begin(offset uint64) { s.from, s.next, s.known = offset, offset, true }

// closed adds what a close event says.
func (c *Connection) closed(r *record.Record) {
	c.Closed, c.Reason, c.Totals = true, r.Reason, r.Totals
}

// passed counts the bytes or the gap of r, which begins where its stream ends so far.
func (c *Connection) passed(r *record.Record) {
	if r.Length == 0 {
		return
	}
	c.streams[r.Direction].next = r.Offset + r.Length
	if r.Kind == record.KindGap {
		c.lost(record.Gap{Direction: r.Direction, Offset: r.Offset, Length: r.Length, Reason: r.Reason})
		return
	}
	c.Bytes.Add(r.Direction, r.Length)
	c.Records.Add(r.Direction, 1)
}

// lost adds a gap. It extends the last one instead where the two touch.
func (c *Connection) lost(g record.Gap) {
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

// lateBytes returns how many bytes of r come after later ones of their stream: they were
// counted as missing, or are before the stream's beginning.
func (c *Connection) lateBytes(r *record.Record) (n uint64) {
	if r.Kind != record.KindData {
		return 0
	}
	st := &c.streams[r.Direction]
	end := min(r.Offset+r.Length, st.next)
	if r.Offset < st.from {
		n += min(end, st.from) - r.Offset
	}
	for _, g := range c.Gaps {
		if g.Direction == r.Direction && g.Reason == record.ReasonMissing {
			if from, to := max(g.Offset, r.Offset), min(g.Offset+g.Length, end); from < to {
				n += to - from
			}
		}
	}
	return n
}
