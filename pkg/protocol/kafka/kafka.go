// Package kafka parses the protocol of Apache Kafka for package protocol.
//
// A call is a request with its answer. Its method is the name of the API as Kafka's documentation
// has it (`Produce`, `InitProducerId`); its target are the names of the topics that
// the request has, each once, with commas between them, or where it has none, its
// group. Topics that have numbers in place of names have the names that answers
// gave them (see Names), else the numbers, as Kafka's tools print them. The status is the error
// code as a number: the first in the answer that is not 0. A Produce that asks for no
// acknowledgement has no answer. The messages of SASL that have no header, as clients before
// Kafka 1.0 send them, are calls `SaslToken`.
//
// What the messages look like is in a table, of all versions that were ever released. A
// version that is newer than the table has no target and no status.
package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is Kafka's.
var Protocol = parse.Protocol{
	Name:   call.Kafka,
	New:    func(env parse.Env) parse.Parser { return newParser(env) },
	Begins: begins,
	Within: within,
}

const (
	maxFrame  = 1 << 30  // bytes of a message; brokers accept 100 MiB if not configured otherwise
	maxTarget = 4 << 10  // bytes of a target
	maxToken  = 1 << 20  // bytes of a message of SASL without a header
	maxTopic  = 249      // bytes of a topic's name
	nameSize  = 64       // bytes that a topic's number and name need, beside the name
	callSize  = 400      // bytes that a call needs, beside its target
	noBroker  = int16(0) // of acks: no answer
)

// Names is what a call.Sink may also be: the names of topics by their numbers, which
// connections share. Clients learn them on one connection and use them on others. Without it, a
// connection knows the names that it had itself.
type Names interface {
	// LearnTopic says that a topic has a name.
	LearnTopic(id [16]byte, name string)
	// TopicName returns the name of a topic; "" if it is not known.
	TopicName(id [16]byte) string
}

// exchange is a call that is not complete.
type exchange struct {
	Call       call.Call
	ID         uint32 // of the request
	Key        int16
	Ver        int16
	Token      bool // a message of SASL without a header
	Topics     []topic
	TopicsSize int // bytes of them
	Group      []byte
	Acks       int16

	Parsing  bool // the request is not complete
	Answered bool // the answer's head has come
	Done     bool // all of the answer has come, and not all of the request
	OutGap   bool // its answer may have been in a gap
	Unsure   bool // it may be something that looks like a request
	Unknown  bool // not all of the request was understood
}

// topic is one that a request has: its name or its number.
type topic struct {
	Name []byte
	ID   []byte
}

// side is what is being parsed of a direction.
type side struct {
	Open    bool
	Start   uint64 // of the message, with its length
	End     uint64
	Walking bool // its fields are looked at
	Skipped bool // a skip in it was begun
	walk    walker
	x       *exchange // of the message; may be given to the sink already

	Next    uint64 // offset after what was consumed
	Waiting int    // bytes that were not
	Trusted int    // messages since one was found behind a gap
	Torn    bool   // there was a gap, or the direction began in its middle
	Known   uint64 // offset behind a gap where a message begins; 0 if there is none

	ResourceKind byte
	LastTopic    []byte // in the answer: the topic's name of which the number is looked for, or the other way round
	LastID       []byte
	Code         int
	Unknown      bool // not all of the answer was understood
}

// parser is a parse.Parser.
type parser struct {
	sink   call.Sink
	spans  bool
	next   func() uint64
	memory int

	sides [2]side
	queue []*exchange // requests that are not answered, in their order
	size  int         // bytes of it, roughly

	names     map[string]string // topics by their numbers
	namesSize int
	shared    Names // nil if there are none

	client   []byte // the client's name, of the last request
	lastID   uint32
	requests int  // whose number was greater than the last one's, in a row
	repeats  bool // a request had a number that is not
	tokens   bool // there was a SaslHandshake of version 0: messages without a header may follow
	joined   bool // the connection was recorded from its middle on
}

