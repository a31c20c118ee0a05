package http2

import (
	"bytes"
	"strconv"
	"strings"
	"unsafe"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/trace"
	"mosn.io/tcpcopy/pkg/record"
)

// methodConnect is the method that needs no path.
const methodConnect = "CONNECT"

// shape is what a header block looks like. A block is the head of a request if it has one of
// its pseudo-header fields, and the head of an answer if it has a status; trailers have
// neither.
type shape struct {
	request, response bool
	informational     bool
	// unclear says that it may be a head, because its first fields are unknown: those of
	// a head come first.
	unclear bool
	unknown bool // not all fields are known
}

func shapeOf(fields []field, known bool) shape {
	s := shape{unclear: !known, unknown: !known}
	for i := range fields {
		f := &fields[i]
		switch {
		case f.kind == fieldStatus:
			s.response = true
			s.informational = isInformational(f)
		case f.kind.isPseudo():
			s.request = true
		case f.kind == fieldUnknown && i == 0:
			s.unclear = true
		}
		s.unknown = s.unknown || f.kind == fieldUnknown || !f.known
	}
	s.unclear = s.unclear && !s.request && !s.response
	return s
}

func isInformational(status *field) bool {
	text := status.string()
	return len(text) == 3 && text[0] == '1'
}

// mayBeHead reports whether a block that has no certain sign of it may be a head. Trailers end
// their stream.
func (s *shape) mayBeHead(end bool) bool { return s.unclear && !end }

// fields adds a header block, which ends where s is now, to its call. known says that it could be
// decoded whole.
func (p *parser) fields(s *parse.Stream, d *side, fields []field, known bool) {
	h := &d.block
	dir := s.Dir()
	is := shapeOf(fields, known)
	var st *stream
	var head bool
	switch {
	case h.promised != 0:
		st = p.promise(h.promised)
		head = st != nil
	case dir == record.In:
		st, head = p.requestBlock(h, is)
	default:
		st, head = p.answerBlock(h, is)
	}
	if p.env.Spans {
		n := uint64(0)
		if st != nil {
			n = st.call.N
		}
		p.spans(dir, n, h, fields)
	}
	if st == nil {
		return
	}
	if is.unknown {
		st.call.Incomplete |= call.UnknownFields
		st.unknown = st.unknown || dir == record.Out && h.promised == 0
	}
	switch {
	case h.promised != 0:
		p.requestHead(st, fields)
		st.call.Request.Present, st.call.Request.Ended = true, true
		st.call.Request.First, st.call.Request.Last = h.first, s.LastTime()
		st.heads[record.In], st.ended[record.In] = true, true
		p.evict()
		return
	case dir == record.In && head:
		st.begin(dir, h.start)
		st.call.Request.Present, st.call.Request.First = true, h.first
		st.heads[dir] = true
		p.requestHead(st, fields)
	case dir == record.Out:
		st.begin(dir, h.start)
		p.answerFields(st, h, fields, head)
	default:
		st.begin(dir, h.start)
	}
	p.cover(st, s)
	if h.end {
		p.bodyEnds(st, s)
		p.ends(st, dir)
	}
	p.evict()
}

// lostFields says that a header block, which ends where s is now, was not recorded whole.
func (p *parser) lostFields(s *parse.Stream, d *side) {
	h := &d.block
	dir := s.Dir()
	if dir == record.In && h.stream&1 == 1 {
		p.calls.last = max(p.calls.last, h.stream)
	}
	st := p.calls.find(h.stream)
	if st == nil || h.promised != 0 {
		return
	}
	st.begin(dir, h.start)
	st.call.Incomplete |= call.Gap
	st.unknown = st.unknown || dir == record.Out
	p.cover(st, s)
	if h.end {
		p.ends(st, dir)
	}
}

