// Package call defines what the decoders of pkg/protocol find in the streams of a
// connection: calls, the values in them, and what is not known of them. Decoders fill
// its types in; the query language, the commands and the masks read them. It imports
// record alone.
package call

import (
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// The names of the protocols, as Call.Protocol and the option --protocol have them.
const (
	HTTP1      = "http/1.1" // and 1.0
	HTTP2      = "http/2"
	GRPC       = "grpc"
	WebSocket  = "websocket"
	Dubbo      = "dubbo"
	Bolt       = "bolt"
	Tars       = "tars"
	Thrift     = "thrift"
	Redis      = "redis"
	MySQL      = "mysql"
	PostgreSQL = "postgresql"
	Kafka      = "kafka"
	TLS        = "tls"
	TCP        = "tcp" // turns of whatever is not one of the others
)

// Call is a request with its answer, or one of the two where the other is missing. It
// is what a decoder says of a stretch of its connection; whose connection that is, the
// caller knows.
type Call struct {
	// N counts the calls of the connection in the window, from 1, in the order in which
	// their first heads were complete.
	N uint64

	Protocol string // one of the names above

	// Instead is the protocol that the call's bytes are not of, in which the rest of the connection is decoded. Only calls of
	// TCP have it.
	Instead string

	// Method and Target are what the client asked for. Their meaning, like that of
	// Service and Status, is the protocol's: see docs/calls.md.
	Method, Target string
	Path           string // Target without its query, of HTTP
	Host           string // the server's name as the client has it, where it has one
	Service        string // of RPC protocols
	Status         string // empty without an answer
	Code           int    // Status as a number; 0 where the protocol has none

	// Failed says that the answer is an error, or that the connection ended in the window
	// without all of it. It is never set because something was not recorded.
	Failed bool

	Request, Response Message

	// Interleaved says that request and answer go on at the same time, as in
	// bidirectional streams, so that there is no latency.
	Interleaved bool

	Trace      Trace
	Incomplete Incomplete
}

// Message is one side of a call.
type Message struct {
	// Present says that the message's head was recorded. The other fields are zero if not.
	Present bool

	Range       // all of the message that passed in the window, as recorded
	Body  Range // the body's part of Range, transfer coding included; where other messages lie between its parts, they are in it
	// HasBody says that the message has a body, which may be empty.
	HasBody bool

	First, Last time.Time // when the first and the last byte passed; zero where that is not known

	// Ended says that the last byte of the message is known, so that Last and the end of
	// Range are those of the message.
	Ended bool

	Missing uint64 // bytes of Range that were not recorded
	Between uint64 // bytes of Range that are of other messages, where messages interleave
}

// Size returns how many bytes the message has in the window, without those of other messages
// between them.
func (m *Message) Size() uint64 { return m.Length - m.Between }

// Range is a part of one direction of a connection.
type Range struct {
	Offset uint64 // bytes of the direction before it
	Length uint64 // bytes
}

// End returns the offset of the first byte after r.
func (r Range) End() uint64 { return r.Offset + r.Length }

// Trace is what a call's header fields say of the trace that it belongs to, in lower-case
// hexadecimal digits.
type Trace struct {
	TraceID string `json:"trace_id,omitempty"`
	SpanID  string `json:"span_id,omitempty"`
}

// Latency returns the time from the last byte of the request to the first byte of the
// answer; ok is false where one of them is not known, or where requests and answers
// interleave.
func (c *Call) Latency() (d time.Duration, ok bool) {
	if c.Interleaved || !c.Request.Ended || c.Request.Last.IsZero() || c.Response.First.IsZero() {
		return 0, false
	}
	return max(c.Response.First.Sub(c.Request.Last), 0), true
}

// Duration returns the time from the first byte of the request to the last byte of the
// answer; ok is false where one of them is not known.
func (c *Call) Duration() (d time.Duration, ok bool) {
	if !c.Response.Ended || c.Request.First.IsZero() || c.Response.Last.IsZero() {
		return 0, false
	}
	return max(c.Response.Last.Sub(c.Request.First), 0), true
}

// Time returns when the first byte of the request passed, or of the answer where the request's is not known.
func (c *Call) Time() time.Time {
	if c.Request.First.IsZero() {
		return c.Response.First
	}
	return c.Request.First
}

// Incomplete is a set of reasons why a call is not known completely.
type Incomplete uint16

// The reasons.
const (
	BeganBefore   Incomplete = 1 << iota // the call began before the window, or before what was recorded of the connection
	CutByWindow                          // the window ended before the call
	Gap                                  // bytes in it, or in front of it so that it is uncertain to which request the answer belongs, were not recorded
	Masked                               // parts of it were masked
	UnknownFields                        // header fields refer to ones that were not recorded
	NoAnswer                             // there is no answer
	NoRequest                            // there is no request
)

var incompleteWords = [...]string{"began_before", "cut_by_window", "gap", "masked", "unknown_fields", "no_answer", "no_request"}

// Words returns the reasons in i as the words of the JSON form. It is never nil.
func (i Incomplete) Words() []string {
	words := []string{}
	for bit, word := range incompleteWords {
		if i&(1<<bit) != 0 {
			words = append(words, word)
		}
	}
	return words
}

// IncompleteWords returns the words of all reasons.
func IncompleteWords() []string { return incompleteWords[:] }

// Kind says what a Span's value is.
type Kind uint8

// The kinds of values.
const (
	KindMethod   Kind = iota + 1 // the request's method or command
	KindTarget                   // path and query, service, statement
	KindQuery                    // a value of the target's query
	KindHeader                   // a header or trailer field
	KindForm                     // a value of a form in a body
	KindBody                     // a part of a body, without its transfer coding
	KindArgument                 // an argument of a command, a parameter of a statement
	KindPassword                 // a credential
	KindStatus                   // the answer's status and its text
	KindVersion                  // the protocol's version that a message names, such as HTTP/1.0
)

var kindWords = [...]string{KindMethod: "method", KindTarget: "target", KindQuery: "query", KindHeader: "header", KindForm: "form", KindBody: "body", KindArgument: "argument", KindPassword: "password", KindStatus: "status", KindVersion: "version"}

// String returns the word for k.
func (k Kind) String() string {
	if int(k) < len(kindWords) {
		return kindWords[k]
	}
	return ""
}

// Span is a value in a stream, with its position.
type Span struct {
	Call      uint64 // N of its call
	Direction record.Direction
	Range     // where its bytes are in the stream; Length is 0 where the value is not there, but refers to one that was sent earlier
	Kind      Kind
	Name      string // of a header field, query or form value, in lower case where the protocol ignores case
	Encoding  string // how the bytes encode the value: "" as they are, "huffman" (RFC 7541), or what a parser's package names; each chunk of a body is a span

	// Promise says that the value is the request's although it went to the client: the server has promised the
	// answer to a request that it expects (RFC 9113, section 8.4).
	Promise bool

	// More says that the value goes on in the next span of the same call, direction, kind
	// and name.
	More bool

	// Value is the value, decoded. It is the decoder's and valid until Span returns.
	Value []byte
}