func newParser(env parse.Env) *parser {
	p := &parser{sink: env.Sink, spans: env.Spans, next: env.Next, memory: env.Memory, names: map[string]string{}}
	p.shared, _ = env.Sink.(Names)
	for _, dir := range record.Directions() {
		p.sides[dir].Torn = !env.FromStart[dir]
		p.joined = p.joined || !env.FromStart[dir]
		if env.FromStart[dir] {
			p.sides[dir].Trusted = 1
		}
	}
	return p
}

// Parse implements parse.Parser.
func (p *parser) Parse(s *parse.Stream) error {
	w := &p.sides[s.Dir()]
	err := p.parse(s, w)
	w.Next, w.Waiting = s.Offset(), len(s.Bytes())
	return err
}

// Leave implements parse.Answering.
func (p *parser) Leave(*parse.Stream) {}

// Due implements parse.Answering.
func (p *parser) Due() bool { return len(p.queue) > 0 || p.sides[record.Out].Open }

func (p *parser) parse(s *parse.Stream, w *side) error {
	data, base, pos := s.Bytes(), s.Offset(), 0
	for {
		at := base + uint64(pos)
		switch {
		case !w.Open:
			if pos == len(data) {
				s.Advance(pos)
				return nil
			}
			n, err := p.begin(s, w, data[pos:], at)
			if n == 0 || err != nil {
				s.Advance(pos)
				return err
			}
			pos += n
		case at >= w.End && !w.Walking:
			last := s.LastTime()
			if pos > 0 {
				last = s.TimeAt(at - 1)
			}
			p.missed(s, w)
			p.finish(s.Dir(), w, last)
		case !w.Walking:
			s.Advance(pos)
			w.Skipped = true
			s.Skip(w.End-at, parse.Value{Call: p.numberOf(w), Kind: p.kindOf(w)})
			if s.Skipping() {
				return nil
			}
			data, base, pos = s.Bytes(), s.Offset(), 0
		default:
			p.missed(s, w)
			left := int64(w.End - min(at, w.End))
			b := data[pos:]
			if int64(len(b)) > left {
				b = b[:left]
			}
			header := w.walk.inHeader()
			step, n, f := w.walk.next(b, left)
			switch step {
			case more:
				if int64(len(b)) < left {
					s.Advance(pos)
					return nil
				}
				p.misunderstood(w)
			case bad:
				p.misunderstood(w)
			case end:
				// The message has more than the table says: its version has fields that are not known.
				w.Walking = false
			case item:
				p.value(s.Dir(), w, f, at+uint64(n)-uint64(f.length))
				pos += n
			case moved:
				pos += n
				if header && !w.walk.inHeader() {
					p.startBody(s.Dir(), w, at+uint64(n))
				}
			case long:
				if f.length <= int64(len(b)-n) {
					pos += n + int(f.length)
					if header && !w.walk.inHeader() {
						p.startBody(s.Dir(), w, base+uint64(pos))
					}
					break
				}
				s.Advance(pos + n)
				w.Skipped = true
				kind := call.Kind(0)
				if f.kind != 0 {
					kind = p.spanKind(s.Dir(), f)
				}
				s.Skip(uint64(f.length), parse.Value{Call: p.numberOf(w), Kind: kind})
				if s.Skipping() {
					return nil
				}
				data, base, pos = s.Bytes(), s.Offset(), 0
			}
		}
	}
}

// missed counts the bytes that were not recorded of a skip that has ended.
func (p *parser) missed(s *parse.Stream, w *side) {
	if w.Skipped {
		w.Skipped = false
		p.miss(s.Dir(), w, s.Missing())
	}
}

// miss counts bytes of a message that were not recorded.
func (p *parser) miss(dir record.Direction, w *side, n uint64) {
	if n == 0 || w.x == nil {
		return
	}
	m := &w.x.Call.Request
	if dir == record.Out {
		m = &w.x.Call.Response
	}
	m.Missing += n
	w.x.Call.Incomplete |= call.Gap
}