// requestBlock returns the stream that a block of the client is of; nil if it is of none
// whose call is known. head says that it is the request's head.
func (p *parser) requestBlock(h *headerBlock, is shape) (st *stream, head bool) {
	c := &p.calls
	st = c.find(h.stream)
	torn := p.sides[record.In].torn
	if st != nil && st.ended[record.In] {
		return nil, false
	}
	if st != nil {
		return st, !st.heads[record.In] && (is.request || is.mayBeHead(h.end))
	}
	if h.stream&1 == 0 || h.stream <= c.last || c.isGone(h.stream) {
		return nil, false
	}
	if c.first == 0 {
		c.first = h.stream
	}
	c.last = h.stream
	if torn && !is.request && !is.mayBeHead(h.end) {
		return nil, false
	}
	st = p.open(h.stream)
	if c.isEarly(h.stream) {
		p.unsure(st, record.Out)
	}
	return st, true
}

// answerBlock returns the stream that a block of the server is of; nil if it is of none
// whose call is known. head says that it is the answer's head, or an informational one.
func (p *parser) answerBlock(h *headerBlock, is shape) (st *stream, head bool) {
	c := &p.calls
	st = c.find(h.stream)
	maybe := is.response || is.mayBeHead(h.end)
	if st == nil {
		// Streams that are not known are those whose request was not recorded. Where all requests
		// were, they have ended.
		if !maybe || is.informational && !h.end {
			p.unasked(h.stream)
			return nil, false
		}
		if c.isGone(h.stream) || h.stream&1 == 0 && !p.sides[record.Out].torn ||
			h.stream&1 == 1 && !p.sides[record.In].torn && h.stream <= c.last {
			return nil, false
		}
		return p.open(h.stream), true
	}
	switch {
	case st.ended[record.Out]:
		return nil, false
	case !st.heads[record.Out]:
		return st, maybe || !p.uncertain(st, record.Out)
	case st.interim:
		return st, maybe
	}
	return st, false
}

// promise opens the stream that a server promises; nil if there was one.
func (p *parser) promise(id uint32) *stream {
	if p.calls.find(id) != nil || id&1 == 1 {
		return nil
	}
	st := p.open(id)
	st.pushed = true
	return st
}

func (p *parser) open(id uint32) *stream {
	return p.calls.open(id, p.env.Next(), [2]uint64{p.sides[0].lost, p.sides[1].lost})
}

// requestHead adds the head of a request.
func (p *parser) requestHead(st *stream, fields []field) {
	c := &st.call
	c.Protocol = call.HTTP2
	var host string
	for i := range fields {
		f := &fields[i]
		switch f.kind {
		case fieldMethod:
			c.Method = f.string()
		case fieldPath:
			c.Target = f.string()
		case fieldAuthority:
			c.Host = f.string()
		case fieldHost:
			host = f.string()
		case fieldContentType:
			p.contentType(st, f)
		case fieldTrace:
			trace.Add(&st.trace, f.name, f.string())
		}
	}
	c.Trace = st.trace.Trace
	if c.Host == "" {
		c.Host = host
	}
	path := c.Target
	if c.Method == methodConnect && c.Target == "" {
		c.Target = c.Host
	}
	c.Path, _, _ = strings.Cut(path, "?")
	p.nameRPC(st)
	p.calls.grow(st, len(c.Method)+len(c.Target)+len(c.Host))
}

// answerFields adds a header block of an answer.
func (p *parser) answerFields(st *stream, h *headerBlock, fields []field, head bool) {
	c := &st.call
	m := &c.Response
	status, text := 0, ""
	for i := range fields {
		f := &fields[i]
		switch f.kind {
		case fieldStatus:
			text = f.string()
			status, _ = strconv.Atoi(text)
		case fieldContentType:
			if head {
				p.contentType(st, f)
			}
		case fieldGRPCStatus:
			if code, err := strconv.Atoi(f.string()); err == nil && code >= 0 {
				st.grpcStatus = code
			}
			if h.end && !head && !st.typed && c.Incomplete&call.UnknownFields != 0 {
				// The content type is among what is unknown, and nothing but gRPC has this trailer: gRPC-Web has
				// it in the body, or in the head.
				c.Protocol = call.GRPC
				p.nameRPC(st)
			}
		}
	}
	if !head {
		return
	}
	if c.Protocol == "" {
		c.Protocol = call.HTTP2
	}
	st.heads[record.Out] = true
	interim := status >= 100 && status < 200 && !h.end
	st.interim = interim || status == 0
	if interim {
		return
	}
	m.Present, m.First = true, h.first
	st.status, c.Status = status, text
	p.answerBegins(st)
}

