package query

import (
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Call is a call with what a query may ask of it. It refers to what the caller has, so
// that filling it in allocates nothing. Call and Identity are not nil.
type Call struct {
	*call.Call
	Identity *record.Identity // the connection and the window

	// Content returns header fields and bodies. It may be nil where the query needs none.
	Content Content
}

// AppendID appends <conn>#<n>, the name of the call in its window, to dst.
func (c *Call) AppendID(dst []byte) []byte {
	dst = append(dst, c.Identity.Conn...)
	dst = append(dst, '#')
	return strconv.AppendUint(dst, c.N, 10)
}

// ID returns <conn>#<n>, the name of the call in its window.
func (c *Call) ID() string { return string(c.AppendID(nil)) }

func (c *Call) message(side Side) *call.Message {
	if side == Response {
		return &c.Call.Response
	}
	return &c.Call.Request
}

// Side is one of the two messages of a call.
type Side uint8

// The sides.
const (
	Request Side = iota
	Response
)

// String returns "request" or "response", the names that expressions use.
func (s Side) String() string {
	if s == Response {
		return "response"
	}
	return "request"
}

// Content returns the parts of a call that are read only when they are needed. It is
// called at most once for each body of a call.
type Content interface {
	// Header returns the value of a header or trailer field. Where the protocol ignores the
	// case of names, it does too. Several values are joined with ", ". ok is false where
	// the message has no such field; err says that this cannot be known.
	Header(side Side, name string) (value string, ok bool, err error)

	// Body returns the body without its codings. Its bytes stay the implementation's and
	// are not changed before the evaluation ends. err says why the whole body cannot be had:
	// a part was not recorded or was masked, a coding is not known, or it is too large.
	Body(side Side) (body []byte, err error)
}

// Needs says which parts of a call's content an expression refers to.
type Needs uint8

// The parts. A header field of a side needs that side's headers only.
const (
	RequestHeaders Needs = 1 << iota
	ResponseHeaders
	RequestBody
	ResponseBody
)

// Headers reports whether n has header fields of either side.
func (n Needs) Headers() bool { return n&(RequestHeaders|ResponseHeaders) != 0 }

// Bodies reports whether n has the body of either side.
func (n Needs) Bodies() bool { return n&(RequestBody|ResponseBody) != 0 }

func headersOf(side Side) Needs { return RequestHeaders << side }
func bodyOf(side Side) Needs    { return RequestBody << side }
