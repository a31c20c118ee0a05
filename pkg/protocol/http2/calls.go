package http2

import (
	"math"
	"slices"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/trace"
	"mosn.io/tcpcopy/pkg/record"
)

// stream is a stream that has a call which has not been given to the sink.
type stream struct {
	id           uint32
	size         int // what it counts
	older, newer *stream

	*exchange        // nil while it is packed
	packed    []byte // what exchange was; nil while it is not packed
}

// exchange is what is known of a stream's call.
type exchange struct {
	call  call.Call
	trace trace.Fields

	began   [2]bool // a frame of the direction's message has come
	heads   [2]bool // its head has come
	interim bool    // the head of the answer that came last may be informational
	ended   [2]bool // its last frame has come
	pushed  bool    // the server has promised it
	unknown bool    // fields of its answer are not known
	typed   bool    // the content type of a message is known

	reset      bool // by either side
	code       uint32
	codeLost   bool // the code was not recorded
	status     int  // of HTTP; 0 if it is not known
	grpcStatus int  // noStatus if it has not come

	// lost and seen are what the sides' lost was when the stream was opened, and when
	// its last frame came.
	lost, seen [2]uint64

	own [2]uint64 // bytes of the messages' frames
}

// noStatus is no status of gRPC.
const noStatus = -1

// maxSpares is how many streams are kept to be used again.
const maxSpares = 16

// streamSize is roughly what a stream costs without its strings.
const streamSize = 700

func (st *stream) message(dir record.Direction) *call.Message {
	if dir == record.In {
		return &st.call.Request
	}
	return &st.call.Response
}

// begin says that the first frame of the direction's message begins at offset, if there
// was none.
func (st *stream) begin(dir record.Direction, offset uint64) {
	if !st.began[dir] {
		st.began[dir] = true
		st.message(dir).Offset = offset
	}
}

// calls are the streams that are open.
type calls struct {
	byID           map[uint32]*stream
	oldest, newest *stream
	found          *stream // the last one that was looked for
	spare          *stream // those that may be used again, linked by newer
	spares         int

	size, limit int // bytes, roughly
	scratch     []byte

	// gone are streams that ended so that frames of them may still come. They are looked up where it is
	// not known which streams there were.
	gone   [64]uint32
	goneAt int

	// early are streams that the server sent frames of before their requests, because where those begin
	// is not decided yet; earlyMany says that there are more.
	early     []uint32
	earlyMany bool

	first, last uint32 // the first and the last stream that the client was seen to open; 0 if none was
	processed   uint32 // the last stream that the server says it has processed
}

func newCalls(limit int) calls {
	return calls{byID: map[uint32]*stream{}, limit: limit, processed: math.MaxUint32}
}

// find returns the stream of an identifier, nil if there is none.
func (c *calls) find(id uint32) *stream {
	if c.found != nil && c.found.id == id {
		return c.found
	}
	st := c.byID[id]
	if st != nil {
		c.unpack(st)
		c.found = st
	}
	return st
}

// has reports whether there is a stream of an identifier.
func (c *calls) has(id uint32) bool { return c.byID[id] != nil }

// open adds a stream. lost is that of the sides.
func (c *calls) open(id uint32, n uint64, lost [2]uint64) *stream {
	st := c.spare
	if st == nil {
		st = &stream{exchange: &exchange{}}
	} else {
		c.spare = st.newer
		c.spares--
	}
	*st = stream{id: id, older: c.newest, size: streamSize, exchange: st.exchange}
	*st.exchange = exchange{grpcStatus: noStatus, lost: lost, seen: lost}
	st.call.N = n
	if c.newest != nil {
		c.newest.newer = st
	} else {
		c.oldest = st
	}
	c.newest = st
	c.byID[id] = st
	c.found = st
	c.size += st.size
	return st
}

// grow counts n bytes more for a stream.
func (c *calls) grow(st *stream, n int) {
	st.size += n
	c.size += n
}

// remove removes a stream.
func (c *calls) remove(st *stream) {
	if st.older != nil {
		st.older.newer = st.newer
	} else {
		c.oldest = st.newer
	}
	if st.newer != nil {
		st.newer.older = st.older
	} else {
		c.newest = st.older
	}
	if c.found == st {
		c.found = nil
	}
	delete(c.byID, st.id)
	c.size -= st.size
}

// reuse makes a stream that was removed one that may be used again.
func (c *calls) reuse(st *stream) {
	if c.spares < maxSpares {
		st.call = call.Call{} // its strings
		st.newer = c.spare
		c.spare = st
		c.spares++
	}
}

// forget remembers that a stream is gone although more of it may come.
func (c *calls) forget(id uint32) {
	c.gone[c.goneAt%len(c.gone)] = id
	c.goneAt++
}

func (c *calls) isGone(id uint32) bool {
	for _, gone := range c.gone[:min(c.goneAt, len(c.gone))] {
		if gone == id {
			return true
		}
	}
	return false
}

// cameEarly remembers that frames of an answer were passed over before its request came.
func (c *calls) cameEarly(id uint32) {
	switch {
	case slices.Contains(c.early, id):
	case len(c.early) < len(c.gone):
		c.early = append(c.early, id)
	default:
		c.earlyMany = true
	}
}

func (c *calls) isEarly(id uint32) bool { return c.earlyMany || slices.Contains(c.early, id) }

// upgrade opens stream 1 for a request of HTTP/1.1 that is answered in HTTP/2 (RFC 7540,
// section 3.2).
func (c *calls) upgrade(request *call.Call) {
	st := c.open(1, request.N, [2]uint64{})
	st.call = *request
	st.call.Protocol, st.call.Status, st.call.Code, st.call.Failed = call.HTTP2, "", 0, false
	st.began[record.In], st.heads[record.In], st.ended[record.In] = true, true, true
	// The answer begins with that of HTTP/1.1, which is informational.
	answer := st.call.Response
	st.began[record.Out] = answer.Present
	st.call.Response = call.Message{Range: answer.Range}
	st.own = [2]uint64{request.Request.Length, answer.Length}
	c.first, c.last = 1, 1
	c.grow(st, len(request.Method)+len(request.Target)+len(request.Host))
}
