// Package websocket parses WebSocket messages (RFC 6455), which follow an upgrade of
// HTTP/1.1. Each message of either side is a call of its own; what travels between the
// messages, pings and pongs, is none.
package websocket

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol parses WebSocket. It is known by an upgrade, or by frames in the middle of a
// connection.
var Protocol = parse.Protocol{Name: call.WebSocket, New: newParser, Begins: begins, Within: within}

// Opcodes (RFC 6455, section 5.2).
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// closeNoStatus is the code of a close without one (RFC 6455, section 7.1.5).
const closeNoStatus = 1005

// Deflate is the encoding of the spans of a compressed message (RFC 7692).
const Deflate = "permessage-deflate"

// header is the header of a frame.
type header struct {
	op         byte
	fin        bool
	compressed bool // RSV1 (RFC 7692, section 6)
	masked     bool
	key        [4]byte
	size       int    // of the header
	long       bool   // the length is not in the shortest form, which programs accept
	length     uint64 // of the payload
}

// parseHeader returns the header that data begins with; ok is false if data is not long
// enough, an error says that it is none.
func parseHeader(dir record.Direction, data []byte) (h header, ok bool, err error) {
	if len(data) < 2 {
		return h, false, nil
	}
	h.op, h.fin, h.compressed = data[0]&0x0f, data[0]&0x80 != 0, data[0]&0x40 != 0
	h.masked = data[1]&0x80 != 0
	control := h.op >= opClose
	short := data[1] & 0x7f
	switch {
	case data[0]&0x30 != 0:
		return h, false, errors.New("a frame with reserved bits")
	case h.op > opPong || h.op > opBinary && h.op < opClose:
		return h, false, fmt.Errorf("a frame of type %d", h.op)
	case control && (!h.fin || short > 125 || h.compressed):
		return h, false, errors.New("a long or divided control frame")
	case h.masked != (dir == record.In):
		return h, false, errors.New("a frame that is masked as those of the other side are")
	}
	h.size = 2
	switch short {
	case 126:
		if len(data) < 4 {
			return h, false, nil
		}
		h.length, h.size = uint64(binary.BigEndian.Uint16(data[2:])), 4
		h.long = h.length < 126
	case 127:
		if len(data) < 10 {
			return h, false, nil
		}
		h.length, h.size = binary.BigEndian.Uint64(data[2:]), 10
		if h.length >= 1<<63 {
			return h, false, errors.New("a length that is too large")
		}
		h.long = h.length < 1<<16
	default:
		h.length = uint64(short)
	}
	if h.masked {
		if len(data) < h.size+4 {
			return h, false, nil
		}
		copy(h.key[:], data[h.size:])
		h.size += 4
	}
	return h, true, nil
}

// parser implements parse.Parser.
type parser struct {
	env   parse.Env
	sides [2]side
}

// side is what one side sends.
type side struct {
	Open       bool      // Call is a message that has not ended
	Call       call.Call // its message is Request or Response, by the direction
	Compressed bool
	Last       bool // the frame whose payload is passed over is the message's last one
	Payload    bool // a payload of the message is passed over
	Mark       call.Incomplete
}

func newParser(env parse.Env) parse.Parser {
	p := &parser{env: env}
	for dir := range p.sides {
		if !env.FromStart[dir] {
			p.sides[dir].Mark = call.BeganBefore
		}
	}
	return p
}

// message returns the part of a side's call that it sends.
func (s *side) message(dir record.Direction) *call.Message {
	if dir == record.Out {
		return &s.Call.Response
	}
	return &s.Call.Request
}

// Parse implements parse.Parser.
func (p *parser) Parse(s *parse.Stream) error {
	side := &p.sides[s.Dir()]
	for {
		if s.Skipping() {
			return nil
		}
		if side.Payload {
			side.Payload = false
			p.payloadEnded(s, side)
		}
		h, ok, err := parseHeader(s.Dir(), s.Bytes())
		if !ok || err != nil {
			return err
		}
		if h.op >= opClose {
			if uint64(len(s.Bytes())) < uint64(h.size)+h.length {
				return nil
			}
			p.control(s, side, &h)
			continue
		}
		if err := p.frame(s, side, &h); err != nil {
			return err
		}
	}
}

