package query

import (
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// uses is the set of what an expression asks of a call: a bit for each row of fields, and
// those below.
type uses uint64

const (
	usesRequestHeaders  uses = 1 << (63 - iota) // header fields other than Content-Encoding
	usesResponseHeaders                         // likewise
	usesRequestEncoding                         // the header field Content-Encoding
	usesResponseEncoding
	usesRequestBody
	usesResponseBody
	usesRequest // whether there is a request
	usesResponse
)

const contentEncoding = "content-encoding"

// usesOf returns the set with the fields of those names.
func usesOf(names ...string) (u uses) {
	for i := range fields {
		if slices.Contains(names, fields[i].name) {
			u |= 1 << i
		}
	}
	return u
}

// usesHeader returns the set with a header field.
func usesHeader(side Side, name string) uses {
	if strings.EqualFold(name, contentEncoding) {
		return usesRequestEncoding >> side
	}
	return usesRequestHeaders >> side
}

// answerUses is what nobody knows of a call whose answer is not recorded.
var answerUses = func() uses {
	u := usesResponseHeaders | usesResponseEncoding | usesResponseBody | usesResponse | usesOf("status", "code", "failed", "latency", "duration", incomplete)
	for i := range fields {
		if strings.HasPrefix(fields[i].name, "response.") {
			u |= 1 << i
		}
	}
	return u
}()

// Asks reports whether q uses a field, such as "window".
func (q *Query) Asks(field string) bool { return q.root.uses&usesOf(field) != 0 }

// DependsOnAnswers reports whether q asks for something that only the answer to a call
// says.
func (q *Query) DependsOnAnswers() bool { return q.root.uses&answerUses != 0 }

// Headers returns the names of the header fields of a side that q may ask for, in lower
// case. The slice is the query's.
func (q *Query) Headers(side Side) []string { return q.headers[side] }

// header records that a header field is asked for.
func (c *compiler) header(side Side, name string) {
	if name = strings.ToLower(name); !slices.Contains(c.headers[side], name) {
		c.headers[side] = append(c.headers[side], name)
	}
}

// Latencies returns the durations that q compares latency with, in ascending order, each
// once. others says that q also uses latency in other ways, such as latency / 2 > 1s.
func (q *Query) Latencies() (literals []time.Duration, others bool) {
	return slices.Clone(q.latencies), q.latencyOthers
}

// Protocols returns the names of the protocols whose calls may meet q, in the order of
// the table in docs/calls.md. It is exact for conditions over protocol; for others a
// protocol that is not in the result has no call that meets q.
func (q *Query) Protocols() []string {
	var may []string
	for _, name := range protocols {
		if yes, _ := q.root.outcomes(newSupposition(name, nil)); yes {
			may = append(may, name)
		}
	}
	return may
}

// CanHoldWithCodings reports whether a call may meet q where every body has one of the
// codings, as values of Content-Encoding; "" means that there is none. It is for those who
// cannot decode the others.
func (q *Query) CanHoldWithCodings(codings ...string) bool {
	for _, name := range protocols {
		for i := range codings {
			if yes, _ := q.root.outcomes(newSupposition(name, &codings[i])); yes {
				return true
			}
		}
	}
	return false
}

// supposition is what is supposed of a call: an evaluator of a call with these values, and the
// set of what the values are known of.
type supposition struct {
	e     *Evaluator
	known uses
}

// The fields that are always empty but in calls of some protocols. docs/calls.md has them.
var onlyIn = []struct {
	fields    uses
	protocols []string
}{
	{usesOf("path"), []string{call.HTTP1, call.HTTP2, call.GRPC, call.WebSocket}},
	{usesOf("host"), []string{call.HTTP1, call.HTTP2, call.GRPC, call.WebSocket, call.TLS}},
	{usesOf("service"), []string{call.GRPC, call.Dubbo, call.Bolt, call.Tars, call.Thrift}},
}

// newSupposition supposes that a call is of a protocol, and, if encoding is not nil, that
// its bodies have that coding.
func newSupposition(protocol string, encoding *string) *supposition {
	c := &Call{Call: &call.Call{Protocol: protocol}}
	c.Request.Present, c.Response.Present = true, true
	s := &supposition{e: &Evaluator{call: c}, known: usesOf("protocol")}
	for _, row := range onlyIn {
		if !slices.Contains(row.protocols, protocol) {
			s.known |= row.fields
		}
	}
	if protocol == call.TCP { // its calls are never failed and have no status
		s.known |= usesOf("status", "code", "failed")
	}
	if encoding != nil {
		s.known |= usesRequestEncoding | usesResponseEncoding
		c.Content = supposedContent(*encoding)
	}
	return s
}

// supposedContent is the content of a call of which the coding alone is known.
type supposedContent string

func (s supposedContent) Header(Side, string) (value string, ok bool, err error) {
	return string(s), s != "", nil
}

func (s supposedContent) Body(Side) ([]byte, error) { return nil, errNoContent }

// outcomes returns whether the condition n can be true, and whether it can be false, for
// calls of which s is supposed.
func (n *node) outcomes(s *supposition) (yes, no bool) {
	switch {
	case n.may != nil:
		return n.may(s)
	case n.uses&^s.known != 0:
		return true, true
	}
	holds := n.flag(s.e)
	return holds, !holds
}

// junctionOutcomes returns the outcomes of a chain of and, or of or.
func junctionOutcomes(parts []*node, isOr bool) func(*supposition) (yes, no bool) {
	return func(s *supposition) (yes, no bool) {
		yes, no = !isOr, isOr
		for _, part := range parts {
			y, n := part.outcomes(s)
			if isOr {
				yes, no = yes || y, no && n
			} else {
				yes, no = yes && y, no || n
			}
		}
		return yes, no
	}
}

// choiceOutcomes returns the outcomes of condition ? a : b.
func choiceOutcomes(condition, a, b *node) func(*supposition) (yes, no bool) {
	return func(s *supposition) (yes, no bool) {
		first, second := condition.outcomes(s)
		if first {
			y, n := a.outcomes(s)
			yes, no = yes || y, no || n
		}
		if second {
			y, n := b.outcomes(s)
			yes, no = yes || y, no || n
		}
		return yes, no
	}
}

// compared records a comparison of a with others, where a is latency and the others are
// constants, or the other way round.
func (c *compiler) compared(a *node, others ...*node) {
	if len(others) == 1 && others[0].isLatency() {
		a, others = others[0], []*node{a}
	}
	if !a.isLatency() {
		return
	}
	for _, b := range others {
		if !b.constant || b.kind != kindDuration {
			return
		}
	}
	for _, b := range others {
		c.latencies = append(c.latencies, time.Duration(b.number64))
	}
	c.latencyDirect++
}

// isLatency reports whether n is the field latency itself.
func (n *node) isLatency() bool { return n.name == "latency" && n.kind == kindDuration }
