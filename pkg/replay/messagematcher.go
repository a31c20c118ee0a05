package replay

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// messageMatcher pairs the responses of a protocol with messages: a turn is a request
// with its response, whatever else the connection carries at the same time.
type messageMatcher struct {
	matchOptions
	sink      func(*pair)
	protocol  Protocol
	requests  *pushParser
	sides     [2]messageSide
	exchanges map[uint64]*exchange // not paired yet, by key
	order     []*exchange          // by turn; the first is not paired
	kept      int                  // bytes of answers in exchanges
	turns     int                  // how many there have been
	window    *flowControl         // of HTTP/2
	now       [2]time.Duration     // of what is being parsed, on each side
}

// messageSide is the answers of one side as they are parsed.
type messageSide struct {
	parser *pushParser
	units  uint64 // parts of the protocol that were completed; the parser defines what they are
	start  uint64 // HTTP/1.1: bytes before the message that is being parsed
}

// exchange is a request and its answers.
type exchange struct {
	pair
	key        uint64 // HTTP/1.1: its number from 1 on; HTTP/2: its stream
	method     string
	sentAt     [2]time.Duration // when the last of the request passed
	parts      [2]answer
	done       [2]bool
	answeredAt [2]time.Duration
	paired     bool
}

func newMessageMatcher(p Protocol, o matchOptions, sink func(*pair)) *messageMatcher {
	m := &messageMatcher{matchOptions: o, sink: sink, protocol: p, exchanges: map[uint64]*exchange{}, window: newFlowControl()}
	requests, answers := m.parseHTTP1Requests, m.parseHTTP1Answers
	if p == HTTP2 {
		requests, answers = m.parseHTTP2Requests, m.parseHTTP2Answers
	}
	m.requests = newPushParser(requests)
	for side := range m.sides {
		m.sides[side].parser = newPushParser(func(r io.Reader) error { return answers(side, r) })
	}
	return m
}

// failed reports whether the recording is not in the protocol.
func (m *messageMatcher) failed() bool {
	return m.requests.err != nil || m.sides[recorded].parser.err != nil
}

var errUnrequested = errors.New("an answer to no request")

// begin adds an exchange whose request has begun.
func (m *messageMatcher) begin(key uint64, method, label string) *exchange {
	m.turns++
	x := &exchange{pair: pair{turn: m.turns, label: label}, key: key, method: method}
	x.sentAt = m.now
	m.exchanges[key] = x
	m.order = append(m.order, x)
	return x
}

// requestSent sets when the last of an exchange's request passed.
func (m *messageMatcher) requestSent(x *exchange) { x.sentAt = m.now }

// add appends to an exchange's answer.
func (m *messageMatcher) add(x *exchange, side int, b []byte) {
	if m.blind {
		x.parts[side].length += uint64(len(b))
		return
	}
	before := len(x.parts[side].head)
	x.parts[side].add(b, m.limit)
	m.kept += len(x.parts[side].head) - before
}

// answered marks an exchange's answer as complete on one side, and pairs it if both
// are.
func (m *messageMatcher) answered(x *exchange, side int) {
	if x.paired || x.done[side] {
		return
	}
	x.done[side], x.answeredAt[side] = true, m.now[side]
	if x.done[0] && x.done[1] {
		m.pair(x)
	}
}

// pair calls sink with an exchange.
func (m *messageMatcher) pair(x *exchange) {
	x.paired = true
	delete(m.exchanges, x.key)
	p := &x.pair
	p.want, p.got = x.parts[recorded], x.parts[replayed]
	m.kept -= len(p.want.head) + len(p.got.head)
	p.same = m.blind || x.done[recorded] == x.done[replayed] && p.want.equal(&p.got)
	if x.done[recorded] && x.done[replayed] {
		p.then, p.now, p.timed = x.answeredAt[recorded]-x.sentAt[recorded], x.answeredAt[replayed]-x.sentAt[replayed], true
	}
	x.parts = [2]answer{}
	m.trim()
	m.sink(p)
}

// forget drops an exchange that is not to be compared.
func (m *messageMatcher) forget(x *exchange) {
	x.paired = true
	m.kept -= len(x.parts[0].head) + len(x.parts[1].head)
	delete(m.exchanges, x.key)
	m.trim()
}

// trim removes what is paired from the start of order.
func (m *messageMatcher) trim() {
	for len(m.order) > 0 && m.order[0].paired {
		m.order[0] = nil
		m.order = m.order[1:]
	}
}

func (m *messageMatcher) request(data []byte, then, now time.Duration) {
	m.bound()
	m.now = [2]time.Duration{then, now}
	_ = m.requests.feed(data) // failed reports it
}

func (m *messageMatcher) answer(side int, data []byte, at time.Duration) {
	m.now[side] = at
	s := &m.sides[side]
	if err := s.parser.feed(data); err != nil && side == replayed {
		m.addUnparsed(data)
	}
}

// addUnparsed adds bytes of the replay's that are not the protocol to the answer of
// the oldest exchange.
func (m *messageMatcher) addUnparsed(data []byte) {
	for _, x := range m.order {
		if !x.paired && !x.done[replayed] {
			m.add(x, replayed, data)
			return
		}
	}
}

// bound pairs the oldest exchanges of a replay that waits for too many.
func (m *messageMatcher) bound() {
	for len(m.exchanges) > 0 && (len(m.exchanges) > maxOpenTurns || m.kept > maxOpenBytes) {
		m.pair(m.order[0])
	}
}

func (m *messageMatcher) end(side int, at time.Duration) {
	m.now[side] = at
	_ = m.sides[side].parser.end() // what is not done then is not whole
}

func (m *messageMatcher) progress() progress {
	want, got := &m.sides[recorded], &m.sides[replayed]
	switch {
	case got.units > want.units:
		return caughtUp
	case got.units < want.units || m.protocol == HTTP1 && got.within() < want.within():
		return incomplete
	default:
		return caughtUp
	}
}

// within is how many bytes of the message under way have come.
func (s *messageSide) within() uint64 { return s.parser.fed - s.start }

func (m *messageMatcher) maySend() bool { return !m.window.exhausted() }

func (m *messageMatcher) recordedLatency() time.Duration {
	var longest time.Duration
	for _, x := range m.order {
		if !x.paired && !x.done[replayed] {
			longest = max(longest, m.now[recorded]-x.sentAt[recorded])
		}
	}
	return longest
}

// giveUp lets the replay go on as if the missing answers had come.
func (m *messageMatcher) giveUp() {
	// What is missing now may never come, and must not be waited for at every turn
	// from here on.
	m.sides[recorded].units = min(m.sides[recorded].units, m.sides[replayed].units)
}

func (m *messageMatcher) fault() error {
	if err := m.sides[replayed].parser.err; err != nil {
		return fmt.Errorf("the answers are not %s: %w", m.protocol, err)
	}
	return nil
}

func (m *messageMatcher) finish() {
	for len(m.order) > 0 {
		x := m.order[0]
		// The window's end or one of the two ends cut the recording off.
		if !x.done[recorded] {
			x.open = true
			if x.parts[recorded].length == 0 {
				m.forget(x)
				continue
			}
		}
		x.cut = !x.open && !x.done[replayed]
		m.pair(x)
	}
	m.requests.close()
	for side := range m.sides {
		m.sides[side].parser.close()
	}
}
