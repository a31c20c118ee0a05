// Package bolt parses Bolt, the protocol of SOFARPC, of versions 1 and 2, for package
// protocol (https://github.com/sofastack/sofa-bolt; MOSN's pkg/protocol/xprotocol/bolt).
//
// A call's method is its command, `REQUEST`, `ONEWAY` or `HEARTBEAT`. Its target is the
// service that the header has, else the class of the request. Its status is SOFABolt's name for it, such as
// `SUCCESS` or `TIMEOUT`, its code the number. It has failed if the status is another one than `SUCCESS`, or if SOFARPC
// says in the answer's header that the service has thrown an exception.
package bolt

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/rpc"
	"mosn.io/tcpcopy/pkg/protocol/trace"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is Bolt.
var Protocol = rpc.Protocol(call.Bolt, func() rpc.Codec { return &codec{} }, match)

// Types of frames, and commands.
const (
	typeAnswer  = 0
	typeRequest = 1
	typeOneWay  = 2

	cmdHeartbeat = 0
	cmdRequest   = 1
	cmdAnswer    = 2
	cmdGoAway    = 100 // MOSN's
)

// crcSwitch is the bit of version 2's switches that says that a CRC follows the content.
const (
	crcSwitch = 1
	crcSize   = 4
)

// head is the fixed part of a frame's head:
//
//	            request               answer
//	protocol    1 byte                1 byte     1 or 2
//	version     1 byte                1 byte     of protocol 2 only: 1 or 2
//	type        1 byte                1 byte
//	command     2 bytes               2 bytes
//	version     1 byte                1 byte     of the command
//	id          4 bytes               4 bytes
//	codec       1 byte                1 byte
//	switches    1 byte                1 byte     of protocol 2 only
//	            4 bytes timeout       2 bytes status
//	class       2 bytes               2 bytes    length
//	header      2 bytes               2 bytes    length
//	content     4 bytes               4 bytes    length
type head struct {
	size            int
	version         byte // of protocol 2
	kind            byte
	command         uint16
	commandVersion  byte
	id              uint32
	switches        byte
	timeout         int32
	status          uint16
	class, header   int
	content         uint32
	trailer         int
	headerFrom, end int // of the header, in the frame
}

var errFrame = errors.New("bolt: no frame begins here")