// answerBegins says that the final answer begins while the request may go on.
func (p *parser) answerBegins(st *stream) {
	if st.heads[record.In] && !st.ended[record.In] {
		st.call.Interleaved = true
	}
}

// contentType makes the call one of gRPC if that is what the field says.
func (p *parser) contentType(st *stream, f *field) {
	st.typed = st.typed || f.known
	if f.raw != nil && isGRPC(f.raw) || f.raw == nil && isGRPC(f.text) {
		st.call.Protocol = call.GRPC
		p.nameRPC(st)
	}
}

// isGRPC reports whether a content type is that of gRPC. That of gRPC-Web is not: its
// status is in the body.
func isGRPC[T string | []byte](value T) bool {
	const grpc = "application/grpc"
	return len(value) >= len(grpc) && string(value[:len(grpc)]) == grpc &&
		(len(value) == len(grpc) || value[len(grpc)] == '+' || value[len(grpc)] == ';' || value[len(grpc)] == ' ')
}

// nameRPC makes the target of a call of gRPC service/method.
func (p *parser) nameRPC(st *stream) {
	c := &st.call
	if c.Protocol != call.GRPC || c.Path == "" {
		return
	}
	c.Target = strings.TrimPrefix(c.Path, "/")
	c.Service = c.Target[:max(strings.LastIndexByte(c.Target, '/'), 0)]
}

// spans reports the values of a header block.
func (p *parser) spans(dir record.Direction, n uint64, h *headerBlock, fields []field) {
	for i := range fields {
		f := &fields[i]
		if !f.known {
			continue
		}
		value := f.raw
		if value == nil {
			// Without a copy: a few bytes may refer to a long value often. Sinks do not change it.
			value = unsafe.Slice(unsafe.StringData(f.text), len(f.text))
		}
		span := call.Span{Call: n, Direction: dir, Kind: call.KindHeader, Name: f.name, Promise: h.promised != 0}
		switch f.kind {
		case fieldMethod:
			span.Kind, span.Name = call.KindMethod, ""
		case fieldPath:
			span.Kind, span.Name = call.KindTarget, ""
		case fieldStatus:
			span.Kind, span.Name = call.KindStatus, ""
		}
		p.span(span, h, f, value, 0)
		if f.kind == fieldPath {
			p.querySpans(n, dir, h, f, value)
		}
	}
}

// querySpans reports the values of a target's query.
func (p *parser) querySpans(n uint64, dir record.Direction, h *headerBlock, f *field, target []byte) {
	_, query, _ := bytes.Cut(target, []byte("?"))
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		name, value, _ := bytes.Cut(pair, []byte("="))
		if len(value) > 0 {
			span := call.Span{Call: n, Direction: dir, Kind: call.KindQuery, Name: string(name), Promise: h.promised != 0}
			p.span(span, h, f, value, cap(target)-cap(value))
		}
	}
}

// span reports value, which is a field's value from a byte of it on, with where it is. A part of a Huffman code
// is not on whole bytes, so it is where the whole one is.
func (p *parser) span(span call.Span, h *headerBlock, f *field, value []byte, from int) {
	at, length := f.at, f.length
	switch {
	case f.length == 0:
	case f.huffman:
		span.Encoding = Huffman
	default:
		at, length = f.at+from, len(value)
	}
	h.where(at, length, func(r call.Range, more bool) {
		span.Range, span.More, span.Value = r, more, value
		if length > 0 && !f.huffman {
			span.Value = value[:r.Length]
		}
		value = value[len(span.Value):]
		p.env.Sink.Span(span)
	})
}

// Huffman is the encoding of spans whose bytes are a Huffman code (RFC 7541, section 5.2). One that is in
// several frames has its value in the first span.
const Huffman = "huffman"
