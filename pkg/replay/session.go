package replay

import (
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Session is what one window recorded of one connection.
type Session struct {
	record.Identity
	Start  time.Duration       // of its first record, from the Recording's begin on
	Length time.Duration       // from its first to its last record
	Turns  int                 // groups of requests with answers between them
	Bytes  record.PerDirection // of payload
	Lost   record.PerDirection // bytes in gaps

	recording *Recording
	events    []event
	facts     facts
	answers   bool // the listener's answers were recorded

	detect   sync.Once
	protocol Protocol // set by detect
	failed   error    // what kept detect from reading the payload
}

// event is a piece of payload that passed, or a gap.
type event struct {
	at  int64 // nanoseconds since the Recording's begin
	pos int64 // of the payload
	n   int   // bytes
	dir record.Direction
	gap bool
}

// facts are what a session's records say of it as a whole.
type facts struct {
	began  bool // from its first byte on
	closed bool // its end was recorded
	server bool // the server's side ended it
	legacy bool
	gaps   record.PerDirection // how many
	both   bool                // there are records of answers
}

// payload returns an event's bytes, see payloads.read.
func (s *Session) payload(e *event, buf *[]byte) ([]byte, error) {
	return s.recording.payloads.read(e.pos, e.n, buf)
}

// replayable returns the events that a replay sends and expects. For a connection
// that was still open at the window's end, it leaves out the last requests without
// an answer unless partial: the last of them may be incomplete.
func (s *Session) replayable(partial bool) []event {
	if s.facts.closed || partial || !s.answers {
		return s.events
	}
	end := len(s.events)
	for end > 0 && s.events[end-1].dir == record.In {
		end--
	}
	return s.events[:end]
}

// requests returns how many pieces of requests events have, and their bytes.
func requests(events []event) (sends int, n uint64) {
	for i := range events {
		if e := &events[i]; e.dir == record.In && !e.gap {
			sends++
			n += uint64(e.n)
		}
	}
	return sends, n
}