func (p *parser) numberOf(w *side) uint64 {
	if w.x == nil {
		return 0
	}
	return w.x.Call.N
}

// kindOf returns the kind of what is skipped because it is not understood.
func (p *parser) kindOf(w *side) call.Kind {
	switch {
	case w.x == nil:
		return 0
	case w.x.Token:
		return call.KindPassword
	}
	return call.KindBody
}

// misunderstood gives up looking at the fields of a message.
func (p *parser) misunderstood(w *side) {
	w.Walking = false
	p.unknown(w)
}

// unknown says that not all of a message is known.
func (p *parser) unknown(w *side) {
	if w == &p.sides[record.Out] {
		w.Unknown = true
	} else if w.x != nil {
		w.x.Unknown = true
	}
}

// startBody says where the body of a message begins.
func (p *parser) startBody(dir record.Direction, w *side, at uint64) {
	if w.x == nil {
		return
	}
	m := &w.x.Call.Request
	if dir == record.Out {
		m = &w.x.Call.Response
	}
	m.HasBody, m.Body = true, call.Range{Offset: at, Length: w.End - at}
}

// begin consumes the head of a message. n is its length; 0 if it is not all there.
func (p *parser) begin(s *parse.Stream, w *side, data []byte, at uint64) (n int, err error) {
	if s.Dir() == record.In {
		return p.beginRequest(s, w, data, at)
	}
	return p.beginAnswer(s, w, data, at)
}

var (
	errRequest = errors.New("kafka: no request begins here")
	errAnswer  = errors.New("kafka: no answer begins here")
)

// beginRequest consumes the header of a request, but for its tags.
func (p *parser) beginRequest(s *parse.Stream, w *side, data []byte, at uint64) (int, error) {
	h, n, verdict := parseHeader(data)
	if p.tokens && verdict == parse.No {
		return p.beginToken(s, w, data, at)
	}
	if verdict == parse.Maybe {
		return 0, nil
	}
	if verdict == parse.No {
		return 0, errRequest
	}
	p.tokens = false
	x := &exchange{ID: h.id, Key: h.key, Ver: h.version, Acks: -1, Parsing: true}
	x.Call = call.Call{N: p.next(), Protocol: call.Kafka, Method: nameOf(h.key)}
	r := &x.Call.Request
	r.Present, r.First = true, s.TimeAt(at)
	r.Range = call.Range{Offset: at, Length: h.length}
	*w = side{Open: true, Start: at, End: at + h.length, x: x, Trusted: w.Trusted, Torn: w.Torn, walk: w.walk}
	if w.Trusted == 0 {
		x.Unsure = true
		x.Call.Incomplete |= call.Gap
	}
	p.span(record.In, x, call.KindHeader, "client_id", data[n-len(h.client):n], at+uint64(n-len(h.client)))
	p.client = append(p.client[:0], h.client...)
	if p.requests++; p.requests > 1 && int32(h.id-p.lastID) <= 0 {
		p.repeats = true
	}
	p.lastID = h.id
	p.push(x)
	a := apiOf(h.key)
	if a == nil || h.version > a.max {
		x.Unknown = true
		p.startBody(record.In, w, at+uint64(n))
		return n, nil
	}
	w.Walking = true
	flexible := h.version >= a.flexible
	w.walk.start(a.request, h.version, flexible, flexible)
	if !flexible {
		p.startBody(record.In, w, at+uint64(n))
	}
	return n, nil
}

