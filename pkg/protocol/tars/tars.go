// Package tars parses the protocol of TARS for package protocol
// (https://tarscloud.github.io/TarsDocs_en/base/tars-protocol.html).
//
// A call's method is the function, its target and service the servant. Its status and code
// are the return code, as a number; it has failed if that is not 0. The answers of TUP, which look like
// requests, have no return code where it could be read: their status is empty, and the call has unknown fields.
package tars

import (
	"encoding/binary"
	"errors"
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/rpc"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is TARS.
var Protocol = rpc.Protocol(call.Tars, func() rpc.Codec { return &codec{} }, match)

// Encoding is that of the spans of what follows the body and was not understood: fields of the packet, among
// them the context, as they are encoded.
const Encoding = "tars"

var errPacket = errors.New("tars: no packet begins here")

// Types of fields.
const (
	typeInt8       = 0
	typeInt16      = 1
	typeInt32      = 2
	typeInt64      = 3
	typeString1    = 6
	typeString4    = 7
	typeMap        = 8
	typeZero       = 12
	typeSimpleList = 13
)

// Tags of the fields of a request, and of an answer where they are others.
const (
	tagVersion    = 1
	tagPacketType = 2
	tagRequestID  = 4
	tagServant    = 5
	tagFunction   = 6
	tagBuffer     = 7

	tagAnswerID     = 3
	tagReturn       = 5
	tagAnswerBuffer = 6
)

const (
	oneWay    = 1 // of the packet's type
	lengthLen = 4
	maxName   = 1 << 10
)

// packet is what the leading fields of a packet say.
type packet struct {
	length            uint64 // with the bytes that say it
	version           int64
	packetType        int64
	id                int64
	answer            bool
	result            int64
	hasResult         bool
	servant, function [2]int // where they are
	end               int    // of what was read
	bodyLength        uint64
	hasBody           bool
}

// field is one of a packet.
type field struct {
	tag, kind byte
	number    int64
	text      [2]int // where a string is
}

// next reads the field at data[at:], whose text may have longest bytes; end is the offset behind it, or more bytes than there are, if it takes them. It is 0
// where there is no such field. Of a list or map only the head is read.
func next(data []byte, at, longest int) (f field, end int) {
	if at >= len(data) {
		return f, at + 1
	}
	f.tag, f.kind = data[at]>>4, data[at]&0x0f
	at++
	if f.tag == 15 {
		if at >= len(data) {
			return f, at + 1
		}
		f.tag = data[at]
		at++
	}
	size := 0
	switch f.kind {
	case typeInt8, typeString1:
		size = 1
	case typeInt16:
		size = 2
	case typeInt32, typeString4:
		size = 4
	case typeInt64:
		size = 8
	case typeZero, typeSimpleList, typeMap:
	default:
		return f, 0
	}
	end = at + size
	if end > len(data) {
		return f, end
	}
	switch b := data[at:end]; size {
	case 1:
		f.number = int64(int8(b[0]))
	case 2:
		f.number = int64(int16(binary.BigEndian.Uint16(b)))
	case 4:
		f.number = int64(int32(binary.BigEndian.Uint32(b)))
	case 8:
		f.number = int64(binary.BigEndian.Uint64(b))
	}
	if f.kind == typeString1 || f.kind == typeString4 {
		n := f.number
		if f.kind == typeString1 {
			n &= 0xff
		}
		if n < 0 || n > int64(longest) {
			return f, 0
		}
		f.text = [2]int{end, end + int(n)}
		end += int(n)
	}
	return f, end
}

func (f *field) isNumber() bool { return f.kind <= typeInt64 || f.kind == typeZero }
func (f *field) isString() bool { return f.kind == typeString1 || f.kind == typeString4 }

// read reads the leading fields of the packet that data begin with, up to its buffer;
// need is as of rpc.Codec.
func read(dir record.Direction, data []byte) (p packet, need int, err error) {
	if len(data) < lengthLen {
		return p, lengthLen, nil
	}
	p.length = uint64(binary.BigEndian.Uint32(data))
	if p.length < lengthLen+2 || p.length > rpc.MaxLength {
		return p, 0, errPacket
	}
	if uint64(len(data)) > p.length {
		data = data[:p.length]
	}
	p.answer = dir == record.Out
	p.end = lengthLen
	likeRequest := !p.answer
	var numbers [tagBuffer]int64
	for last := byte(0); uint64(p.end) < p.length; {
		f, end := next(data, p.end, maxName)
		switch {
		case end == 0 || uint64(end) > p.length:
			return p, 0, errPacket
		case end > len(data):
			return p, end, nil
		case last == 0 && f.tag != tagVersion, f.tag <= last:
			return p, 0, errPacket
		}
		if f.kind == typeMap && f.tag < tagBuffer {
			return p, 0, errPacket
		}
		if f.kind == typeSimpleList {
			if likeRequest && f.tag != tagBuffer || !likeRequest && f.tag != tagAnswerBuffer {
				return p, 0, errPacket
			}
			return p.buffer(data, end, numbers)
		}
		if f.tag >= tagBuffer {
			break // it has no buffer
		}
		last = f.tag
		switch {
		case f.tag < tagServant && f.isNumber():
			numbers[f.tag] = f.number
		case f.tag == tagServant && f.isString():
			likeRequest = true
			p.servant = f.text
		case f.tag == tagFunction && f.isString() && likeRequest:
			p.function = f.text
		case f.tag == tagReturn && f.isNumber() && p.answer:
			p.result, p.hasResult = f.number, true
			numbers[tagReturn] = 1
		default:
			return p, 0, errPacket
		}
		p.end = end
	}
	return p.done(numbers)
}

// done sets what the numbers of a packet say.
func (p *packet) done(numbers [tagBuffer]int64) (packet, int, error) {
	p.version, p.packetType = numbers[tagVersion], numbers[tagPacketType]
	p.id = numbers[tagRequestID]
	if p.answer && p.servant[1] == 0 {
		p.id, p.hasResult = numbers[tagAnswerID], true
	}
	return *p, p.end, nil
}

// buffer reads the head of a simple list: the type of its elements, and their number.
func (p *packet) buffer(data []byte, at int, numbers [tagBuffer]int64) (packet, int, error) {
	if at >= len(data) {
		return p.more(at + 1)
	}
	if data[at] != typeInt8 {
		return *p, 0, errPacket
	}
	f, end := next(data, at+1, maxName)
	switch {
	case end == 0:
		return *p, 0, errPacket
	case end > len(data):
		return p.more(end)
	case f.tag != 0 || !f.isNumber() || f.number < 0 || uint64(f.number) > p.length-uint64(end):
		return *p, 0, errPacket
	}
	p.end, p.hasBody, p.bodyLength = end, true, uint64(f.number)
	return p.done(numbers)
}

// more says that a packet needs so many bytes, if it has them.
func (p *packet) more(need int) (packet, int, error) {
	if uint64(need) > p.length {
		return *p, 0, errPacket
	}
	return *p, need, nil
}

// codec implements rpc.Codec.
type codec struct{ strings rpc.Strings }

// Head implements rpc.Codec.
func (c *codec) Head(dir record.Direction, data []byte, f *rpc.Frame) (need int, err error) {
	p, need, err := read(dir, data)
	if err != nil {
		return need, err
	}
	f.Length = p.length
	if need > len(data) {
		return need, nil
	}
	f.Identified, f.ID = true, uint64(uint32(p.id))
	f.Head = p.end
	f.HasBody, f.Body, f.BodyLength = p.hasBody, uint64(p.end), p.bodyLength
	f.Trailer = rpc.Trailer{Kind: call.KindHeader, Name: "context", Encoding: Encoding}
	f.Service, f.Method = c.strings.String(p.text(data, p.servant)), c.strings.String(p.text(data, p.function))
	f.Target = f.Service
	switch {
	case p.answer:
		f.Kind = rpc.Answer
		f.Unknown = !p.hasResult
		if p.hasResult {
			f.Code, f.Status, f.Failed = int(p.result), strconv.FormatInt(p.result, 10), p.result != 0
		}
	case p.packetType == oneWay:
		f.Kind = rpc.OneWay
	}
	return need, nil
}

func (p *packet) text(data []byte, at [2]int) []byte { return data[at[0]:at[1]] }

// Spans implements rpc.Codec.
func (c *codec) Spans(f *rpc.Frame, data []byte, span func(kind call.Kind, name string, from, to int)) {
	dir := record.In
	if f.Kind == rpc.Answer {
		dir = record.Out
	}
	p, _, err := read(dir, data)
	if err != nil {
		return
	}
	if at := p.servant; at[0] < at[1] {
		span(call.KindTarget, "servant", at[0], at[1])
	}
	if at := p.function; at[0] < at[1] {
		span(call.KindMethod, "", at[0], at[1])
	}
}

// Trailer implements rpc.TrailerCodec. The fields behind the buffer are a timeout and the maps of
// context and status, of an answer also a text about the result.
func (c *codec) Trailer(_ record.Direction, data []byte, span func(kind call.Kind, name string, from, to int)) int {
	at := 0
	for at < len(data) {
		f, end := next(data, at, rpc.MaxTrailer)
		switch {
		case end == 0 || end > len(data):
			return at
		case f.isString():
			if f.text[0] < f.text[1] {
				span(call.KindStatus, "", f.text[0], f.text[1])
			}
		case f.kind == typeMap:
			size, next := next(data, end, 0)
			if next == 0 || next > len(data) || !size.isNumber() {
				return at
			}
			end = next
			for range size.number {
				if end = c.entry(data, end, span); end < 0 {
					return at
				}
			}
		case !f.isNumber():
			return at
		}
		at = end
	}
	return at
}

// entry reports an entry of a map at data[at:], and returns the offset behind it; it is negative if there is none.
func (c *codec) entry(data []byte, at int, span func(kind call.Kind, name string, from, to int)) int {
	key, end := next(data, at, rpc.MaxTrailer)
	if end == 0 || end > len(data) || !key.isString() {
		return -1
	}
	value, end := next(data, end, rpc.MaxTrailer)
	if end == 0 || end > len(data) || !value.isString() {
		return -1
	}
	if from, to := value.text[0], value.text[1]; from < to {
		span(call.KindHeader, c.strings.String(data[key.text[0]:key.text[1]]), from, to)
	}
	return end
}

// match implements rpc.Match.
func match(dir record.Direction, data []byte, _ bool) (needed int, v parse.Verdict) {
	const largestByte = rpc.MaxSynced >> 24
	switch {
	case len(data) == 0:
		return 0, parse.Maybe
	case data[0] > largestByte, len(data) > lengthLen && data[lengthLen] != tagVersion<<4|typeInt8:
		return 0, parse.No
	}
	p, needed, err := read(dir, data)
	switch {
	case err != nil || p.length > rpc.MaxSynced:
		return 0, parse.No
	case needed > len(data):
		return needed, parse.Maybe
	case p.version < 1 || p.version > 5, p.packetType < 0 || p.packetType > oneWay, !p.hasBody:
		return 0, parse.No
	case !p.answer || !p.hasResult:
		if !rpc.IsName(p.text(data, p.servant)) || !rpc.IsName(p.text(data, p.function)) {
			return 0, parse.No
		}
	}
	return needed, parse.Yes
}
