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
	Turns  int                 // requests that an answer or another request's answer parts
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
	closed bool // its end was seen
	server bool // the server's side ended it
	legacy bool
	gaps   [2]int
	both   bool // there are records of answers
}

// closedByServer reports whether the proxy or the server behind it ended a
// connection, from its close record.
func closedByServer(reason string) bool {
	// The names are MOSN's connection events, seen from the client's connection
	// (mosn.io/api network.go): RemoteClose and OnReadErrClose are the client's.
	return reason != "RemoteClose" && reason != "OnReadErrClose"
}

// payload returns an event's bytes, see payloads.read.
func (c *Session) payload(e *event, buf *[]byte) ([]byte, error) {
	return c.recording.payloads.read(e.pos, e.n, buf)
}

// replayable returns the events that a replay goes through. Of a connection that was
// still open at the window's end, requests that nothing answers any more are left
// out unless partial: the last of them may be a half.
func (c *Session) replayable(partial bool) []event {
	if c.facts.closed || partial || !c.answers {
		return c.events
	}
	end := len(c.events)
	for end > 0 && c.events[end-1].dir == record.In {
		end--
	}
	return c.events[:end]
}

// requests returns how many bytes and sends events have.
func requests(events []event) (sends int, n uint64) {
	for i := range events {
		if e := &events[i]; e.dir == record.In && !e.gap {
			sends++
			n += uint64(e.n)
		}
	}
	return sends, n
}
