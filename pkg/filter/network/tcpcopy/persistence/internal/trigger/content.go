package trigger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/body"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// Bounds of the content of a call. What is beyond them is not known: conditions that need
// it are not met, which is counted.
const (
	maxFields  = 64 << 10 // bytes of all header fields that are asked for
	maxBody    = 1 << 20  // of a body as it was sent
	maxDecoded = 8 << 20  // of a body without its codings
	valueSize  = 64       // of a value, beside its bytes
)

// codingFields are the header fields that say how a body is encoded.
var codingFields = []string{"content-encoding", "transfer-encoding", "content-type", "grpc-encoding"}

var (
	errMissing = errors.New("it was not recorded")
	errLong    = errors.New("it is longer than the proxy keeps")
)

// content is what conditions ask for of a call that has not ended.
type content struct {
	values []value
	size   int // bytes of values and bodies
	fields int // bytes of values
	cut    bool
	bodies [2][]byte
	long   [2]bool
}

// value is a header field, or a part of one.
type value struct {
	dir        record.Direction
	name, text string
	more       bool // the next value goes on with it
}

// add adds a span that the plan asks for, and returns how many bytes more there are.
func (c *content) add(p *plan, s *call.Span) int {
	dir := s.Direction
	if s.Promise {
		dir = record.In // whose value it is
	}
	before := c.size
	switch s.Kind {
	case call.KindBody:
		if !p.bodies[dir] || c.long[dir] {
			return 0
		}
		if len(c.bodies[dir])+len(s.Value) > maxBody {
			c.size -= cap(c.bodies[dir])
			c.bodies[dir], c.long[dir] = nil, true
			break
		}
		c.size -= cap(c.bodies[dir])
		c.bodies[dir] = append(c.bodies[dir], s.Value...)
		c.size += cap(c.bodies[dir])
	case call.KindHeader:
		if !slices.ContainsFunc(p.headers[dir], func(name string) bool { return strings.EqualFold(name, s.Name) }) {
			return 0
		}
		n := len(s.Name) + len(s.Value)
		if c.fields += n; c.fields > maxFields {
			c.cut = true
			return 0
		}
		c.values = append(c.values, value{dir, s.Name, string(s.Value), s.More})
		c.size += n + valueSize
	}
	return c.size - before
}

// header returns the values of a header field, joined with ", ".
func (c *content) header(dir record.Direction, name string) (text string, ok bool) {
	var all strings.Builder
	more := false
	for i := range c.values {
		v := &c.values[i]
		if v.dir != dir || !strings.EqualFold(v.name, name) {
			continue
		}
		if ok && !more {
			all.WriteString(", ")
		}
		all.WriteString(v.text)
		ok, more = true, v.more
	}
	return all.String(), ok
}

// decoded returns a body without its codings.
func (c *content) decoded(dir record.Direction, grpc bool) ([]byte, error) {
	if c.long[dir] {
		return nil, fmt.Errorf("%w: more than %d bytes", errLong, maxBody)
	}
	raw := c.bodies[dir]
	if contentType, ok := c.header(dir, "content-type"); grpc && (!ok || strings.HasPrefix(contentType, "application/grpc")) {
		return c.messages(dir, raw)
	}
	encoding, _ := c.header(dir, "content-encoding")
	transfer, _ := c.header(dir, "transfer-encoding")
	names := append(body.Names(encoding), slices.DeleteFunc(body.Names(transfer), func(name string) bool { return name == "chunked" })...)
	if len(names) == 0 {
		return raw, nil
	}
	return body.Decode(bytes.NewReader(raw), body.Standard(), body.Limits{Size: maxDecoded}, names...)
}

// grpcPrefix is the size of what is in front of each message of gRPC: whether it is
// compressed, and its length (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
const grpcPrefix = 5

// messages returns the messages of a gRPC body one behind the other, decompressed.
func (c *content) messages(dir record.Direction, raw []byte) ([]byte, error) {
	encoding, _ := c.header(dir, "grpc-encoding")
	var all []byte
	for len(raw) > 0 {
		if len(raw) < grpcPrefix || uint64(binary.BigEndian.Uint32(raw[1:])) > uint64(len(raw)-grpcPrefix) {
			return all, io.ErrUnexpectedEOF
		}
		end := grpcPrefix + int(binary.BigEndian.Uint32(raw[1:]))
		message := raw[grpcPrefix:end]
		if raw[0]&1 == 1 {
			var err error
			if message, err = body.Decode(bytes.NewReader(message), body.Standard(), body.Limits{Size: int64(maxDecoded - len(all))}, body.Names(encoding)...); err != nil {
				return all, err
			}
		}
		all = append(all, message...)
		raw = raw[end:]
	}
	return all, nil
}

// contentOf is the content of a call for a query. Its zero content is that of a call without
// values.
type contentOf struct {
	*content
	call *call.Call
}

var _ query.Content = (*contentOf)(nil)

func sideOf(dir record.Direction) query.Side {
	if dir == record.Out {
		return query.Response
	}
	return query.Request
}

func (c *contentOf) message(side query.Side) (*call.Message, record.Direction) {
	if side == query.Response {
		return &c.call.Response, record.Out
	}
	return &c.call.Request, record.In
}

// Header implements query.Content.
func (c *contentOf) Header(side query.Side, name string) (text string, ok bool, err error) {
	m, dir := c.message(side)
	if !m.Present {
		return "", false, errMissing
	}
	if c.content != nil {
		text, ok = c.header(dir, name)
	}
	if !ok && (c.content != nil && c.cut || c.call.Incomplete&call.UnknownFields != 0) {
		return "", false, errMissing
	}
	return text, ok, nil
}

// Body implements query.Content. The bytes are valid until the next call has ended.
func (c *contentOf) Body(side query.Side) ([]byte, error) {
	m, dir := c.message(side)
	switch {
	case !m.Present, m.Missing > 0:
		return nil, errMissing
	case !m.HasBody, c.content == nil:
		return nil, nil
	}
	text, err := c.decoded(dir, c.call.Protocol == call.GRPC)
	if err == nil && !m.Ended {
		err = errMissing
	}
	return text, err
}