// frame consumes the header of a frame of a message, and begins with its payload.
func (p *parser) frame(s *parse.Stream, side *side, h *header) error {
	switch {
	case h.op == opContinuation && h.compressed, h.op != opContinuation && side.Open:
		return errors.New("a frame that does not continue its message")
	case h.op == opContinuation && !side.Open && side.Mark == 0:
		return errors.New("a frame that continues no message")
	case h.op != opContinuation:
		side.Open, side.Compressed = true, h.compressed
		method := "text"
		if h.op == opBinary {
			method = "binary"
		}
		p.begin(s, side, method)
	}
	value := parse.Value{}
	m := side.message(s.Dir())
	if side.Open {
		value = parse.Value{Call: side.Call.N, Kind: call.KindBody, Key: h.key, More: !h.fin}
		if side.Compressed {
			value.Encoding = Deflate
		}
	}
	s.Advance(h.size)
	if side.Open && !m.HasBody {
		m.HasBody, m.Body.Offset = true, s.Offset()
	}
	side.Payload, side.Last = true, h.fin
	s.Skip(h.length, value)
	return nil
}

// begin begins the call of a message.
func (p *parser) begin(s *parse.Stream, side *side, method string) {
	side.Call = call.Call{N: p.env.Next(), Protocol: call.WebSocket, Method: method, Incomplete: side.Mark}
	side.Mark = 0
	if r := p.env.Request; r != nil {
		side.Call.Target, side.Call.Path, side.Call.Host = r.Target, r.Path, r.Host
	}
	*side.message(s.Dir()) = call.Message{Present: true, Range: call.Range{Offset: s.Offset()}, First: s.TimeAt(s.Offset())}
}

func (p *parser) payloadEnded(s *parse.Stream, side *side) {
	if !side.Open {
		return
	}
	m := side.message(s.Dir())
	m.Missing += s.Missing()
	if side.Last {
		p.end(s, side)
	}
}

// end gives the sink a message that has ended.
func (p *parser) end(s *parse.Stream, side *side) {
	m := side.message(s.Dir())
	m.Ended, m.Last = true, s.LastTime()
	m.Length = s.Offset() - m.Offset
	if m.HasBody {
		m.Body.Length = s.Offset() - m.Body.Offset
	}
	p.emit(side, m)
}

func (p *parser) emit(side *side, m *call.Message) {
	side.Open = false
	if m.Missing > 0 {
		side.Call.Incomplete |= call.Gap
	}
	p.env.Sink.Call(&side.Call)
}

// control consumes a control frame, which may lie between those of a message.
func (p *parser) control(s *parse.Stream, side *side, h *header) {
	if h.op != opClose {
		s.Advance(h.size + int(h.length))
		return
	}
	message := *side
	side.Open = false
	p.begin(s, side, "close")
	m := side.message(s.Dir())
	payload := append([]byte(nil), s.Bytes()[h.size:h.size+int(h.length)]...)
	for i := range payload {
		payload[i] ^= h.key[i%4]
	}
	m.HasBody, m.Body = true, call.Range{Offset: s.Offset() + uint64(h.size), Length: h.length}
	if len(payload) != 1 {
		code := closeNoStatus
		if len(payload) > 0 {
			code = int(binary.BigEndian.Uint16(payload))
		}
		side.Call.Code, side.Call.Status = code, strconv.Itoa(code)
		side.Call.Failed = code >= 1002 && code <= 1015 && code != closeNoStatus
	}
	if p.env.Spans {
		p.env.Sink.Span(call.Span{Call: side.Call.N, Direction: s.Dir(), Range: m.Body, Kind: call.KindBody, Encoding: encoding(h), Value: payload})
	}
	s.Advance(h.size + int(h.length))
	p.end(s, side)
	if message.Open {
		*side = message // it goes on, if the client is odd
	}
}

// encoding returns the encoding of a frame's payload.
func encoding(h *header) string {
	if h.key != [4]byte{} {
		return parse.XOR
	}
	return ""
}

// Lost implements parse.Parser.
func (p *parser) Lost(s *parse.Stream) {
	side := &p.sides[s.Dir()]
	if side.Open {
		m := side.message(s.Dir())
		m.Length = s.Offset() - m.Offset
		side.Call.Incomplete |= call.Gap
		p.emit(side, m)
	}
	side.Payload = false
	side.Mark |= call.Gap
}

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	for dir := range p.sides {
		side, s := &p.sides[dir], e.Streams[dir]
		if !side.Open {
			continue
		}
		m := side.message(record.Direction(dir))
		m.Missing += s.Missing()
		m.Length = s.Offset() - m.Offset
		m.Body.Length = s.Offset() - m.Body.Offset
		m.Last = s.LastTime()
		if !e.Closed {
			side.Call.Incomplete |= call.CutByWindow
		}
		p.emit(side, m)
	}
}

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) {
	return json.Marshal(struct {
		Sides   [2]side
		Request *call.Call
	}{p.sides, p.env.Request})
}

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error {
	var state struct {
		Sides   [2]side
		Request *call.Call
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("state of websocket: %w", err)
	}
	p.sides, p.env.Request = state.Sides, state.Request
	return nil
}