// beginToken consumes the length of a message of SASL.
func (p *parser) beginToken(s *parse.Stream, w *side, data []byte, at uint64) (int, error) {
	if len(data) < 4 {
		return 0, nil
	}
	length := uint64(binary.BigEndian.Uint32(data))
	if length > maxToken {
		return 0, errRequest
	}
	x := &exchange{Token: true, Parsing: true, Acks: -1}
	x.Call = call.Call{N: p.next(), Protocol: call.Kafka, Method: "SaslToken"}
	r := &x.Call.Request
	r.Present, r.First = true, s.TimeAt(at)
	r.Range = call.Range{Offset: at, Length: 4 + length}
	*w = side{Open: true, Start: at, End: at + 4 + length, x: x, Trusted: w.Trusted, Torn: w.Torn, walk: w.walk}
	p.startBody(record.In, w, at+4)
	p.push(x)
	return 4, nil
}

// push adds a request to those that wait for an answer. If there are too many, the oldest
// one gets none.
func (p *parser) push(x *exchange) {
	p.queue = append(p.queue, x)
	p.size += callSize
	for p.size > p.memory/2 {
		at := 0
		if p.queue[0].Answered { // the rest of its answer is to come
			at = 1
		}
		if at >= len(p.queue)-1 {
			return
		}
		oldest := p.queue[at]
		p.unanswered(oldest, call.Gap, false)
		p.remove(oldest)
	}
}

// remove removes a request from those that wait.
func (p *parser) remove(x *exchange) {
	if i := slices.Index(p.queue, x); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		p.size -= callSize + x.size()
	}
}

// size returns how many bytes the request's topics need.
func (x *exchange) size() int {
	n := len(x.Group)
	for _, t := range x.Topics {
		n += len(t.Name) + len(t.ID) + nameSize
	}
	return n
}

// beginAnswer consumes the length and the number of an answer.
func (p *parser) beginAnswer(s *parse.Stream, w *side, data []byte, at uint64) (int, error) {
	if len(data) < 4 {
		return 0, nil
	}
	length := uint64(binary.BigEndian.Uint32(data))
	if length > maxFrame {
		return 0, errAnswer
	}
	var x *exchange
	n := 4
	if len(p.queue) > 0 && p.queue[0].Token && !p.queue[0].Done {
		x = p.queue[0]
	} else {
		switch torn := p.sides[record.In].Torn; {
		case length < 4 && !torn:
			return 0, errAnswer
		case length < 4: // to a message of SASL that was not recorded
		case len(data) < 8:
			return 0, nil
		default:
			n = 8
			x = p.asked(binary.BigEndian.Uint32(data[4:]))
		}
	}
	*w = side{Open: true, Start: at, End: at + 4 + length, x: x, Trusted: w.Trusted, Torn: w.Torn, walk: w.walk}
	if x == nil {
		x = &exchange{Acks: -1}
		w.x, w.Unknown = x, true
		x.Call = call.Call{N: p.next(), Protocol: call.Kafka, Incomplete: call.NoRequest}
		switch {
		case p.sides[record.In].Torn && !p.joined, w.Torn && !p.joined:
			x.Call.Incomplete |= call.Gap
		case p.joined:
			x.Call.Incomplete |= call.BeganBefore
		}
	} else if p.doubtful(w) {
		x.Call.Incomplete |= call.Gap
	}
	x.Answered = true
	r := &x.Call.Response
	r.Present, r.First = true, s.TimeAt(at)
	r.Range = call.Range{Offset: at, Length: 4 + length}
	a := apiOf(x.Key)
	if x.Token || w.Unknown || a == nil || x.Ver > a.max {
		w.Unknown = !x.Token
		p.startBody(record.Out, w, at+uint64(n))
		return n, nil
	}
	w.Walking = true
	flexible := x.Ver >= a.flexible
	// So that a client can read the answer whatever the broker's version, that of ApiVersions has no tags in its header.
	tags := flexible && x.Key != apiVersions
	w.walk.start(a.answer, x.Ver, flexible, tags)
	if !tags {
		p.startBody(record.Out, w, at+uint64(n))
	}
	return n, nil
}

// The keys that are treated in their own way.
const (
	produce       = 0
	saslHandshake = 17
	apiVersions   = 18
)

