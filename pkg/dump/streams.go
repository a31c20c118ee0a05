package dump

import (
	"cmp"
	"slices"
	"time"

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
//   - any number of openings (KindOpen), which say where the window begins, and of states
//     (KindState), which say what a decoder knows there;
//   - data (KindData) and gaps (KindGap) of each direction, without overlap and
//     without a hole: each begins where the one before in its direction has ended;
//   - close events (KindClose), after the gaps up to the connection's totals.
//
// Then it calls its done function: when the connection has ended, or its window is over.
// In each window that is in the order of the connections' first records. Windows overlap,
// where the flight recorder makes captures: one is over when another window of its process
// begins, and either its last record is that old or that many others have had one since; see
// overlap. A direction's
// first event begins where the window does, which may be in the middle of the connection.
// A gap that no record mentions has the reason record.ReasonMissing, and the time of the
// record that shows it. A datagram without bytes is data of length 0.
//
// Streams goes through the records once and buffers no payload. It holds a Connection
// for each one that is open or that waits for an earlier one to end. Beyond maxHeld of
// them, those without a State that have been still for long go to a temporary file;
// those with a State too where StoreStates says how. So does what finds them there:
// memory does not grow with their number.
// It belongs to one goroutine.
type Streams struct {
	event func(*Connection, *record.Record) error
	done  func(*Connection) error

	windows map[windowKey]*streamWindow // that are not over
	order   []*streamWindow             // of windows, by first record
	open    map[string][]openWindow     // windows of each process that are not over, the one of its last record first
	last    *Connection                 // that Add was given a record of, nil when it is done
	current *streamWindow               // of the last record whose connection was not last; nil when it is over
	held    heldConnections             // in memory
	ended   []*Connection               // that have had a close event and may be done, by that

	late uint64 // bytes that came after later ones of their stream, and were left out

	rest record.Record // what is new in a record of which a part was there before
	gap  record.Record // that no record mentions
}

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
	return &Streams{event: event, done: done, windows: map[windowKey]*streamWindow{}, open: map[string][]openWindow{}}
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
	err := s.add(c, r)
	if s.held.parse != nil && c.window != nil {
		if s.held.count(c); s.held.states > max(maxStates, s.held.most) && err == nil {
			s.held.shrinkStates(c)
		}
	}
	return err
}

// add is Add for a record of c.
func (s *Streams) add(c *Connection, r *record.Record) error {
	switch r.Kind {
	case record.KindOpen, record.KindState:
		c.opened(r)
	case record.KindClose:
		again := c.Closed
		c.closed(r)
		for _, dir := range record.Directions() {
			if st := &c.streams[dir]; st.any {
				if err := s.missing(c, r, dir, r.Totals.Of(dir)); err != nil {
					return err
				}
			}
		}
		if err := s.event(c, r); err != nil || again {
			return err
		}
		return s.end(c)
	case record.KindData, record.KindGap:
		return s.pass(c, r)
	}
	return s.event(c, r)
}

// Windows of a process overlap: records of one may come between those of others. A recorder
// has nine open at once. When another begins, those are over of which nothing has come for
// overlapTime, and beyond overlap windows those of which nothing has come for longest.
const (
	overlap     = 16
	overlapTime = 10 * time.Minute
)

// openWindow is a window that is not over.
type openWindow struct {
	id   string
	last time.Time // of its last record, or later; zero for the window of the last record
}

// connection returns r's connection. When r begins another window of its process, others
// may be over.
func (s *Streams) connection(r *record.Record) (*Connection, error) {
	w := s.current
	if w == nil || w.key.window != r.Window || !w.has(r.Conn) {
		var err error
		if w, err = s.window(r); err != nil {
			return nil, err
		}
	}
	c, err := s.held.find(w, r.Conn)
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = &Connection{Identity: r.Identity, First: r.Time, Legacy: r.Legacy}
		if err := s.held.add(w, c); err != nil {
			return nil, err
		}
	}
	s.last = c
	return c, nil
}

// window returns the window of r's process, which is current then.
func (s *Streams) window(r *record.Record) (*streamWindow, error) {
	run := runOf(r.Conn)
	if all := s.open[run]; len(all) == 0 || all[0].id != r.Window {
		if err := s.turn(run, r); err != nil {
			return nil, err
		}
	}
	key := windowKey{r.Window, run}
	w := s.windows[key]
	if w == nil {
		w = s.held.window(key)
		s.windows[key] = w
		s.order = append(s.order, w)
	}
	s.current = w
	return w, nil
}

// turn says that a process's records are of r's window now.
func (s *Streams) turn(run string, r *record.Record) error {
	if _, known := s.open[run]; !known && len(s.open) >= recent.MaxConnections {
		clear(s.open)
	}
	all := s.open[run]
	if len(all) > 0 {
		all[0].last = r.Time
	}
	i := slices.IndexFunc(all, func(o openWindow) bool { return o.id == r.Window })
	if i >= 0 {
		copy(all[1:i+1], all[:i])
		all[0] = openWindow{id: r.Window}
		return nil
	}
	var kept, over []openWindow
	for _, o := range all {
		if len(kept) == overlap-1 || r.Time.Sub(o.last) > overlapTime {
			over = append(over, o)
		} else {
			kept = append(kept, o)
		}
	}
	s.open[run] = append([]openWindow{{id: r.Window}}, kept...)
	for _, o := range slices.Backward(over) {
		if err := s.finish(o.id, run); err != nil {
			return err
		}
	}
	return nil
}

// end says that a connection has had a close event. It is done once many others have had
// one too: until then some record of it may come again.
func (s *Streams) end(c *Connection) error {
	const linger = 1 << 11
	c.ending = true
	s.ended = append(s.ended, c)
	if len(s.ended) < 2*linger {
		return nil
	}
	var windows []*streamWindow
	for _, c := range s.ended[:linger] {
		c.ending = false
		if err := s.held.finished(c); err != nil {
			return err
		}
		if !slices.Contains(windows, c.window) {
			windows = append(windows, c.window)
		}
	}
	s.ended = slices.Delete(s.ended, 0, linger)
	s.last = nil
	for _, w := range windows {
		if err := s.held.drain(w, s.done, false); err != nil {
			return err
		}
	}
	return nil
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
		s.late += c.lateBytes(r)
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
	key := windowKey{window, run}
	w := s.windows[key]
	if w == nil {
		return nil
	}
	s.last, s.current = nil, nil
	delete(s.windows, key)
	s.order = slices.DeleteFunc(s.order, func(o *streamWindow) bool { return o == w })
	s.ended = slices.DeleteFunc(s.ended, func(c *Connection) bool { return c.window == w })
	return s.held.drain(w, s.done, true)
}

// Finish says that there are no more records, so that all windows are over. It
// returns the first error of done.
func (s *Streams) Finish() (err error) {
	for _, w := range s.order {
		err = cmp.Or(err, s.held.drain(w, s.done, true))
	}
	s.order, s.last, s.current, s.ended = nil, nil, nil, nil
	clear(s.windows)
	clear(s.open)
	return cmp.Or(err, s.held.close())
}

// Late returns how many bytes were left out, because they came after later ones of their
// stream: files in a wrong order, or packets.
func (s *Streams) Late() uint64 { return s.late }
