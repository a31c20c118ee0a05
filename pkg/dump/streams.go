package dump

import (
	"mosn.io/tcpcopy/pkg/dump/internal/recent"
	"mosn.io/tcpcopy/pkg/record"
)

// Streams is the station between records and everything that understands streams:
// records go in, whole streams with their gaps come out. It joins records to
// connections, cuts off bytes that were there before, and adds the gaps that no record
// mentions.
//
// It calls its event function in the order of the records. For each connection in
// each window that is:
//
//   - any number of openings (KindOpen), which say where the window begins;
//   - data (KindData) and gaps (KindGap) of each direction, without overlap and
//     without a hole: each begins where the one before in its direction has ended;
//   - close events (KindClose), after the gaps up to the connection's totals.
//
// Then, when the window is over, it calls its done function. A direction's first event
// begins where the window does, which may be in the middle of the connection. A gap
// that no record mentions has the reason record.ReasonMissing, and the time of the
// record that shows it. A datagram without bytes is data of length 0.
//
// Streams goes through the records once and buffers no payload. It holds a Connection
// for each one of the windows that are not over, so its memory does not grow with the
// number of windows or bytes. It belongs to one goroutine.
type Streams struct {
	event func(*Connection, *record.Record) error
	done  func(*Connection) error

	conns map[connKey]*Connection
	order []*Connection     // of conns, by first record
	open  map[string]string // the window that each process records in
	last  *Connection       // that Add was given a record of, nil when it is done

	rest record.Record // what is new in a record of which a part was there before
	gap  record.Record // that no record mentions
}

// connKey names a connection in a window.
type connKey struct{ window, conn string }

// NewStreams returns Streams that call event for every event of a connection and
// done when the connection's window is over, in the order of the connections' first
// records. Each of them may be nil. The record belongs to Streams and its reader, and
// is valid until event returns, its data too; the Connection is done's to keep.
//
// An error of either function is what Add or Finish returns.
func NewStreams(event func(*Connection, *record.Record) error, done func(*Connection) error) *Streams {
	if event == nil {
		event = func(*Connection, *record.Record) error { return nil }
	}
	if done == nil {
		done = func(*Connection) error { return nil }
	}
	return &Streams{event: event, done: done, conns: map[connKey]*Connection{}, open: map[string]string{}}
}

// Add gives Streams the next record, in a Reader's order. It neither keeps nor changes
// r. After an error nothing more may be added.
func (s *Streams) Add(r *record.Record) error {
	c := s.last
	if c == nil || c.Window != r.Window || c.Conn != r.Conn {
		var err error
		if c, err = s.connection(r); err != nil {
			return err
		}
	}
	c.extend(r)
	switch r.Kind {
	case record.KindOpen:
		c.opened(r)
	case record.KindClose:
		c.closed(r)
		for _, dir := range record.Directions() {
			if st := &c.streams[dir]; st.any {
				if err := s.missing(c, r, dir, r.Totals.Of(dir)); err != nil {
					return err
				}
			}
		}
	case record.KindData, record.KindGap:
		return s.pass(c, r)
	}
	return s.event(c, r)
}

// connection returns r's connection. When r begins another window of its process, the
// one before is over.
func (s *Streams) connection(r *record.Record) (*Connection, error) {
	run := runOf(r.Conn)
	if s.open[run] != r.Window {
		if len(s.open) >= recent.MaxConnections {
			clear(s.open)
		}
		before, known := s.open[run]
		s.open[run] = r.Window
		if known {
			if err := s.finish(before, run); err != nil {
				return nil, err
			}
		}
	}
	key := connKey{r.Window, r.Conn}
	c := s.conns[key]
	if c == nil {
		c = &Connection{Identity: r.Identity, First: r.Time, Legacy: r.Legacy}
		s.conns[key] = c
		s.order = append(s.order, c)
	}
	s.last = c
	return c, nil
}

// pass turns a record of data or a gap into events: a gap before it, and what is new
// in it.
func (s *Streams) pass(c *Connection, r *record.Record) error {
	st := &c.streams[r.Direction]
	if !st.known || !st.any && r.Offset < st.from {
		st.begin(r.Offset)
	}
	st.any = true
	if err := s.missing(c, r, r.Direction, r.Offset); err != nil {
		return err
	}
	if before := st.next - r.Offset; before > 0 {
		if before >= r.Length {
			if r.Length == 0 {
				return s.event(c, r)
			}
			return nil // all of it was there before
		}
		s.rest = *r
		r = &s.rest
		r.Offset += before
		r.Length -= before
		if r.Kind == record.KindData {
			r.Data = r.Data[before:]
		}
	}
	c.passed(r)
	return s.event(c, r)
}

// missing adds the gap between what a stream has and an offset, which r shows.
func (s *Streams) missing(c *Connection, r *record.Record, dir record.Direction, offset uint64) error {
	next := c.streams[dir].next
	if offset <= next {
		return nil
	}
	s.gap = record.Record{
		Kind: record.KindGap, Time: r.Time, Identity: r.Identity,
		Direction: dir, Offset: next, Length: offset - next, Reason: record.ReasonMissing,
	}
	c.passed(&s.gap)
	return s.event(c, &s.gap)
}

// finish calls done for the connections of a process in a window that is over.
func (s *Streams) finish(window, run string) (err error) {
	s.last = nil
	rest := s.order[:0]
	for _, c := range s.order {
		if c.Window != window || c.run() != run {
			rest = append(rest, c)
			continue
		}
		delete(s.conns, connKey{c.Window, c.Conn})
		if errDone := s.done(c); err == nil {
			err = errDone
		}
	}
	clear(s.order[len(rest):])
	s.order = rest
	return err
}

// Finish says that there are no more records, so that all windows are over. It
// returns the first error of done.
func (s *Streams) Finish() (err error) {
	for _, c := range s.order {
		if errDone := s.done(c); err == nil {
			err = errDone
		}
	}
	s.order, s.last = nil, nil
	clear(s.conns)
	clear(s.open)
	return err
}
