// Package dubbo parses the protocol of Apache Dubbo, the one with the magic number
// 0xdabb, for package protocol
// (https://dubbo.apache.org/en/docs/v2.7/dev/implementation/#remote-communication-details).
//
// A call's method is the method, its target and service the path of the service. They
// are strings that the body begins with, which are read where it is Hessian 2 or JSON.
// Of other serializations they are empty, and the call has unknown fields. Heartbeats are calls with the method `heartbeat`,
// the message of a server that it is about to end is `readonly`.
//
// The status is Dubbo's name for the status of the answer, its code the number. A call has failed if that is not `OK`, or if
// the value is an exception.
package dubbo

import (
	"encoding/binary"
	"errors"
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/rpc"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is Dubbo.
var Protocol = rpc.Protocol(call.Dubbo, func() rpc.Codec { return &codec{} }, match)

// The header of a frame: magic number (2 bytes), flags and serialization (1), status of
// an answer (1), id (8), length of the body (4).
const (
	headerSize = 16

	flagRequest   = 0x80
	flagTwoWay    = 0x40
	flagEvent     = 0x20
	serialization = 0x1f

	statusOK = 20
)

// Serializations whose strings are read
// (org.apache.dubbo.common.serialize.Constants).
const (
	hessian2 = 2
	fastjson = 6
	gson     = 16
)

var errFrame = errors.New("dubbo: no frame begins here")

// head is the header of a frame and what the body begins with.
type head struct {
	flags  byte
	status byte
	id     uint64
	length uint32 // of the body

	readable bool                 // the following could be read
	strings  [leadingStrings]text // of a request
	result   byte                 // of an answer: one of the results
	end      int                  // of what was read
}

// The strings that the body of a request begins with.
const (
	dubboVersion = iota
	service
	serviceVersion
	method
	leadingStrings
)

// The values that the body of an answer begins with
// (org.apache.dubbo.rpc.protocol.dubbo.DubboCodec).
const (
	exception                 = 0
	exceptionAttachments      = 3
	nullWithAttachments       = 5
	noResult             byte = 0xff
)

func (h *head) isRequest() bool { return h.flags&flagRequest != 0 }
func (h *head) isEvent() bool   { return h.flags&flagEvent != 0 }

// read reads the head of the frame that data begin with; need is as of rpc.Codec.
func read(data []byte) (h head, need int, err error) {
	if data[0] != 0xda || len(data) > 1 && data[1] != 0xbb {
		return h, 0, errFrame
	}
	if len(data) < 2 {
		return h, 2, nil
	}
	if len(data) < headerSize {
		return h, headerSize, nil
	}
	h.flags, h.status = data[2], data[3]
	h.id, h.length = binary.BigEndian.Uint64(data[4:]), binary.BigEndian.Uint32(data[12:])
	if h.length > rpc.MaxLength {
		return h, 0, errFrame
	}
	h.end, h.result = headerSize, noResult
	body := data[headerSize:]
	if uint64(len(body)) > uint64(h.length) {
		body = body[:h.length]
	}
	switch {
	case h.isEvent() || !h.isRequest() && h.status != statusOK:
		need, h.readable = int(min(2, h.length)), true
	case h.isRequest():
		need = h.readStrings(body)
	default:
		need = h.readResult(body)
	}
	if uint64(need) > uint64(h.length) {
		h.readable, need = false, 0 // the frame ends within it
	}
	if !h.readable {
		h.end = headerSize
	}
	return h, headerSize + need, nil
}

// readStrings reads the strings that the body of a request begins with, and returns how
// many bytes of it that takes.
func (h *head) readStrings(body []byte) (need int) {
	next := hessianString
	switch h.flags & serialization {
	case hessian2:
	case fastjson, gson:
		next = jsonString
	default:
		return 0
	}
	at := 0
	for i := range h.strings {
		t, n := next(body, at)
		if n <= 0 || n > len(body) {
			return max(n, 0)
		}
		h.strings[i] = t
		at = n
	}
	h.readable, h.end = true, headerSize+at
	return at
}

// readResult reads the number that the body of an answer begins with.
func (h *head) readResult(body []byte) (need int) {
	if h.length == 0 {
		return 0
	}
	if len(body) == 0 {
		return 1
	}
	switch h.flags & serialization {
	case hessian2:
		// The numbers that are here have one byte.
		h.result = body[0] - 0x90
	case fastjson, gson:
		h.result = body[0] - '0'
	}
	h.readable = h.result <= nullWithAttachments
	return 1
}

// codec implements rpc.Codec.
type codec struct{ strings rpc.Strings }

// Head implements rpc.Codec.
func (c *codec) Head(_ record.Direction, data []byte, f *rpc.Frame) (need int, err error) {
	h, need, err := read(data)
	if err != nil || len(data) < headerSize {
		return need, err
	}
	f.Length = headerSize + uint64(h.length)
	f.Identified, f.ID = true, h.id
	switch {
	case !h.isRequest():
		f.Kind = rpc.Answer
	case h.flags&flagTwoWay == 0:
		f.Kind = rpc.OneWay
	}
	if need > len(data) {
		return need, nil
	}
	f.Head = h.end
	f.HasBody, f.Body, f.BodyLength = h.length > 0, headerSize, uint64(h.length)
	f.Unknown = !h.readable
	switch {
	case !h.isRequest():
		f.Code, f.Status = int(h.status), status(h.status)
		f.Failed = h.status != statusOK || h.result == exception || h.result == exceptionAttachments
	case h.isEvent():
		f.Method = event(&h, data)
	case h.readable:
		f.Service = c.strings.String(h.strings[service].of(data))
		f.Target, f.Method = f.Service, c.strings.String(h.strings[method].of(data))
	}
	return need, nil
}

// event returns the name of an event. It is null for a heartbeat, and "R" for a server
// that is about to end.
func event(h *head, data []byte) string {
	body := data[headerSize:min(len(data), headerSize+int(min(h.length, 8)))]
	if len(body) > 1 && (body[0] == 1 || body[0] == '"') && body[1] == 'R' {
		return "readonly"
	}
	return "heartbeat"
}

// Spans implements rpc.Codec.
func (c *codec) Spans(_ *rpc.Frame, data []byte, span func(kind call.Kind, name string, from, to int)) {
	h, _, err := read(data)
	if err != nil || !h.readable || !h.isRequest() || h.isEvent() {
		return
	}
	for i, value := range [leadingStrings]struct {
		kind call.Kind
		name string
	}{{call.KindHeader, "dubbo"}, {call.KindTarget, "service"}, {call.KindHeader, "version"}, {call.KindMethod, ""}} {
		if t := h.strings[i]; t.from < t.to {
			span(value.kind, value.name, headerSize+t.from, headerSize+t.to)
		}
	}
}

// status returns the name of a status; it is its number if it has none
// (org.apache.dubbo.remoting.exchange.Response).
func status(n byte) string {
	switch n {
	case statusOK:
		return "OK"
	case 25:
		return "SERIALIZATION_ERROR"
	case 30:
		return "CLIENT_TIMEOUT"
	case 31:
		return "SERVER_TIMEOUT"
	case 35:
		return "CHANNEL_INACTIVE"
	case 40:
		return "BAD_REQUEST"
	case 50:
		return "BAD_RESPONSE"
	case 60:
		return "SERVICE_NOT_FOUND"
	case 70:
		return "SERVICE_ERROR"
	case 80:
		return "SERVER_ERROR"
	case 90:
		return "CLIENT_ERROR"
	case 100:
		return "SERVER_THREADPOOL_EXHAUSTED_ERROR"
	}
	return strconv.Itoa(int(n))
}

// match implements rpc.Match.
func match(_ record.Direction, data []byte, searching bool) (needed int, v parse.Verdict) {
	if len(data) == 0 {
		return 0, parse.Maybe
	}
	h, needed, err := read(data)
	switch {
	case err != nil:
		return 0, parse.No
	case len(data) < headerSize:
		return needed, parse.Maybe
	case h.length > rpc.MaxSynced, h.flags&serialization == 0:
		return 0, parse.No
	case h.isRequest() && (h.status != 0 || h.length == 0), !h.isRequest() && (h.flags&flagTwoWay != 0 || h.status < statusOK || h.status > 100):
		return 0, parse.No
	case h.isEvent() && h.length > 1<<10:
		return 0, parse.No
	case needed > len(data):
		return needed, parse.Maybe
	}
	if searching && h.flags&serialization == hessian2 {
		switch {
		case h.isEvent() || !h.isRequest() && h.status != statusOK:
			if h.length > 0 && !beginsHessian(data[headerSize]) {
				return 0, parse.No
			}
		case !h.readable, h.isRequest() && !rpc.IsName(h.strings[method].of(data)):
			return 0, parse.No
		}
	}
	return needed, parse.Yes
}

// beginsHessian reports whether a value of Hessian 2 that stands for an event or a
// message may begin with b: null, a boolean or a string.
func beginsHessian(b byte) bool {
	switch {
	case b == 'N', b == 'T', b == 'F', b == 'S', b == 'R', b < 0x20, b >= 0x30 && b <= 0x33:
		return true
	}
	return false
}
