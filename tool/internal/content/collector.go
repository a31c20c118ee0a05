// Package content keeps what calls do not have: the values of their header fields and
// arguments, and their bodies, while the calls are decoded. The commands that look into
// calls use it; whatever the size of a dump, it holds a bounded number of bytes in memory
// and the rest in temporary files.
package content

import (
	"errors"

	"mosn.io/tcpcopy/pkg/body"
	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/codings"
)

// Wanted says what a Collector keeps.
type Wanted struct {
	Headers [2]bool // values other than bodies, of each direction
	Bodies  [2]bool

	// Call, when not nil, says of which calls. It is asked before the call is complete.
	Call func(c *dump.Connection, n uint64) bool
}

// Collector keeps the content of calls that have not ended. It is the calls.Keeper of the station whose spans it gets, so that
// the content goes to a temporary file with its connection. It belongs to one goroutine.
type Collector struct {
	wanted  Wanted
	limits  Limits
	codings body.Codings
	open    map[stream]*connection
	last    *connection // that open was looked up for last; nil if it is not there
	spare   *connection // one that is empty, for the next connection
	held    int         // bytes of bodies in memory
	files   int         // temporary files that are open
}

// Limits bound a Collector.
type Limits struct {
	Body int64 // bytes of a body as it was recorded; what is longer is not kept. 0 means DefaultBody

	// Decoded bounds the bytes of a body without its codings. 0 means DefaultDecoded
	Decoded int64
}

// The default limits.
const (
	DefaultBody    = 64 << 20
	DefaultDecoded = 64 << 20
)

const (
	maxHeld  = 16 << 20  // bytes of all bodies in memory
	maxBody  = 256 << 10 // bytes of one body in memory
	maxFiles = 128
	maxValue = 64 << 10 // bytes of a value that is no body
	maxTotal = 1 << 20  // bytes of all values of a call
)

// stream is a connection in a window.
type stream struct{ window, conn string }

// connection is the content of the calls of a connection that are open. There is none without a call.
type connection struct {
	stream
	calls map[uint64]*Content // by their numbers
	size  int                 // bytes of memory of those that can be stored
}

// NewCollector returns a collector. It is the Keeper of calls.Options, and its Span is their Span.
func NewCollector(w Wanted, l Limits) *Collector {
	if l.Body == 0 {
		l.Body = DefaultBody
	}
	if l.Decoded == 0 {
		l.Decoded = DefaultDecoded
	}
	return &Collector{wanted: w, limits: l, codings: codings.All(), open: map[stream]*connection{}}
}

// Span adds a value of a call.
func (k *Collector) Span(c *dump.Connection, s call.Span) {
	body := s.Kind == call.KindBody
	if s.Promise {
		s.Direction = record.In // whose value it is
	}
	if body && !k.wanted.Bodies[s.Direction] || !body && !k.wanted.Headers[s.Direction] {
		// The coding of a body stands in a header field.
		if body || !k.wanted.Bodies[s.Direction] || s.Kind != call.KindHeader {
			return
		}
	}
	in := k.find(c)
	var of *Content
	if in != nil {
		of = in.calls[s.Call]
	}
	if of == nil {
		if k.wanted.Call != nil && !k.wanted.Call(c, s.Call) {
			return
		}
		if in == nil {
			in = k.add(c)
		}
		of = &Content{collector: k}
		in.calls[s.Call] = of
	} else {
		in.size -= of.memory()
	}
	of.add(k, &s)
	in.size += of.memory()
}

// find returns the connection, nil if it has no content.
func (k *Collector) find(c *dump.Connection) *connection {
	if in := k.last; in != nil && in.conn == c.Conn && in.window == c.Window {
		return in
	}
	k.last = k.open[stream{c.Window, c.Conn}]
	return k.last
}

// add adds a connection.
func (k *Collector) add(c *dump.Connection) *connection {
	in := k.spare
	if k.spare = nil; in == nil {
		in = &connection{calls: map[uint64]*Content{}}
	}
	in.stream = stream{c.Window, c.Conn}
	k.open[in.stream] = in
	k.last = in
	return in
}

// remove removes a call.
func (k *Collector) remove(in *connection, n uint64) {
	in.size -= in.calls[n].memory()
	delete(in.calls, n)
	if len(in.calls) == 0 {
		delete(k.open, in.stream)
		k.last, k.spare = nil, in
	}
}

// Take returns the content of a call that has ended. The caller closes it.
func (k *Collector) Take(c *calls.Call) *Content {
	in := k.find(c.Of)
	if in == nil || in.calls[c.N] == nil {
		return &Content{collector: k, call: &c.Call}
	}
	of := in.calls[c.N]
	k.remove(in, c.N)
	of.call = &c.Call
	return of
}

// Close frees what is kept of calls that were not taken.
func (k *Collector) Close() error {
	var errs []error
	for _, in := range k.open {
		for _, of := range in.calls {
			errs = append(errs, of.Close())
		}
	}
	clear(k.open)
	k.last = nil
	return errors.Join(errs...)
}

// Value is a value of a call that is no body.
type Value struct {
	Direction record.Direction
	Kind      call.Kind
	Name      string
	Text      string
	More      bool // it goes on in the next value of the same direction, kind and name
	Cut       bool // Text is its beginning
}
