// Package tls recognises TLS that passes through (RFC 8446, RFC 5246). It reads the two
// hellos, which are in clear text, and decodes nothing else: the handshake is one call.
package tls

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol recognises TLS.
var Protocol = parse.Protocol{Name: call.TLS, New: newParser, Begins: begins, Within: within}

// Records (RFC 8446, section 5.1).
const (
	recordHeader = 5 // bytes: type, version of 2, length of 2
	maxRecord    = 1<<14 + 2048

	typeAlert       = 21
	typeHandshake   = 22
	typeApplication = 23

	alertWarning     = 1
	alertFatal       = 2
	alertCloseNotify = 0
)

// Messages of a handshake (RFC 8446, section 4).
const (
	messageHeader = 4 // bytes: type, length of 3
	maxHello      = 64 << 10

	clientHello = 1
	serverHello = 2
)

// recordLength returns the type and the length of the record that data begins with.
func parseRecord(data []byte) (kind byte, length int, ok bool) {
	kind, length = data[0], int(binary.BigEndian.Uint16(data[3:]))
	return kind, length, kind >= 20 && kind <= 24 && data[1] == 3 && data[2] <= 4 && length <= maxRecord
}

// parser implements parse.Parser.
type parser struct {
	env   parse.Env
	state state
}

// state is what a checkpoint has.
type state struct {
	Call    call.Call
	Open    bool // Call is not given to the sink yet
	Done    [2]bool
	Hello   [2][]byte // what there is of each hello
	Unknown bool      // the handshake was not recorded
}

func newParser(env parse.Env) parse.Parser { return &parser{env: env} }

// Parse implements parse.Parser.
func (p *parser) Parse(s *parse.Stream) error {
	dir := s.Dir()
	for {
		if s.Skipping() {
			return nil
		}
		if p.state.Done[dir] || p.state.Unknown {
			p.state.Done[dir] = true
			s.Skip(parse.Until, parse.Value{})
			continue
		}
		data := s.Bytes()
		if len(data) < recordHeader {
			return nil
		}
		kind, length, ok := parseRecord(data)
		if !ok {
			return errors.New("no record of TLS")
		}
		if len(data) < recordHeader+length {
			s.Need(recordHeader + length)
			return nil
		}
		if err := p.record(s, kind, data[recordHeader:recordHeader+length]); err != nil {
			return err
		}
	}
}

// record consumes a record of the handshake in clear text.
func (p *parser) record(s *parse.Stream, kind byte, payload []byte) error {
	dir := s.Dir()
	m := p.message(s)
	switch kind {
	case typeHandshake:
		p.state.Hello[dir] = append(p.state.Hello[dir], payload...)
	case typeAlert:
		if len(payload) == 2 && payload[0] == alertWarning && payload[1] != alertCloseNotify {
			break // such as unrecognized_name, before the hello (RFC 6066, section 3)
		}
		if dir == record.Out && len(payload) == 2 && payload[0] == alertFatal {
			p.state.Call.Failed, p.state.Call.Status = true, alertName(payload[1])
			m.Present = true
		}
		p.state.Done[dir] = true
	default:
		p.state.Done[dir] = true
	}
	s.Advance(recordHeader + len(payload))
	m.Length, m.Last = s.Offset()-m.Offset, s.LastTime()
	hello := p.state.Hello[dir]
	if len(hello) > maxHello {
		return fmt.Errorf("a hello of more than %d bytes", maxHello)
	}
	if n := helloLength(hello); n > 0 {
		if dir == record.In {
			p.client(hello[:n])
		} else {
			p.server(hello[:n])
		}
		m.Present, m.Ended = true, true
		p.state.Done[dir], p.state.Hello[dir] = true, nil
	}
	if dir == record.Out && p.state.Done[dir] {
		m.Ended = true
		p.emit()
	}
	return nil
}

// message returns the part of the call that s has, and begins it.
func (p *parser) message(s *parse.Stream) *call.Message {
	c := &p.state.Call
	if !p.state.Open && c.N == 0 {
		p.state.Open = true
		c.N, c.Protocol, c.Method = p.env.Next(), call.TLS, "handshake"
	}
	m := &c.Request
	if s.Dir() == record.Out {
		m = &c.Response
	}
	if m.First.IsZero() {
		m.Offset, m.First = s.Offset(), s.TimeAt(s.Offset())
	}
	return m
}

func (p *parser) emit() {
	if !p.state.Open {
		return
	}
	p.state.Open = false
	c := &p.state.Call
	if !c.Request.Present {
		c.Request = call.Message{}
		c.Incomplete |= call.NoRequest
		if !p.env.FromStart[record.In] {
			c.Incomplete |= call.BeganBefore
		}
	}
	if !c.Response.Present {
		c.Response = call.Message{}
		c.Incomplete |= call.NoAnswer
	}
	if c.Request.Present || c.Response.Present {
		p.env.Sink.Call(c)
	}
}

// Lost implements parse.Parser.
func (p *parser) Lost(*parse.Stream) {
	p.state.Unknown = true
	p.state.Call.Incomplete |= call.Gap
	p.emit()
}

// Sync implements parse.Parser. What is encrypted has nothing to find.
func (p *parser) Sync(*parse.Stream) (n int, found bool) {
	p.state.Unknown = true
	return 0, true
}

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	switch {
	case !p.state.Open:
	case e.AnswerWasNotSent():
		p.state.Call.Failed = true
	case !e.Closed && !e.Left:
		p.state.Call.Incomplete |= call.CutByWindow
	}
	p.emit()
}

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) { return json.Marshal(p.state) }

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error { return json.Unmarshal(b, &p.state) }

// begins implements parse.Protocol.Begins.
func begins(dir record.Direction, data []byte) parse.Verdict {
	hello := byte(clientHello)
	if dir == record.Out {
		hello = serverHello
	}
	for i, c := range data {
		switch {
		case i == 0 && c != typeHandshake && (dir == record.In || c != typeAlert),
			i == 1 && c != 3, i == 2 && c > 4, i == 5 && data[0] == typeHandshake && c != hello:
			return parse.No
		case i == recordHeader:
			if _, length, ok := parseRecord(data); !ok || length < 2 {
				return parse.No
			}
			return parse.Yes
		}
	}
	return parse.Maybe
}

// chainWithin is how many records in a row are certain to be some.
const chainWithin = 3

// within implements parse.Protocol.Within. It looks for records at the beginning alone.
func within(_ record.Direction, data []byte) (at, needed int, found bool) {
	for range chainWithin {
		if len(data)-needed < recordHeader {
			return 0, 0, false
		}
		_, length, ok := parseRecord(data[needed:])
		if !ok {
			return 0, 0, false
		}
		at, needed = needed, needed+recordHeader+length
	}
	return 0, at + recordHeader, true
}