// parseHead returns the fixed part that data begin with; need is as of rpc.Codec.
func parseHead(data []byte) (h head, need int, err error) {
	const request, answer = 22, 20
	if data[0] != 1 && data[0] != 2 {
		return h, 0, errFrame
	}
	two := int(data[0]) - 1
	h.size = request + 2*two
	if len(data) < 2+two {
		return h, 2 + two, nil
	}
	if two == 1 {
		h.version = data[1]
	}
	switch h.kind = data[1+two]; h.kind {
	case typeAnswer:
		h.size = answer + 2*two
	case typeRequest, typeOneWay:
	default:
		return h, 0, errFrame
	}
	if len(data) < h.size {
		return h, h.size, nil
	}
	b := data[2+two:]
	h.command, h.commandVersion, h.id = binary.BigEndian.Uint16(b), b[2], binary.BigEndian.Uint32(b[3:])
	b = b[8:]
	if two == 1 {
		h.switches = b[0]
		b = b[1:]
	}
	if h.kind == typeAnswer {
		h.status = binary.BigEndian.Uint16(b)
		b = b[2:]
	} else {
		h.timeout = int32(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	h.class, h.header, h.content = int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[4:])
	if h.version == 2 && h.switches&crcSwitch != 0 {
		h.trailer = crcSize
	}
	h.headerFrom = h.size + h.class
	h.end = h.headerFrom + h.header
	return h, h.size, nil
}

// codec implements rpc.Codec.
type codec struct{ strings rpc.Strings }

// Head implements rpc.Codec.
func (c *codec) Head(_ record.Direction, data []byte, f *rpc.Frame) (need int, err error) {
	h, need, err := parseHead(data)
	if err != nil || need > len(data) {
		return need, err
	}
	f.Length = uint64(h.end) + uint64(h.content) + uint64(h.trailer)
	f.Identified, f.ID = true, uint64(h.id)
	switch h.kind {
	case typeAnswer:
		f.Kind = rpc.Answer
	case typeOneWay:
		f.Kind = rpc.OneWay
	}
	if h.end > len(data) {
		return h.end, nil
	}
	f.Head = h.end
	f.HasBody, f.Body, f.BodyLength = h.content > 0, uint64(h.end), uint64(h.content)
	if f.Kind == rpc.Answer {
		c.answer(&h, data, f)
	} else {
		c.request(&h, data, f)
	}
	return h.end, nil
}

// request reads what is of interest in the head of a request.
func (c *codec) request(h *head, data []byte, f *rpc.Frame) {
	f.Method = method(h)
	var fields trace.Fields
	var sofa string
	var service, service2 []byte
	f.Unknown = !each(data[h.headerFrom:h.end], func(key, value []byte, _ int) {
		switch string(key) {
		case "sofa_head_target_service":
			service = value
		case "service":
			service2 = value
		case "rpc_trace_context.sofaTraceId":
			sofa = string(value)
		default:
			trace.Add(&fields, key, value)
		}
	})
	if service == nil {
		service = service2
	}
	f.Service = c.strings.String(service)
	f.Target = f.Service
	if f.Target == "" {
		f.Target = c.strings.String(data[h.size:h.headerFrom])
	}
	f.Trace = fields.Trace
	if fields.Source == trace.None && isHex(sofa) {
		f.Trace.TraceID = strings.ToLower(sofa)
	}
}

// isHex reports whether text may be the number of a trace.
func isHex(text string) bool {
	return len(text) >= 16 && len(text) <= 64 && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

// method returns the name of a request's command.
func method(h *head) string {
	switch {
	case h.command == cmdHeartbeat:
		return "HEARTBEAT"
	case h.command == cmdGoAway:
		return "GOAWAY"
	case h.kind == typeOneWay:
		return "ONEWAY"
	}
	return "REQUEST"
}

// answer reads what is of interest in the head of an answer.
func (c *codec) answer(h *head, data []byte, f *rpc.Frame) {
	f.Code, f.Status = int(h.status), status(h.status)
	f.Failed = h.status != 0
	f.Unknown = !each(data[h.headerFrom:h.end], func(key, value []byte, _ int) {
		if string(key) == "sofa_head_response_error" && string(value) == "true" {
			f.Failed = true
		}
	})
}

// statuses are the names of SOFABolt's ResponseStatus.
var statuses = [...]string{
	0: "SUCCESS", 1: "ERROR", 2: "SERVER_EXCEPTION", 3: "UNKNOWN", 4: "SERVER_THREADPOOL_BUSY", 5: "ERROR_COMM", 6: "NO_PROCESSOR", 7: "TIMEOUT",
	8: "CLIENT_SEND_ERROR", 9: "CODEC_EXCEPTION", 16: "CONNECTION_CLOSED", 17: "SERVER_SERIAL_EXCEPTION", 18: "SERVER_DESERIAL_EXCEPTION",
}

// status returns the name of a status; it is its number if it has none.
func status(n uint16) string {
	if int(n) < len(statuses) && statuses[n] != "" {
		return statuses[n]
	}
	return strconv.Itoa(int(n))
}

// each calls visit with the keys and values of a header, and with where the value
// begins. It reports whether the header is well-formed. A length of -1 is of null.
func each(header []byte, visit func(key, value []byte, at int)) bool {
	at := 0
	next := func() ([]byte, bool) {
		if len(header)-at < 4 {
			return nil, false
		}
		n := int32(binary.BigEndian.Uint32(header[at:]))
		at += 4
		if n == -1 {
			n = 0
		}
		if n < 0 || int(n) > len(header)-at {
			return nil, false
		}
		at += int(n)
		return header[at-int(n) : at], true
	}
	for at < len(header) {
		key, ok := next()
		if !ok {
			return false
		}
		value, ok := next()
		if !ok {
			return false
		}
		visit(key, value, at-len(value))
	}
	return true
}

// Spans implements rpc.Codec.
func (c *codec) Spans(_ *rpc.Frame, data []byte, span func(kind call.Kind, name string, from, to int)) {
	h, _, _ := parseHead(data)
	if h.class > 0 {
		span(call.KindTarget, "class", h.size, h.headerFrom)
	}
	each(data[h.headerFrom:h.end], func(key, value []byte, at int) {
		span(call.KindHeader, c.strings.String(key), h.headerFrom+at, h.headerFrom+at+len(value))
	})
}

// How much of a head is looked at to be certain that it is one.
const (
	maxStatus = 0xff
	minClass  = 4
	maxClass  = 512
	maxHeader = 4 << 10
)

// match implements rpc.Match.
func match(_ record.Direction, data []byte, searching bool) (needed int, v parse.Verdict) {
	if len(data) == 0 {
		return 0, parse.Maybe
	}
	h, need, err := parseHead(data)
	if err != nil || data[0] == 2 && len(data) > 1 && data[1] != 1 && data[1] != 2 { // the version
		return 0, parse.No
	}
	if need > len(data) {
		return need, parse.Maybe
	}
	bare := h.class == 0 // as heartbeats are, and the answers of proxies
	switch {
	case !plausible(&h):
		return 0, parse.No
	case searching && (!bare && h.class < minClass || bare && (h.header > 0 || h.content > 0 || h.command == cmdRequest)):
		return 0, parse.No
	}
	needed = h.headerFrom + min(h.header, maxHeader)
	if searching && bare {
		// It has little that is certain. From its second byte on, an answer of version 2 even looks like one of version 1. But no
		// frame follows.
		needed++
		if len(data) >= needed && data[needed-1] != 1 && data[needed-1] != 2 {
			return 0, parse.No
		}
	}
	class := data[h.size:min(h.headerFrom, len(data))]
	switch {
	case len(class) > 0 && !rpc.IsName(class):
		return 0, parse.No
	case len(data) < needed:
		return needed, parse.Maybe
	case h.header <= maxHeader && !each(data[h.headerFrom:h.end], func([]byte, []byte, int) {}):
		return 0, parse.No
	case h.header > maxHeader && int(binary.BigEndian.Uint32(data[h.headerFrom:])) > h.header-8:
		return 0, parse.No
	}
	return needed, parse.Yes
}

// plausible reports whether the fixed part of a head has values that peers send.
func plausible(h *head) bool {
	switch {
	case h.commandVersion != 1, h.switches > 3, h.class > maxClass, h.content > rpc.MaxSynced, h.header > 0 && h.header < 8:
		return false
	case h.command == cmdHeartbeat:
		if h.class != 0 || h.header != 0 || h.content != 0 {
			return false
		}
	case h.command == cmdGoAway:
		if h.kind == typeAnswer {
			return false
		}
	case h.kind == typeAnswer:
		if h.command != cmdAnswer {
			return false
		}
	case h.command != cmdRequest:
		return false
	}
	if h.kind == typeAnswer {
		return h.status <= maxStatus
	}
	return h.timeout >= -1
}
