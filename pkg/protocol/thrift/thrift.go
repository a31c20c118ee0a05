// Package thrift parses Apache Thrift for package protocol: messages in frames
// (TFramedTransport) in the binary protocol, strict or not, and in the compact one, with or without the header of THeader; and
// those of Dubbo's Thrift, which have a header of their own
// (https://github.com/apache/thrift/blob/master/doc/specs/thrift-rpc.md and its neighbours;
// MOSN's pkg/protocol/xprotocol/dubbothrift).
//
// A call's method is the method. Its target and service are the service where the message says it: in Dubbo's header,
// or in front of the method as TMultiplexedProtocol has it. The status is `OK`, or
// `EXCEPTION` if the answer is an exception, one that the method declares or one of the server
// (TApplicationException); then the call has failed.
package thrift

import (
	"encoding/binary"
	"errors"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/rpc"
	"mosn.io/tcpcopy/pkg/protocol/trace"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is Thrift.
var Protocol = rpc.Protocol(call.Thrift, func() rpc.Codec { return &codec{} }, match)

// Types of messages.
const (
	typeCall      = 1
	typeReply     = 2
	typeException = 3
	typeOneWay    = 4
)

const (
	lengthLen = 4
	maxName   = 1 << 10
	maxHeader = 64 << 10 // of THeader
)

var errFrame = errors.New("thrift: no frame begins here")

// frame is what the head of a frame says. Offsets are those in the frame.
type frame struct {
	length    uint64
	id        uint64
	service   part // in Dubbo's header
	infos     part // of THeader: the header's fields
	kind      byte // type of the message; 0 if it cannot be read
	name      part
	end       int  // of the message's header
	field     byte // type of the first field, or of the end of the fields
	number    int  // of the first field, of the binary protocol
	isCompact bool
	exception bool
	need      int // bytes that it takes
}

// part is a part of a frame.
type part struct{ from, to int }

func (p part) of(data []byte) []byte { return data[p.from:p.to] }

// reader reads the bytes of a frame. Once it has failed, it reads nothing.
type reader struct {
	data   []byte
	at     int
	length uint64 // of the frame
	more   int    // it takes so many bytes
	bad    bool
	names  bool // texts must be names
}

// next returns the next n bytes.
func (r *reader) next(n int) []byte {
	switch {
	case r.bad || r.more > 0:
		return nil
	case n < 0 || uint64(r.at)+uint64(n) > r.length:
		r.bad = true
		return nil
	case r.at+n > len(r.data):
		r.more = r.at + n
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *reader) ok() bool { return !r.bad && r.more == 0 }

func (r *reader) byte() byte {
	if b := r.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() int {
	if b := r.next(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.next(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) varint() (n uint32) {
	for shift := 0; r.ok(); shift += 7 {
		b := r.byte()
		n |= uint32(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		if shift > 28 {
			r.bad = true
		}
	}
	return n
}

// text returns where the next n bytes are.
func (r *reader) text(n uint32) part {
	from := min(r.at, len(r.data))
	if n > maxName || r.names && !isName(r.data[from:min(from+int(n), len(r.data))]) {
		r.bad = true
	}
	r.next(int(n))
	if !r.ok() {
		return part{}
	}
	return part{r.at - int(n), r.at}
}

// The first two bytes of a frame of Dubbo's, and of one with THeader.
const (
	magicDubbo  = 0xdabc
	magicHeader = 0x0fff
)

// read reads the head of the frame that data begin with. If data are not long enough,
// need says what it takes. names says that methods and services must have names as they usually are.
func read(data []byte, names bool) (f frame, err error) {
	if len(data) < lengthLen {
		f.need = lengthLen
		return f, nil
	}
	f.length = lengthLen + uint64(binary.BigEndian.Uint32(data))
	if f.length > rpc.MaxLength || f.length < lengthLen+2 {
		return f, errFrame
	}
	r := reader{data: data, at: lengthLen, length: f.length, names: names}
	if first := r.uint16(); r.ok() {
		switch {
		case first == magicDubbo:
			f.dubbo(&r)
		case first == magicHeader:
			f.theader(&r)
		default:
			r.at = lengthLen
			f.message(&r)
		}
	}
	if r.bad {
		return f, errFrame
	}
	f.need = max(r.at, r.more)
	return f, nil
}

// dubbo reads Dubbo's header: magic number (2 bytes), length of the message (4), of this
// header (2), version (1), service (4 and the text), id (8).
func (f *frame) dubbo(r *reader) {
	r.uint32()
	header := r.uint16()
	r.byte()
	f.service = r.text(r.uint32())
	b := r.next(8)
	if b == nil {
		return
	}
	id := binary.BigEndian.Uint64(b)
	if header != r.at-lengthLen {
		r.bad = true
	}
	f.message(r)
	f.id = id
}

// theader reads the header of THeader: magic number (2 bytes), flags (2), number of the
// message (4), length of the following in words of 4 bytes (2), protocol, transforms,
// fields.
func (f *frame) theader(r *reader) {
	r.uint16()
	id := r.uint32()
	size := 4 * r.uint16()
	if size > maxHeader {
		r.bad = true
	}
	from := r.at
	r.next(size)
	if !r.ok() {
		return
	}
	h := reader{data: r.data[:r.at], at: from, length: uint64(r.at)}
	protocol, transforms := h.varint(), h.varint()
	for i := uint32(0); i < transforms && h.ok(); i++ {
		h.varint()
	}
	if !h.ok() {
		r.bad = true
		return
	}
	f.infos = part{h.at, r.at}
	const binaryProtocol, compactProtocol = 0, 2
	if transforms > 0 || protocol != binaryProtocol && protocol != compactProtocol {
		f.id, f.end = uint64(id), r.at
		return
	}
	f.message(r)
	f.id = uint64(id)
}

// message reads the header of a message.
func (f *frame) message(r *reader) {
	const compact = 0x82
	switch first := r.byte(); {
	case !r.ok():
	case first == compact:
		f.compact(r)
	case first == 0x80:
		f.strict(r)
	default:
		r.at--
		f.old(r)
	}
}

// strict reads a message of the binary protocol: version (2 bytes), 0, type, name,
// number.
func (f *frame) strict(r *reader) {
	if r.byte() != 1 && r.ok() {
		r.bad = true
	}
	r.byte()
	f.kind = r.byte()
	f.name = r.text(r.uint32())
	f.id = uint64(r.uint32())
	f.binaryField(r)
}

// old reads a message of the binary protocol that is not strict: name, type, number.
func (f *frame) old(r *reader) {
	n := r.uint32()
	if n == 0 && r.ok() {
		r.bad = true
	}
	f.name = r.text(n)
	f.kind = r.byte()
	f.id = uint64(r.uint32())
	f.binaryField(r)
}

// compact reads a message of the compact protocol: version and type (1 byte), number,
// name.
func (f *frame) compact(r *reader) {
	b := r.byte()
	if b&0x1f != 1 && r.ok() {
		r.bad = true
	}
	f.isCompact, f.kind = true, b>>5
	f.id = uint64(r.varint())
	f.name = r.text(r.varint())
	if !f.head(r) {
		return
	}
	b = r.byte()
	f.field = b & 0x0f
	if f.kind != typeReply || b == 0 {
		return
	}
	if b>>4 == 0 {
		f.exception = r.varint() != 0 // the field's number
	} else {
		f.exception = true // the field's number is greater than 0
	}
}

// head ends the header of a message. It reports whether the first field is to be read.
func (f *frame) head(r *reader) bool {
	if !r.ok() {
		return false
	}
	if f.kind < typeCall || f.kind > typeOneWay {
		r.bad = true
		return false
	}
	f.end = r.at
	f.exception = f.kind == typeException
	return true
}

// binaryField reads the type of the first field and its number, which in a reply is 0 for
// the value and others for exceptions.
func (f *frame) binaryField(r *reader) {
	if !f.head(r) {
		return
	}
	if f.field = r.byte(); f.field != 0 {
		f.number = r.uint16()
		f.exception = f.exception || f.kind == typeReply && f.number != 0
	}
}

// codec implements rpc.Codec.
type codec struct{ strings rpc.Strings }

// Head implements rpc.Codec.
func (c *codec) Head(dir record.Direction, data []byte, f *rpc.Frame) (need int, err error) {
	h, err := read(data, false)
	if err != nil {
		return 0, err
	}
	f.Length = h.length
	if h.need > len(data) {
		return h.need, nil
	}
	f.Identified, f.ID, f.Head = true, h.id, h.end
	f.HasBody, f.Body, f.BodyLength = true, uint64(h.end), h.length-uint64(h.end)
	name := h.name.of(data)
	f.Service = c.strings.String(h.service.of(data))
	if at := colon(name); at > 0 && h.service.to == 0 {
		f.Service = c.strings.String(name[:at])
		name = name[at+1:]
	}
	f.Target, f.Method = f.Service, c.strings.String(name)
	var fields trace.Fields
	h.each(data, func(key, value part) { trace.Add(&fields, key.of(data), value.of(data)) })
	f.Trace = fields.Trace
	switch h.kind {
	case typeReply, typeException:
		f.Kind, f.Status = rpc.Answer, "OK"
		if h.exception {
			f.Status, f.Failed = "EXCEPTION", true
		}
	case typeOneWay:
		f.Kind = rpc.OneWay
	case 0:
		f.Unknown, f.MayBeOneWay = true, true
		if dir == record.Out {
			f.Kind = rpc.Answer
		}
	}
	return h.need, nil
}

// colon returns where the service's name ends in a name of TMultiplexedProtocol.
func colon(name []byte) int {
	for i, c := range name {
		if c == ':' && i < len(name)-1 {
			return i
		}
	}
	return 0
}

// each calls visit for the fields of THeader.
func (f *frame) each(data []byte, visit func(key, value part)) {
	const keyValues, persistent = 1, 2
	r := reader{data: data[:f.infos.to], at: f.infos.from, length: uint64(f.infos.to)}
	for r.at < f.infos.to && r.ok() {
		if kind := r.varint(); kind != keyValues && kind != persistent {
			return // 0 fills up the last word; others are not known
		}
		for n := r.varint(); n > 0 && r.ok(); n-- {
			key := r.value()
			if value := r.value(); r.ok() {
				visit(key, value)
			}
		}
	}
}

// value returns where the next text of THeader's is.
func (r *reader) value() part {
	n := r.varint()
	r.next(int(n))
	if !r.ok() {
		return part{}
	}
	return part{r.at - int(n), r.at}
}

// Spans implements rpc.Codec.
func (c *codec) Spans(_ *rpc.Frame, data []byte, span func(kind call.Kind, name string, from, to int)) {
	h, err := read(data, false)
	if err != nil {
		return
	}
	if h.service.from < h.service.to {
		span(call.KindTarget, "service", h.service.from, h.service.to)
	}
	h.each(data, func(key, value part) {
		if value.from < value.to {
			span(call.KindHeader, c.strings.String(key.of(data)), value.from, value.to)
		}
	})
	if h.name.from < h.name.to {
		span(call.KindMethod, "", h.name.from, h.name.to)
	}
}

// match implements rpc.Match.
func match(dir record.Direction, data []byte, searching bool) (needed int, v parse.Verdict) {
	if len(data) == 0 {
		return 0, parse.Maybe
	}
	largest := byte(rpc.MaxSynced >> 24)
	if searching {
		// What THeader has in front of a message begins like the length of a long frame. Servers accept 16 MB unless
		// configured otherwise.
		largest = 0
	}
	if data[0] > largest {
		return 0, parse.No
	}
	if len(data) > lengthLen {
		switch data[lengthLen] {
		case 0, 0x80, 0x82, magicDubbo >> 8, magicHeader >> 8:
		default:
			return 0, parse.No
		}
	}
	f, err := read(data, true)
	switch {
	case err != nil || f.length > rpc.MaxSynced:
		return 0, parse.No
	case f.need > len(data):
		return f.need, parse.Maybe
	case f.kind == 0: // a transform of THeader
		return f.need, parse.Yes
	case (f.kind == typeReply || f.kind == typeException) != (dir == record.Out):
		return 0, parse.No
	case f.name.from == f.name.to, f.field > maxType || f.field == 1 && !f.isCompact, f.field == 0 && f.length != uint64(f.need):
		return 0, parse.No
	case searching && !f.isCompact && data[lengthLen] == 0 && (f.name.to-f.name.from < minName || f.number > maxNumber):
		return 0, parse.No // of a message that is not strict not much else is certain
	}
	return f.need, parse.Yes
}

const (
	maxType   = 16   // greatest type of a field, of both protocols; the binary one has no 1
	minName   = 3    // bytes of a name that is believed
	maxNumber = 1024 // likewise, of the first field
)

// isName reports whether b may be the name of a method or service, or its beginning.
func isName(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '.', c == ':', c == '$', c == '-', c == '/':
		default:
			return false
		}
	}
	return true
}
