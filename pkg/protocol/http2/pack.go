package http2

import (
	"bytes"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/trace"
)

// Streams that wait for their answers are packed when there are many: as bytes they need
// about a quarter of the memory. Servers of gRPC set no limit to how many streams are open at the same time.

// packedSize is roughly what a packed stream costs without its bytes.
const packedSize = 96

// packAll packs all streams that may be.
func (c *calls) packAll() {
	for st := c.oldest; st != nil; st = st.newer {
		// Those without the head of a request are looked through as they are.
		if st.exchange != nil && st.heads[0] {
			c.pack(st)
		}
	}
	c.found = nil
}

func (c *calls) pack(st *stream) {
	c.scratch = st.exchange.append(c.scratch[:0])
	st.packed = bytes.Clone(c.scratch)
	st.exchange = nil
	c.grow(st, packedSize+len(st.packed)-st.size)
}

// unpack makes a stream one that is not packed.
func (c *calls) unpack(st *stream) {
	if st.exchange == nil {
		st.exchange = st.unpacked()
		st.packed = nil
		c.grow(st, streamSize+st.strings()-st.size)
	}
}

// unpacked returns what is known of the call of a stream, packed or not.
func (st *stream) unpacked() *exchange {
	if st.exchange != nil {
		return st.exchange
	}
	x := &exchange{}
	x.read(parse.NewStateReader(st.packed))
	return x
}

// strings returns how many bytes the strings of a call count.
func (x *exchange) strings() int { return len(x.call.Method) + len(x.call.Target) + len(x.call.Host) }

// append appends the state of a call.
func (x *exchange) append(dst []byte) []byte {
	b := parse.State(dst)
	c := &x.call
	b.Uint(c.N)
	flags := uint64(0)
	for i, f := range x.flags() {
		if *f {
			flags |= 1 << i
		}
	}
	b.Uint(flags)
	b.String(c.Protocol)
	b.String(c.Method)
	b.String(c.Target)
	path, _, _ := strings.Cut(c.Target, "?")
	switch c.Path {
	case path:
		b.Uint(0)
	case "/" + c.Target:
		b.Uint(1)
	default:
		b.Uint(2)
		b.String(c.Path)
	}
	b.String(c.Host)
	if rest, ok := strings.CutPrefix(c.Target, c.Service); ok && c.Service != "" && strings.LastIndexByte(rest, '/') == 0 {
		b.Uint(0)
	} else {
		b.Uint(1)
		b.String(c.Service)
	}
	b.String(c.Status)
	b.Uint(uint64(c.Code)) //nolint:gosec // it is not negative
	b.Uint(uint64(c.Incomplete))
	b.String(c.Trace.TraceID)
	b.String(c.Trace.SpanID)
	b.Bool(x.trace.Trace == c.Trace)
	if x.trace.Trace != c.Trace {
		b.String(x.trace.TraceID)
		b.String(x.trace.SpanID)
	}
	b.Uint(uint64(x.trace.Source))
	b.Message(&c.Request)
	b.Message(&c.Response)
	b.Uint(uint64(x.status))         //nolint:gosec // it is not negative
	b.Uint(uint64(x.grpcStatus + 1)) //nolint:gosec // noStatus is -1
	b.Uint(uint64(x.code))
	for dir := range x.lost {
		b.Uint(x.lost[dir])
		b.Uint(x.seen[dir])
		b.Uint(x.own[dir])
	}
	return b
}

// read reads what append has appended.
func (x *exchange) read(b *parse.StateReader) {
	c := &x.call
	c.N = b.Uint()
	flags := b.Uint()
	for i, f := range x.flags() {
		*f = flags>>i&1 == 1
	}
	c.Protocol, c.Method, c.Target = intern(b.String()), intern(b.String()), b.String()
	switch b.Uint() {
	case 0:
		c.Path, _, _ = strings.Cut(c.Target, "?")
	case 1:
		c.Path = "/" + c.Target
	default:
		c.Path = b.String()
	}
	c.Host = b.String()
	if b.Uint() == 0 {
		c.Service = c.Target[:max(strings.LastIndexByte(c.Target, '/'), 0)]
	} else {
		c.Service = b.String()
	}
	c.Status, c.Code = b.String(), int(b.Uint()) //nolint:gosec // it was one
	c.Incomplete = call.Incomplete(b.Uint())     //nolint:gosec // it was one
	c.Trace = call.Trace{TraceID: b.String(), SpanID: b.String()}
	x.trace.Trace = c.Trace
	if !b.Bool() {
		x.trace.Trace = call.Trace{TraceID: b.String(), SpanID: b.String()}
	}
	x.trace.Source = trace.Source(b.Uint()) //nolint:gosec // it was one
	b.Message(&c.Request)
	b.Message(&c.Response)
	x.status = int(b.Uint())         //nolint:gosec // it was one
	x.grpcStatus = int(b.Uint()) - 1 //nolint:gosec // it was one
	x.code = uint32(b.Uint())        //nolint:gosec // it was one
	for dir := range x.lost {
		x.lost[dir], x.seen[dir], x.own[dir] = b.Uint(), b.Uint(), b.Uint()
	}
}

// flags returns all that is true or false of a call, beside its messages.
func (x *exchange) flags() []*bool {
	c := &x.call
	return []*bool{
		&c.Failed, &c.Interleaved,
		&x.began[0], &x.began[1], &x.heads[0], &x.heads[1], &x.ended[0], &x.ended[1], &x.interim, &x.pushed, &x.unknown, &x.typed, &x.reset, &x.codeLost,
	}
}

// intern returns s as a string that is in the program, if it is one.
func intern(s string) string {
	for _, known := range [...]string{call.GRPC, call.HTTP2, "POST", "GET"} {
		if s == known {
			return known
		}
	}
	return s
}