// doubtful reports whether it is uncertain that an answer is that of the request with its
// number.
func (p *parser) doubtful(w *side) bool {
	if w.Trusted == 0 {
		return true
	}
	torn := w.Torn || p.sides[record.In].Torn
	return torn && (p.repeats || p.requests < 2)
}

// asked returns the request with a number; nil if there is none. Those before it are not
// answered: answers come in order.
func (p *parser) asked(id uint32) *exchange {
	at := slices.IndexFunc(p.queue, func(x *exchange) bool { return x.ID == id && !x.Token && !x.Answered })
	if at < 0 {
		return nil
	}
	x := p.queue[at]
	for p.queue[0] != x {
		p.unanswered(p.queue[0], call.Gap, false)
		p.remove(p.queue[0])
	}
	return x
}

// value looks at a value whose bytes begin at an offset.
func (p *parser) value(dir record.Direction, w *side, f found, at uint64) {
	x := w.x
	if dir == record.In {
		p.requested(w, f)
	} else {
		p.answered(w, f)
	}
	if p.spans && f.kind != kindUUID && f.kind > 8 {
		p.span(dir, x, p.spanKind(dir, f), "", f.value, at)
	}
}

// spanKind returns the kind of a value.
func (p *parser) spanKind(dir record.Direction, f found) call.Kind {
	switch {
	case f.role == rolePassword:
		return call.KindPassword
	case f.role == roleRecords || f.kind == kindBytes || dir == record.Out:
		return call.KindBody
	case f.role == roleTopic || f.role == roleName:
		return call.KindTarget
	}
	return call.KindArgument
}

func (p *parser) span(dir record.Direction, x *exchange, kind call.Kind, name string, value []byte, at uint64) {
	if p.spans && len(value) > 0 {
		p.sink.Span(call.Span{
			Call: x.Call.N, Direction: dir, Range: call.Range{Offset: at, Length: uint64(len(value))}, Kind: kind, Name: name, Value: value,
		})
	}
}

// requested looks at a value of a request.
func (p *parser) requested(w *side, f found) {
	x := w.x
	switch f.role {
	case roleTopic:
		if len(f.value) > 0 {
			p.addTopic(x, topic{Name: slices.Clone(f.value)})
		}
	case roleTopicID:
		if !isZero(f.value) {
			p.addTopic(x, topic{ID: slices.Clone(f.value)})
		}
	case roleGroup:
		if len(x.Group) < maxTarget && len(f.value) > 0 {
			if len(x.Group) > 0 {
				x.Group = append(x.Group, ',')
			}
			x.Group = append(x.Group, f.value...)
		}
	case roleAcks:
		x.Acks = int16(binary.BigEndian.Uint16(f.value))
	case roleResource:
		w.ResourceKind = f.value[0]
	case roleName:
		const ofTopic = 2
		if w.ResourceKind == ofTopic && len(f.value) > 0 {
			p.addTopic(x, topic{Name: slices.Clone(f.value)})
		}
	}
}

// addTopic adds a topic of a request, if it is not there.
func (p *parser) addTopic(x *exchange, t topic) {
	if x.TopicsSize >= maxTarget {
		return
	}
	for _, other := range x.Topics {
		if string(other.Name) == string(t.Name) && string(other.ID) == string(t.ID) {
			return
		}
	}
	x.Topics = append(x.Topics, t)
	x.TopicsSize += len(t.Name) + len(t.ID)
	p.size += len(t.Name) + len(t.ID) + nameSize
}

// answered looks at a value of an answer.
func (p *parser) answered(w *side, f found) {
	switch f.role {
	case roleError:
		code := int(int16(binary.BigEndian.Uint16(f.value)))
		if w.Code == 0 {
			w.Code = code
		}
		if code != 0 && w.x.Key == apiVersions {
			w.Walking = false // what follows has the version 0
		}
	case roleTopic:
		w.LastTopic = append(w.LastTopic[:0], f.value...)
		if len(w.LastID) > 0 {
			p.learn(w)
		}
	case roleTopicID:
		w.LastID = append(w.LastID[:0], f.value...)
		if len(w.LastTopic) > 0 {
			p.learn(w)
		}
	}
}

