package replay

import (
	"slices"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is what a session speaks, as far as comparing its answers needs
// to know.
type Protocol string

// The protocols. Whatever is not one of the others is Bytes.
const (
	Bytes Protocol = "bytes"
	HTTP1 Protocol = "http/1.1"
	HTTP2 Protocol = "http/2" // with prior knowledge or over TLS, such as gRPC
)

// Protocol returns what s speaks: HTTP only if all that was recorded of it is
// that, from the first byte on. The first call may read much of the payload.
func (s *Session) Protocol() (Protocol, error) {
	s.detect.Do(func() { s.protocol, s.failed = s.findProtocol() })
	return s.protocol, s.failed
}

func (s *Session) findProtocol() (Protocol, error) {
	events := s.replayable(false)
	// A server may speak first, with HTTP/2 too.
	request := slices.IndexFunc(events, func(e event) bool { return e.dir == record.In })
	if !s.comparable() || s.facts.gaps.In > 0 || request < 0 {
		return Bytes, nil
	}
	var buf []byte
	first, err := s.payload(&events[request], &buf)
	if err != nil {
		return Bytes, err
	}
	var guess Protocol
	switch {
	case protocol.BeginsHTTP2(first):
		guess = HTTP2
	case protocol.IsHTTP1Request(first):
		guess = HTTP1
	default:
		return Bytes, nil
	}
	ok, err := s.speaks(guess, events)
	if !ok || err != nil {
		return Bytes, err
	}
	return guess, nil
}

// speaks goes through the recording as a replay that is equal to it would.
func (s *Session) speaks(p Protocol, events []event) (bool, error) {
	m := newMessageMatcher(p, matchOptions{limit: 1, blind: true}, func(*pair) {})
	defer m.finish()
	var buf []byte
	for i := range events {
		e := &events[i]
		data, err := s.payload(e, &buf)
		if err != nil {
			return false, err
		}
		if e.dir == record.In {
			m.request(data, 0, 0)
		} else {
			m.answer(recorded, data, 0)
		}
		if m.failed() {
			return false, nil
		}
	}
	if s.facts.server {
		m.end(recorded, 0)
	}
	return !m.failed() && m.sides[recorded].units > 0, nil
}
