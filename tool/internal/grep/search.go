package grep

import (
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// Match is a place at which a pattern matches.
type Match struct {
	Conn      *dump.Connection
	Direction record.Direction
	Offset    uint64 // in the stream of the direction
	Bytes     []byte // what matches

	// Before and After are what is around it: as many bytes as were asked for, less at the
	// beginning and the end of the recording and at gaps.
	Before, After []byte
}

// Search looks for a pattern in the streams of a dump. It keeps the bytes of a stream that
// more bytes may make a match of, and those of the context. Beyond 16 MiB, they go to a
// temporary file. It belongs to one goroutine.
type Search struct {
	// Done, when not nil, is called with each connection that has matches once its window is
	// over, and how many there are. Set it before the first Add.
	Done func(c *dump.Connection, matches uint64) error

	found   func(*Match) error
	context int // bytes before and after a match
	scanner scanner
	streams *dump.Streams
	err     error // the first one of found

	current *stream // that is searched
	matches uint64  // of the connection of current
	match   Match   // given to found
	joined  []byte  // the end of a stream with the bytes that continue it
	seen    uint64
	lost    uint64
}

// connection is what a Search has of a connection. It is the State of a dump.Connection.
type connection struct {
	streams [2]stream
	matches uint64 // that were found
}

// New returns a Search that calls found with each match of p as soon as the bytes after
// it are there: for each stream in order, and also at the end of a stream, of its window
// and before a gap. context is how many bytes before and after the match it has. The Match
// and its bytes are valid until found returns. An error of found is what Add or Finish
// returns.
func New(p *Pattern, context int, found func(*Match) error) *Search {
	s := &Search{found: found, context: context, scanner: scanner{pattern: p, finder: newFinder(p)}}
	s.scanner.found = func(start, end int) { s.current.waiting = append(s.current.waiting, span{start, end}) }
	s.streams = dump.NewStreams(s.event, s.done)
	s.streams.StoreStates(parseConnection)
	return s
}

// Add gives the search the next record, in a dump.Reader's order. It does not keep r.
func (s *Search) Add(r *record.Record) error { return s.streams.Add(r) }

// Finish says that there are no more records.
func (s *Search) Finish() error { return s.streams.Finish() }

// Late returns how many bytes were left out, as dump.Streams says it.
func (s *Search) Late() uint64 { return s.streams.Late() }

// Bytes returns how many bytes were searched, and how many of the streams were not
// recorded.
func (s *Search) Bytes() (searched, lost uint64) { return s.seen, s.lost }

// event searches the bytes of a record.
func (s *Search) event(c *dump.Connection, r *record.Record) error {
	switch r.Kind {
	case record.KindData:
		own, ok := c.State.(*connection)
		if !ok {
			own = &connection{}
			c.State = own
		}
		s.seen += r.Length
		s.match.Conn, s.match.Direction = c, r.Direction
		// A datagram is a message of its own.
		s.data(&own.streams[r.Direction], r.Offset, r.Data, r.Network == "udp")
		own.matches, s.matches = own.matches+s.matches, 0
	case record.KindGap:
		s.lost += r.Length
		s.flush(c, r.Direction)
	case record.KindClose:
		s.flush(c, record.In)
		s.flush(c, record.Out)
	}
	return s.err
}

// flush ends the search in what a direction has so far.
func (s *Search) flush(c *dump.Connection, dir record.Direction) {
	own, ok := c.State.(*connection)
	if !ok || s.err != nil {
		return
	}
	if of := &own.streams[dir]; len(of.buf) > 0 {
		s.match.Conn, s.match.Direction = c, dir
		s.data(of, 0, nil, true)
		own.matches, s.matches = own.matches+s.matches, 0
	}
	own.streams[dir] = stream{}
}

func (s *Search) done(c *dump.Connection) error {
	s.flush(c, record.In)
	s.flush(c, record.Out)
	if own, ok := c.State.(*connection); ok && own.matches > 0 && s.Done != nil && s.err == nil {
		s.err = s.Done(c, own.matches)
	}
	c.State = nil
	return s.err
}

// AppendState implements dump.StoredState.
func (c *connection) AppendState(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, c.matches)
	return c.streams[record.Out].append(c.streams[record.In].append(dst))
}

// Size implements dump.StoredState.
func (c *connection) Size() int { return c.streams[record.In].size() + c.streams[record.Out].size() }

// parseConnection reads what AppendState has appended.
func parseConnection(b []byte) (dump.StoredState, error) {
	c := &connection{}
	matches, size := binary.Uvarint(b)
	if size <= 0 {
		return nil, errState
	}
	c.matches, b = matches, b[size:]
	var err error
	for _, dir := range record.Directions() { // in the order of AppendState
		if b, err = c.streams[dir].parse(b); err != nil {
			return nil, err
		}
	}
	if len(b) > 0 {
		return nil, errState
	}
	return c, nil
}