// learn remembers the name of the topic that an answer has with its number.
func (p *parser) learn(w *side) {
	if !isZero(w.LastID) && len(w.LastTopic) <= maxTopic && p.namesSize < p.memory/4 {
		if _, known := p.names[string(w.LastID)]; !known {
			p.namesSize += nameSize + len(w.LastTopic)
		}
		p.names[string(w.LastID)] = string(w.LastTopic)
		if p.shared != nil {
			p.shared.LearnTopic([16]byte(w.LastID), string(w.LastTopic))
		}
	}
	w.LastID, w.LastTopic = w.LastID[:0], w.LastTopic[:0]
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// target returns the target of a request.
func (p *parser) target(x *exchange) string {
	if len(x.Topics) == 0 {
		return string(x.Group)
	}
	var b strings.Builder
	for i, t := range x.Topics {
		if i > 0 {
			b.WriteByte(',')
		}
		if t.ID == nil {
			b.Write(t.Name)
		} else {
			b.WriteString(p.topicName(t.ID))
		}
	}
	return b.String()
}

// topicName returns the name of a topic with a number, else the number.
func (p *parser) topicName(id []byte) string {
	if name, ok := p.names[string(id)]; ok {
		return name
	}
	if p.shared != nil {
		if name := p.shared.TopicName([16]byte(id)); name != "" {
			return name
		}
	}
	return base64.RawURLEncoding.EncodeToString(id)
}

// finish ends a message, whose last byte passed at last.
func (p *parser) finish(dir record.Direction, w *side, last time.Time) {
	x := w.x
	w.Open, w.x = false, nil
	w.Trusted++
	if dir == record.In {
		m := &x.Call.Request
		m.Ended, m.Last = true, last
		p.endRequest(x)
		return
	}
	x.Call.Response.Ended, x.Call.Response.Last = true, last
	p.endAnswer(w, x)
}

// endRequest ends a request, of which perhaps not all is known.
func (p *parser) endRequest(x *exchange) {
	x.Parsing = false
	x.Call.Target = p.target(x)
	if x.Unknown {
		x.Call.Incomplete |= call.UnknownFields
	}
	if x.Key == saslHandshake && x.Ver == 0 && !x.Token {
		p.tokens = true
	}
	if x.Done {
		p.emit(x)
		p.remove(x)
		return
	}
	if x.Key == produce && x.Acks == noBroker && !x.Token && !x.Answered {
		p.remove(x)
		p.unanswered(x, 0, false)
	}
}

// endAnswer ends an answer, of which perhaps not all is known, and its call.
func (p *parser) endAnswer(w *side, x *exchange) {
	p.status(w, x)
	if x.Key == saslHandshake && x.Ver == 0 && !x.Token && w.Code != 0 {
		p.tokens = false
	}
	if x.Done = x.Parsing; x.Done {
		return // the rest of the request is to come
	}
	p.emit(x)
	p.remove(x)
}

// status sets the status of a call from its answer.
func (p *parser) status(w *side, x *exchange) {
	c := &x.Call
	if w.Unknown && w.Code == 0 {
		if c.Request.Present {
			c.Incomplete |= call.UnknownFields
		}
		return
	}
	c.Code, c.Failed = w.Code, w.Code != 0
	c.Status = strconv.Itoa(w.Code)
}

// emit gives a call to the sink.
func (p *parser) emit(x *exchange) { p.sink.Call(&x.Call) }

// unanswered gives a call to the sink that has no answer.
func (p *parser) unanswered(x *exchange, reason call.Incomplete, failed bool) {
	x.Call.Incomplete |= call.NoAnswer | reason
	x.Call.Failed = failed
	p.emit(x)
}
