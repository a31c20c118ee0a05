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

// Collector keeps the content of calls that have not ended. It belongs to one goroutine.
type Collector struct {
	wanted  Wanted
	limits  Limits
	codings body.Codings
	open    map[key]*Content
	held    int // bytes of bodies in memory
	files   int // temporary files that are open
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

// key is a call of a connection in a window.
type key struct {
	window, conn string
	n            uint64
}

// NewCollector returns a collector. Its Span is for calls.Options.
func NewCollector(w Wanted, l Limits) *Collector {
	if l.Body == 0 {
		l.Body = DefaultBody
	}
	if l.Decoded == 0 {
		l.Decoded = DefaultDecoded
	}
	return &Collector{wanted: w, limits: l, codings: codings.All(), open: map[key]*Content{}}
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
	id := key{c.Window, c.Conn, s.Call}
	of := k.open[id]
	if of == nil {
		if k.wanted.Call != nil && !k.wanted.Call(c, s.Call) {
			return
		}
		of = &Content{collector: k}
		k.open[id] = of
	}
	if body {
		of.bodies[s.Direction].add(k, &s)
		return
	}
	if n := len(s.Value) + len(s.Name); of.size+n <= maxTotal {
		of.size += n
		value := s.Value[:min(len(s.Value), maxValue)]
		of.values = append(of.values, Value{Direction: s.Direction, Kind: s.Kind, Name: s.Name, Text: string(value), More: s.More, Cut: len(value) < len(s.Value)})
	} else {
		of.cut = true
	}
}

// Take returns the content of a call that has ended. The caller closes it.
func (k *Collector) Take(c *calls.Call) *Content {
	id := key{c.Window, c.Conn, c.N}
	of := k.open[id]
	if of == nil {
		return &Content{collector: k, call: &c.Call}
	}
	delete(k.open, id)
	of.call = &c.Call
	return of
}

// Close frees what is kept of calls that were not taken.
func (k *Collector) Close() error {
	var errs []error
	for id, of := range k.open {
		errs = append(errs, of.Close())
		delete(k.open, id)
	}
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
