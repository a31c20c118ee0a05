package content

import (
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

// Content has the values and the bodies of a call. It implements query.Content.
type Content struct {
	collector *Collector
	call      *call.Call
	values    []Value
	size      int  // bytes of values
	cut       bool // there were more values
	bodies    [2]stored
}

// add adds a value.
func (c *Content) add(k *Collector, s *call.Span) {
	if s.Kind == call.KindBody {
		c.bodies[s.Direction].add(k, s)
		return
	}
	n := len(s.Value) + len(s.Name)
	if c.size+n > maxTotal {
		c.cut = true
		return
	}
	c.size += n
	value := s.Value[:min(len(s.Value), maxValue)]
	c.values = append(c.values, Value{Direction: s.Direction, Kind: s.Kind, Name: s.Name, Text: string(value), More: s.More, Cut: len(value) < len(s.Value)})
}

// Close frees the bodies. It may be called more than once.
func (c *Content) Close() error {
	for i := range c.bodies {
		c.bodies[i].free(c.collector)
	}
	return nil
}

// Values returns the values of a direction of some kinds, in their order in the stream;
// without kinds all. The parts of a value are joined.
func (c *Content) Values(dir record.Direction, kinds ...call.Kind) []Value {
	var values []Value
	more := false
	for _, v := range c.values {
		if v.Direction != dir || len(kinds) > 0 && !slices.Contains(kinds, v.Kind) {
			continue
		}
		if last := len(values) - 1; more && values[last].Kind == v.Kind && values[last].Name == v.Name {
			values[last].Text += v.Text
			values[last].Cut = values[last].Cut || v.Cut
		} else {
			values = append(values, v)
		}
		more = v.More
	}
	return values
}

// Complete reports whether all values are kept.
func (c *Content) Complete() bool { return !c.cut }

// message returns the side of the call that went in a direction.
func (c *Content) message(dir record.Direction) *call.Message {
	if dir == record.Out {
		return &c.call.Response
	}
	return &c.call.Request
}

// errMissing says that something was not recorded.
var errMissing = errors.New("it was not recorded")

// Header implements query.Content.
func (c *Content) Header(side query.Side, name string) (value string, ok bool, err error) {
	dir := direction(side)
	if !c.message(dir).Present {
		return "", false, errMissing
	}
	value, ok = c.header(dir, name)
	if !ok && (c.cut || c.call.Incomplete&call.UnknownFields != 0) {
		return "", false, errMissing
	}
	return value, ok, nil
}

func (c *Content) header(dir record.Direction, name string) (value string, ok bool) {
	var values []string
	for i := range c.values {
		v := &c.values[i]
		if v.Direction != dir || v.Kind != call.KindHeader || !strings.EqualFold(v.Name, name) {
			continue
		}
		values = append(values, v.Text)
	}
	return strings.Join(values, ", "), len(values) > 0
}

func direction(side query.Side) record.Direction {
	if side == query.Response {
		return record.Out
	}
	return record.In
}

// Body implements query.Content: the body without its codings. Of gRPC it is the
// messages one behind the other.
func (c *Content) Body(side query.Side) ([]byte, error) {
	dir := direction(side)
	m := c.message(dir)
	switch {
	case !m.Present, m.Missing > 0:
		return nil, errMissing
	case !m.HasBody:
		return nil, nil
	}
	b, err := c.Decoded(dir)
	if err == nil && !m.Ended {
		err = errMissing
	}
	return b, err
}

// Raw returns the body of a direction as it was recorded, without its transfer coding.
// The reader is valid until Close. The error says why it is not kept.
func (c *Content) Raw(dir record.Direction) (io.Reader, error) {
	b := &c.bodies[dir]
	if b.err != nil {
		return nil, b.err
	}
	return b.reader(), nil
}

// Size returns how many bytes Raw has; ok is false where the body is not kept.
func (c *Content) Size(dir record.Direction) (n int64, ok bool) {
	b := &c.bodies[dir]
	return b.size(), b.err == nil
}

// Parts returns the values that a body is made of; all says that these are all.
func (c *Content) Parts(dir record.Direction) (parts []Part, all bool) {
	b := &c.bodies[dir]
	return b.parts, !b.cut
}

// Encoding returns how the spans of a direction's body encode it, see call.Span.
func (c *Content) Encoding(dir record.Direction) string { return c.bodies[dir].encoding }

// Codings returns the codings of a direction's body, the first of which was applied first.
func (c *Content) Codings(dir record.Direction) []string {
	encoding, _ := c.header(dir, "content-encoding")
	names := body.Names(encoding)
	transfer, _ := c.header(dir, "transfer-encoding")
	for _, name := range body.Names(transfer) {
		if name != "chunked" {
			names = append(names, name) // the parser has removed the chunks
		}
	}
	return names
}

// Decoded returns the body of a direction without its codings, and with an error what
// could be decoded of it.
func (c *Content) Decoded(dir record.Direction) ([]byte, error) {
	return c.DecodedWithin(dir, c.collector.limits.Decoded)
}

// DecodedWithin is Decoded with another limit of the decoded bytes than the collector's.
func (c *Content) DecodedWithin(dir record.Direction, limit int64) ([]byte, error) {
	raw, err := c.Raw(dir)
	if err != nil {
		return nil, err
	}
	if c.HasMessages(dir) {
		messages, err := c.Messages(dir)
		var all []byte
		for _, m := range messages {
			all = append(all, m...)
		}
		return all, err
	}
	return body.Decode(raw, c.collector.codings, body.Limits{Size: limit}, c.Codings(dir)...)
}

// grpcPrefix is the size of what is in front of each message of gRPC: whether it is
// compressed, and its length (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
const grpcPrefix = 5

// HasMessages reports whether the body of a direction is messages of gRPC: those of a call of gRPC are,
// unless their content type is another one, as that of a proxy's page for an error.
func (c *Content) HasMessages(dir record.Direction) bool {
	if c.call.Protocol != call.GRPC {
		return false
	}
	of, ok := c.header(dir, "content-type")
	return !ok || strings.HasPrefix(of, "application/grpc")
}

// Messages returns the messages of a direction of a gRPC call, decompressed, and with an
// error those before it.
func (c *Content) Messages(dir record.Direction) ([][]byte, error) {
	raw, err := c.Raw(dir)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(raw)
	if err != nil {
		return nil, err
	}
	encoding, _ := c.header(dir, "grpc-encoding")
	left := c.collector.limits.Decoded
	var messages [][]byte
	for len(data) > 0 {
		if len(data) < grpcPrefix {
			return messages, io.ErrUnexpectedEOF
		}
		n := uint64(binary.BigEndian.Uint32(data[1:]))
		if n > uint64(len(data)-grpcPrefix) {
			return messages, fmt.Errorf("message %d: %w", len(messages)+1, io.ErrUnexpectedEOF)
		}
		message := data[grpcPrefix : grpcPrefix+n]
		if data[0]&1 == 1 {
			message, err = body.Decode(strings.NewReader(string(message)), c.collector.codings, body.Limits{Size: left}, body.Names(encoding)...)
			if err != nil {
				return messages, fmt.Errorf("message %d: %w", len(messages)+1, err)
			}
		}
		left -= int64(len(message))
		messages = append(messages, message)
		data = data[grpcPrefix+n:]
	}
	return messages, nil
}
