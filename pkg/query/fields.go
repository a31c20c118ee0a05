package query

import (
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// kind is the type of an expression.
type kind uint8

const (
	kindNil      kind = iota
	kindBool          // a condition
	kindText          // also header fields and bodies
	kindInt           // a whole number without a unit
	kindFloat         // a number with a fraction
	kindDuration      // nanoseconds
	kindSize          // bytes
	kindTime
	kindTexts   // a list of text
	kindJSON    // what fromJSON returns: known only when it is evaluated
	kindMessage // request or response as a whole, which can only be compared with nil
	kindHeaders
)

var kindNames = [...]string{
	kindNil: "nil", kindBool: "a condition", kindText: "text", kindInt: "a number", kindFloat: "a number", kindDuration: "a duration",
	kindSize: "a size", kindTime: "a time", kindTexts: "a list", kindJSON: "a JSON value", kindMessage: "a message", kindHeaders: "a set of header fields",
}

// String returns what k is called in errors.
func (k kind) String() string { return kindNames[k] }

// field is a field of a call. One of its functions is not nil, by its kind.
type field struct {
	name string
	kind kind
	doc  string // the row of docs/calls.md has it

	// key is the field's name in the JSON form of a call, in the object that the name's
	// first parts say. It is empty where the form does not have the field.
	key string

	// optional says that the value may be missing: null or absent in the JSON form.
	optional bool

	text   func(*Call) string // "" is missing where the field is optional
	number func(*Call) (value int64, ok bool)
	flag   func(*Call) bool
	at     func(*Call) time.Time
}

// fields are all fields of a call but header fields and the text of bodies. Their order
// is that of the JSON form.
var fields = []field{
	{name: "id", key: "id", kind: kindText, doc: "`<conn>#<n>`, the name of the call in its window", text: (*Call).ID},
	{name: "window", key: "window", kind: kindText, doc: "UUID of the window", text: func(c *Call) string { return c.Identity.Window }},
	{name: "conn", key: "conn", kind: kindText, doc: "identity of the connection", text: func(c *Call) string { return c.Identity.Conn }},
	{name: "peer", key: "peer", kind: kindText, doc: "the client's address", text: func(c *Call) string { return c.Identity.Peer }},
	{name: "listener", key: "listener", kind: kindText, doc: "the address that the client reached", text: func(c *Call) string { return c.Identity.Listener }},
	{name: "port", key: "port", kind: kindText, doc: "the listener's port, or the path of its Unix socket", text: func(c *Call) string { return c.Identity.Port }},
	{name: "protocol", key: "protocol", kind: kindText, doc: "name of the protocol, such as `http/1.1`", text: func(c *Call) string { return c.Protocol }},
	{name: insteadOf, key: insteadOf, kind: kindText, doc: "of a turn: the protocol that [its bytes are not of](#how-a-protocol-is-recognised), in which the rest of the connection is decoded; `\"\"` where there is none", text: func(c *Call) string { return c.Instead }},
	{name: "time", key: "time", kind: kindTime, optional: true, doc: "when the first byte of the request passed, else of the answer", at: (*Call).Time},
	{name: "method", key: "method", kind: kindText, doc: "method or command", text: func(c *Call) string { return c.Method }},
	{name: "target", key: "target", kind: kindText, doc: "what the client asked for: target of HTTP, service, key, statement", text: func(c *Call) string { return c.Target }},
	{name: "path", key: "path", kind: kindText, doc: "target of HTTP without its query", text: func(c *Call) string { return c.Path }},
	{name: "host", key: "host", kind: kindText, doc: "the server's name as the client has it", text: func(c *Call) string { return c.Host }},
	{name: "service", key: "service", kind: kindText, doc: "service of an RPC protocol", text: func(c *Call) string { return c.Service }},
	{name: "status", key: "status", kind: kindText, doc: "status as text, such as `\"503\"` or `\"UNAVAILABLE\"`; `\"\"` without an answer", text: func(c *Call) string { return c.Status }},
	{name: "code", key: "code", kind: kindInt, doc: "status as a number; 0 where the protocol has none, and without an answer", number: func(c *Call) (int64, bool) { return int64(c.Code), true }},
	{name: "failed", key: "failed", kind: kindBool, doc: "the answer is an error, or the connection ended in the window without all of it", flag: func(c *Call) bool { return c.Failed }},
	{name: "latency", key: "latency_ms", kind: kindDuration, optional: true, doc: "last byte of the request to first byte of the answer", number: func(c *Call) (int64, bool) { d, ok := c.Latency(); return int64(d), ok }},
	{name: "duration", key: "duration_ms", kind: kindDuration, optional: true, doc: "first byte of the request to last byte of the answer", number: func(c *Call) (int64, bool) { d, ok := c.Duration(); return int64(d), ok }},

	{name: "request.offset", key: "offset", kind: kindSize, optional: true, doc: "position of the request in the stream of its direction", number: offset(Request)},
	{name: "request.length", key: "length", kind: kindSize, optional: true, doc: "bytes of the request, head and body, as recorded", number: length(Request)},
	{name: "request.body.offset", key: "offset", kind: kindSize, optional: true, doc: "position of its body in the stream", number: bodyOffset(Request)},
	{name: "request.body.length", key: "length", kind: kindSize, optional: true, doc: "bytes of its body, as recorded", number: bodyLength(Request)},
	{name: "request.missing", key: "missing", kind: kindSize, optional: true, doc: "bytes of the request that were not recorded", number: missing(Request)},
	{name: "request.size", key: "size", kind: kindSize, optional: true, doc: "`request.length` without the bytes of other messages between them (HTTP/2)", number: size(Request)},
	{name: "response.offset", key: "offset", kind: kindSize, optional: true, doc: "position of the answer in the stream of its direction", number: offset(Response)},
	{name: "response.length", key: "length", kind: kindSize, optional: true, doc: "bytes of the answer, head and body, as recorded", number: length(Response)},
	{name: "response.body.offset", key: "offset", kind: kindSize, optional: true, doc: "position of its body in the stream", number: bodyOffset(Response)},
	{name: "response.body.length", key: "length", kind: kindSize, optional: true, doc: "bytes of its body, as recorded", number: bodyLength(Response)},
	{name: "response.missing", key: "missing", kind: kindSize, optional: true, doc: "bytes of the answer that were not recorded", number: missing(Response)},
	{name: "response.size", key: "size", kind: kindSize, optional: true, doc: "`response.length` without the bytes of other messages between them (HTTP/2)", number: size(Response)},

	{name: "trace.trace_id", key: "trace_id", kind: kindText, optional: true, doc: "trace that the call belongs to", text: func(c *Call) string { return c.Trace.TraceID }},
	{name: "trace.span_id", key: "span_id", kind: kindText, optional: true, doc: "span of the call in it", text: func(c *Call) string { return c.Trace.SpanID }},
	{name: incomplete, key: incomplete, kind: kindTexts, doc: "what is not known of the call: `began_before`, `cut_by_window`, `gap`, `masked`, `unknown_fields`, `no_answer`, `no_request`"},
	{name: "route", kind: kindText, doc: "what the client asked for, with [ids replaced](#routes)", text: (*Call).Route},
}

// The names of fields that have a form of their own in JSON.
const (
	incomplete = "incomplete"
	insteadOf  = "instead_of" // absent where it is empty
)

// protocols are the values that the field protocol can have.
var protocols = []string{
	call.HTTP1, call.HTTP2, call.GRPC, call.WebSocket, call.Dubbo, call.Bolt, call.Tars, call.Thrift,
	call.Redis, call.MySQL, call.PostgreSQL, call.Kafka, call.TLS, call.TCP,
}

// vocabulary returns the values that the field can have, or nil where there is no list.
func vocabulary(name string) []string {
	switch name {
	case "protocol", insteadOf:
		return protocols
	case incomplete:
		return call.IncompleteWords()
	}
	return nil
}

func offset(side Side) func(*Call) (int64, bool) {
	return func(c *Call) (int64, bool) { m := c.message(side); return int64(m.Offset), m.Present }
}

func length(side Side) func(*Call) (int64, bool) {
	return func(c *Call) (int64, bool) { m := c.message(side); return int64(m.Length), m.Present }
}

func bodyOffset(side Side) func(*Call) (int64, bool) {
	return func(c *Call) (int64, bool) {
		m := c.message(side)
		return int64(m.Body.Offset), m.Present && m.HasBody
	}
}

func bodyLength(side Side) func(*Call) (int64, bool) {
	return func(c *Call) (int64, bool) {
		m := c.message(side)
		return int64(m.Body.Length), m.Present && m.HasBody
	}
}

func missing(side Side) func(*Call) (int64, bool) {
	return func(c *Call) (int64, bool) { m := c.message(side); return int64(m.Missing), m.Present }
}

func size(side Side) func(*Call) (int64, bool) {
	return func(c *Call) (int64, bool) { m := c.message(side); return int64(m.Size()), m.Present }
}

func findField(name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

// names returns the names that may follow prefix, which is empty or ends with a dot.
func names(prefix string) []string {
	var found []string
	for _, s := range Names() {
		rest, ok := strings.CutPrefix(s, prefix)
		if !ok || rest == "" {
			continue
		}
		if rest, _, _ = strings.Cut(rest, "."); len(found) == 0 || found[len(found)-1] != rest {
			found = append(found, rest)
		}
	}
	return found
}

// Names returns the names of all fields, as expressions and lists of fields have them.
// Those of header fields have a place holder for the name.
func Names() []string {
	var all []string
	for _, f := range fields {
		if side, ok := strings.CutSuffix(f.name, ".body.offset"); ok {
			all = append(all, side+`.headers["name"]`, side+".body")
		}
		all = append(all, f.name)
	}
	return all
}
