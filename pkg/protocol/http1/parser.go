// Package http1 parses HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112). It accepts what
// servers accept: empty lines between messages, any method and target, missing reason
// phrases, informational answers, folded lines, any transfer coding.
package http1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/trace"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol recognises and parses HTTP/1.1 and 1.0.
var Protocol = parse.Protocol{Name: call.HTTP1, New: newParser, Begins: begins, Within: within}

const (
	headRoom = 1 << 16 // bytes of Env.Memory that a head may not have
	maxLine  = 8 << 10 // bytes of a chunk's size with its extensions, or of a trailer field
	openSize = 1 << 10 // what an open exchange counts for, in bytes
)

// phase is where a direction is.
type phase uint8

const (
	atHead     phase = iota // before a message
	inBody                  // within a body that ends at a known place, or with the connection
	atChunk                 // before a chunk's size
	inChunk                 // within a chunk's data
	afterChunk              // before the end of line behind a chunk's data
	atTrailer               // before a line of the trailer section
	unsureBody              // answers only: behind a head that may have a body
	waiting                 // requests only: for the answer that may change the protocol
)

// side is the state of one direction.
type side struct {
	Phase    phase
	Exchange *exchange `json:"-"` // whose message it is in; nil if of none
	Endless  bool      // the body ends with the connection
	Unsure   framing   // of the phase unsureBody
	Looked   int       // bytes of the head that comes that were looked at, of the phase waiting those before the end of the first line
	Line     bool      // the first line of the head that comes is there, and is one; of the phase waiting: it is none
}

// exchange is a request and its answer, until both have ended.
type exchange struct {
	Call     call.Call
	Asked    bool   // the request has ended, or nothing more will be known of it
	Begun    bool   // the final answer has begun
	Answered bool   // the answer has ended, or nothing more will be known of it
	Head     bool   // the method is HEAD
	Connect  bool   // the method is CONNECT
	Upgrade  string // protocols that the request offers
	Early    bool   // the answer has begun before the request's head was complete
	Clean    bool   // it began when no other was open, and nothing was lost since
	Lost     bool   // its answer may have been in a gap
}

// parser implements parse.Parser.
type parser struct {
	env     parse.Env
	sides   [2]side
	open    []*exchange // in the order of their requests
	spare   *exchange   // one that is over, for the next request
	offsets [2]uint64   // behind what was consumed
	coming  bool        // a part of a request's head is there

	// unsure is by what calls are marked because it is not certain which answer belongs to
	// which request: bytes are missing, and no exchange was seen since that began and ended alone.
	unsure    call.Incomplete
	torn      call.Incomplete   // what unsure ever was
	late      bool              // the connection began before the recording, and no whole exchange was seen yet
	asked     bool              // a request was seen
	unasked   bool              // an answer without a request was seen
	pipelined bool              // the client has sent a request before the answer to the one before
	size      int               // bytes of the open exchanges
	names     map[string]string // of header fields, in lower case
	host      string            // the last one, which is mostly the next one too
}

func newParser(env parse.Env) parse.Parser {
	p := &parser{env: env, late: !env.FromStart[record.In] || !env.FromStart[record.Out]}
	if p.late {
		p.torn = call.BeganBefore
	}
	return p
}

func (p *parser) Parse(s *parse.Stream) error {
	var err error
	if s.Dir() == record.In {
		err = p.requests(s)
	} else {
		err = p.answers(s)
	}
	p.offsets[s.Dir()] = s.Offset()
	return err
}

// requests consumes what it can of what the client sent.
func (p *parser) requests(s *parse.Stream) error {
	side := &p.sides[record.In]
	for {
		switch side.Phase {
		case waiting:
			if !p.goesOn(s, side) {
				return nil
			}
		case atHead:
			done, err := p.request(s, side)
			if !done || err != nil {
				return err
			}
		default:
			done, err := p.body(s, side, &side.Exchange.Call.Request)
			if !done || err != nil {
				return err
			}
			p.requestEnded(s, side)
		}
	}
}

// goesOn reports whether a client that has asked for another protocol does not wait for the answer: its next bytes are
// another request. That is not known of a tunnel, in which there may be requests, too.
func (p *parser) goesOn(s *parse.Stream, side *side) bool {
	if side.Line || p.open[len(p.open)-1].Connect {
		return false
	}
	data := s.Bytes()
	end := bytes.IndexByte(data[side.Looked:], '\n')
	if end < 0 {
		side.Looked, side.Line = len(data), begins(record.In, data[:min(len(data), certain)]) == parse.No
		return false
	}
	end += side.Looked
	line, _ := cutLine(data)
	n, known := fieldBegins(data[end+1:])
	side.Looked, side.Line = end, !isRequestLine(line) || known && n == 0
	if n > 0 && !side.Line {
		side.awaitHead()
	}
	return side.Phase == atHead
}

// awaitHead says that a head is the next to come.
func (s *side) awaitHead() { s.Phase, s.Looked, s.Line = atHead, 0, false }

// skipEmptyLines consumes line ends in front of a message (RFC 9112, section 2.2), and reports whether there were any.
func skipEmptyLines(s *parse.Stream) bool {
	data := s.Bytes()
	n := 0
	for n < len(data) && (data[n] == '\n' || data[n] == '\r' && n+1 < len(data) && data[n+1] == '\n') {
		n++
	}
	s.Advance(n)
	return n > 0
}

// head returns the head at the beginning of s, nil if it is not all there. valid checks
// the first line, as soon as that is there.
func (p *parser) head(s *parse.Stream, side *side, valid func(line []byte) bool) ([]byte, error) {
	if skipEmptyLines(s) {
		side.Looked = 0
	}
	data, looked := s.Bytes(), side.Looked
	most := max(p.env.Memory-headRoom, p.env.Memory/2)
	n := headEnd(data, looked)
	side.Looked = len(data)
	switch {
	case n > 0 && n <= most:
		side.Looked, side.Line = 0, false
		return data[:n], nil
	case n > 0 || len(data) > most:
		return nil, fmt.Errorf("a head of more than %d bytes", most)
	case side.Line:
		return nil, nil
	}
	if end := bytes.IndexByte(data[looked:], '\n'); end >= 0 {
		line, _ := cutLine(data)
		if !valid(line) {
			return nil, fmt.Errorf("%.40q is no first line of HTTP/1", line)
		}
		side.Line = true
	} else if looked < certain && begins(s.Dir(), data) == parse.No {
		return nil, fmt.Errorf("%.40q begins no first line of HTTP/1", data)
	}
	return nil, nil
}

func isRequestLine(line []byte) bool { _, ok := parseRequestLine(line); return ok }
func isStatusLine(line []byte) bool  { _, ok := parseStatusLine(line); return ok }

// request consumes the head of a request. done is false if it is not all there.
func (p *parser) request(s *parse.Stream, side *side) (done bool, err error) {
	data, err := p.head(s, side, isRequestLine)
	p.coming = data == nil && len(s.Bytes()) > 0
	if data == nil || err != nil {
		return false, err
	}
	line, fields := cutLine(data)
	r, ok := parseRequestLine(line)
	if !ok {
		return false, fmt.Errorf("%.40q is no request line", line)
	}
	x := p.beginRequest(&r)
	c := &x.Call
	side.Exchange = x
	body, ids := framing{}, trace.Fields{}
	base := s.Offset() + uint64(len(data)-len(fields))
	for rest := fields; ; {
		f, after, more := nextField(rest)
		if !more {
			break
		}
		p.field(c, record.In, base+uint64(len(fields)-len(rest)), rest, &f)
		rest = after
		if len(f.name) == 0 {
			continue
		}
		switch f.name[0] | 0x20 {
		case 'h':
			if c.Host == "" && f.is("host") {
				if string(f.value) != p.host {
					p.host = string(f.value)
				}
				c.Host = p.host
			}
		case 'u':
			if f.is("upgrade") {
				x.Upgrade = string(bytes.ToLower(f.value))
			}
		}
		body.field(&f)
		trace.Add(&ids, f.name, f.value)
	}
	c.Trace = ids.Trace
	p.requestSpans(c, s.Offset(), data, &r)
	if c.Host == "" {
		c.Host = hostOf(c.Target)
	}
	if x.Connect || x.Upgrade != "" && !body.Upgrade {
		x.Upgrade = ""
	}
	p.size += len(c.Target) + openSize
	c.Request.Range = call.Range{Offset: s.Offset(), Length: uint64(len(data))}
	c.Request.Present, c.Request.First = true, s.TimeAt(s.Offset())
	s.Advance(len(data))
	switch {
	case body.Chunked:
		p.beginBody(s, side, &c.Request, atChunk)
	case body.Invalid, body.Coded && !body.Known:
		// The server refuses it, and closes the connection, because the body's end is not known (RFC 9112, section 6.3).
		p.beginBody(s, side, &c.Request, inBody)
		side.Endless = true
		s.Skip(parse.Until, parse.Value{Call: c.N, Kind: call.KindBody})
	case body.Length > 0:
		p.beginBody(s, side, &c.Request, inBody)
		s.Skip(body.Length, parse.Value{Call: c.N, Kind: call.KindBody})
	default:
		if body.Known {
			c.Request.HasBody, c.Request.Body = true, call.Range{Offset: s.Offset()}
		}
		p.requestEnded(s, side)
	}
	return true, nil
}

// beginRequest returns the exchange of a request whose head has come.
func (p *parser) beginRequest(r *requestLine) *exchange {
	for _, x := range p.open {
		if x.Early {
			x.Early = false
			x.Call.Method, x.Call.Target = method(r.method), string(r.target)
			x.Call.Path = pathOf(x.Call.Target)
			x.Head, x.Connect = x.Call.Method == methodHead, x.Call.Method == methodConnect
			return x
		}
	}
	if len(p.open) > 0 {
		p.pipelined = true
	}
	for len(p.open) > 0 && p.size > p.env.Memory/2 {
		p.forget()
	}
	x := p.spare
	if p.spare = nil; x == nil {
		x = &exchange{}
	}
	x.Clean = len(p.open) == 0
	c := &x.Call
	c.N, c.Protocol = p.env.Next(), call.HTTP1
	c.Method, c.Target = method(r.method), string(r.target)
	c.Path = pathOf(c.Target)
	x.Head, x.Connect = c.Method == methodHead, c.Method == methodConnect
	if x.Connect {
		c.Path = ""
	}
	c.Incomplete |= p.unsure
	p.asked = true
	p.open = append(p.open, x)
	return x
}

// forget gives the oldest exchange to the sink, because there are too many: only requests
// are recorded, or there is something wrong.
func (p *parser) forget() {
	x := p.open[0]
	if p.offsets[record.Out] > 0 {
		p.unsure |= call.Gap
		x.Call.Incomplete |= call.Gap
	}
	p.emit(x)
}

func (p *parser) requestEnded(s *parse.Stream, side *side) {
	x := side.Exchange
	m := &x.Call.Request
	m.Ended, m.Last = true, s.LastTime()
	m.Length = s.Offset() - m.Offset
	x.Asked = true
	side.Phase, side.Exchange = atHead, nil
	if x.Answered {
		p.finish(x)
	} else if x.Connect || x.Upgrade != "" {
		side.Phase = waiting
	}
}

// answers consumes what it can of what the server sent.
func (p *parser) answers(s *parse.Stream) error {
	side := &p.sides[record.Out]
	for {
		if side.Phase == unsureBody {
			if !p.decideBody(s, side) {
				return nil
			}
			continue
		}
		if side.Phase != atHead {
			done, err := p.body(s, side, &side.Exchange.Call.Response)
			if !done || err != nil {
				return err
			}
			p.answerEnded(s, side)
			continue
		}
		done, err := p.answer(s, side)
		if !done || err != nil {
			return err
		}
	}
}

// answer consumes the head of an answer. done is false if it is not all there.
func (p *parser) answer(s *parse.Stream, side *side) (done bool, err error) {
	data, err := p.head(s, side, isStatusLine)
	if data == nil || err != nil {
		return false, err
	}
	line, fields := cutLine(data)
	code, ok := parseStatusLine(line)
	if !ok {
		return false, fmt.Errorf("%.40q is no status line", line)
	}
	x := p.askedFor()
	c := &x.Call
	side.Exchange = x
	body := framing{}
	base := s.Offset() + uint64(len(data)-len(fields))
	upgrade := ""
	for rest := fields; ; {
		f, after, more := nextField(rest)
		if !more {
			break
		}
		p.field(c, record.Out, base+uint64(len(fields)-len(rest)), rest, &f)
		rest = after
		body.field(&f)
		if code == 101 && f.is("upgrade") {
			upgrade = string(bytes.ToLower(f.value))
		}
	}
	if p.env.Spans {
		p.env.Sink.Span(call.Span{
			Call: c.N, Direction: record.Out, Range: call.Range{Offset: s.Offset() + 9, Length: uint64(len(line) - 9)}, Kind: call.KindStatus, Value: line[9:],
		})
	}
	m := &c.Response
	if !m.Present || x.Lost {
		*m = call.Message{Present: true, Range: call.Range{Offset: s.Offset()}}
		x.Lost = false
	}
	interim := code/100 == 1 && code != 101
	if !interim {
		// Latency counts to the final answer.
		m.First = s.TimeAt(s.Offset())
		x.Begun = true
		c.Status, c.Code, c.Failed = statusText[code], code, code >= 500
	}
	s.Advance(len(data))
	m.Length = s.Offset() - m.Offset
	m.Last = s.LastTime()
	if interim {
		side.Exchange = nil
		return true, nil
	}
	switch {
	case code == 101 || x.Connect && code/100 == 2:
		return false, p.upgraded(s, side, upgrade)
	case x.Head || code == 204 || code == 304:
		p.answerEnded(s, side)
	case (p.unsure != 0 || !c.Request.Present) && !body.empty():
		// If it is the answer to a HEAD, it has no body.
		side.Phase, side.Unsure = unsureBody, body
	default:
		p.answerBody(s, side, &body)
	}
	return true, nil
}

// answerBody begins the body of an answer.
func (p *parser) answerBody(s *parse.Stream, side *side, body *framing) {
	c := &side.Exchange.Call
	m := &c.Response
	switch {
	case body.Chunked:
		p.beginBody(s, side, m, atChunk)
	case body.endless():
		p.beginBody(s, side, m, inBody)
		side.Endless = true
		s.Skip(parse.Until, parse.Value{Call: c.N, Kind: call.KindBody})
	default:
		p.beginBody(s, side, m, inBody)
		s.Skip(body.Length, parse.Value{Call: c.N, Kind: call.KindBody})
		if body.Length == 0 {
			p.answerEnded(s, side)
		}
	}
}

// decideBody decides whether an answer has a body of which that is not known, because the
// method is not: another answer, or nothing, may follow its head. done is false if too few
// bytes are there.
func (p *parser) decideBody(s *parse.Stream, side *side) (done bool) {
	switch beginsAnswer(s.Bytes()) {
	case parse.Maybe:
		return false
	case parse.Yes:
		p.answerEnded(s, side)
	default:
		body := side.Unsure
		side.Unsure = framing{}
		p.answerBody(s, side, &body)
	}
	return true
}

// askedFor returns the exchange that an answer belongs to which begins now.
func (p *parser) askedFor() *exchange {
	var x *exchange
	for _, o := range p.open {
		if !o.Begun && (x == nil || x.Lost) {
			x = o
		}
	}
	if x == nil {
		// The server speaks without being asked, or before it has the whole head.
		x = &exchange{Early: p.coming}
		x.Call.Incomplete = p.torn
		switch {
		case p.torn == call.BeganBefore && !p.asked && !p.unasked:
			// It answers the request that was the last one before the recording.
		case p.torn == call.BeganBefore && !p.asked:
			p.pipelined = true
			p.unsure |= p.torn
		default:
			p.unsure |= p.torn
		}
		p.unasked = true
		x.Call.N, x.Call.Protocol = p.env.Next(), call.HTTP1
		p.open = append(p.open, x)
	}
	if p.late && p.pipelined {
		// The client may have sent more requests before the recording.
		p.unsure |= call.BeganBefore
	}
	x.Call.Incomplete |= p.unsure
	for o := p.open[0]; o != x && o.Lost && !o.Begun; o = p.open[0] {
		o.Call.Incomplete |= call.Gap
		p.emit(o)
	}
	return x
}

// upgraded ends the parser, because the connection goes on in another protocol.
func (p *parser) upgraded(s *parse.Stream, side *side, to string) error {
	x := side.Exchange
	u := &parse.Upgrade{Other: p.offsets[record.In]}
	name, _, _ := strings.Cut(to, ",")
	switch strings.TrimSpace(name) {
	case "websocket":
		request := x.Call
		u.To, u.Request = call.WebSocket, &request
	case "h2c":
		// The answer is that of HTTP/2's stream 1 (RFC 7540, section 3.2).
		u.To, u.Request = call.HTTP2, &x.Call
		p.open = slices.DeleteFunc(p.open, func(o *exchange) bool { return o == x })
		return u
	}
	p.answerEnded(s, side)
	return u
}

func (p *parser) answerEnded(s *parse.Stream, side *side) {
	x := side.Exchange
	m := &x.Call.Response
	m.Ended, m.Last = true, s.LastTime()
	m.Length = s.Offset() - m.Offset
	x.Answered = true
	side.Phase, side.Exchange = atHead, nil
	if in := &p.sides[record.In]; in.Phase == waiting {
		in.awaitHead()
	}
	if x.Asked || !x.Call.Request.Present && !x.Early {
		p.finish(x)
	}
}

// finish gives the sink an exchange of which both sides have ended.
func (p *parser) finish(x *exchange) {
	if x.Clean && x.Call.Request.Ended && x.Call.Response.Ended && !p.pipelined {
		p.unsure, p.late = 0, false
	}
	p.emit(x)
}

// emit gives the sink an exchange and forgets it.
func (p *parser) emit(x *exchange) {
	c := &x.Call
	if !c.Request.Present {
		c.Incomplete |= call.NoRequest
	}
	if !c.Response.Present || !x.Begun {
		c.Incomplete |= call.NoAnswer
	}
	if c.Request.Missing+c.Response.Missing > 0 {
		c.Incomplete |= call.Gap
	}
	p.env.Sink.Call(c)
	if x == p.open[0] {
		p.open = p.open[:copy(p.open, p.open[1:])]
	} else {
		p.open = slices.DeleteFunc(p.open, func(o *exchange) bool { return o == x })
	}
	p.size -= len(c.Target) + openSize
	for i := range p.sides {
		if side := &p.sides[i]; side.Exchange == x {
			// It was forgotten within a body: what follows belongs to no call.
			side.Exchange = &exchange{Call: call.Call{N: c.N}}
		}
	}
	*x = exchange{}
	p.spare = x
}

// Lost implements parse.Parser.
func (p *parser) Lost(s *parse.Stream) {
	p.unsure |= call.Gap
	p.torn |= call.Gap
	side := &p.sides[s.Dir()]
	cut := side.Exchange
	side.Exchange = nil
	side.awaitHead()
	for _, x := range p.open {
		x.Clean, x.Early = false, false
		if s.Dir() == record.Out && !x.Begun {
			x.Lost = true
		}
	}
	if s.Dir() == record.In {
		p.coming = false
	}
	if cut == nil {
		return
	}
	cut.Call.Incomplete |= call.Gap
	m := &cut.Call.Response
	if s.Dir() == record.In {
		cut.Asked = true
		m = &cut.Call.Request
	} else {
		cut.Answered = true
	}
	m.Length = max(p.offsets[s.Dir()], m.End()) - m.Offset
	if m.HasBody {
		m.Body.Length = max(m.End(), m.Body.Offset) - m.Body.Offset
	}
	if cut.Answered && (cut.Asked || !cut.Call.Request.Present) {
		p.emit(cut)
	}
}

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	if in := &p.sides[record.In]; in.Phase == waiting && p.offsets[record.Out] == 0 && !e.Left {
		// Only requests were recorded. What follows a CONNECT may be more of them.
		in.awaitHead()
		_ = p.requests(e.Streams[record.In])
	}
	for dir := range p.sides {
		side := &p.sides[dir]
		x, s := side.Exchange, e.Streams[dir]
		if x == nil {
			continue
		}
		m := &x.Call.Request
		if record.Direction(dir) == record.Out {
			m = &x.Call.Response
		}
		m.Length = s.Offset() - m.Offset
		m.Last = s.LastTime()
		if m.HasBody {
			m.Body.Length = s.Offset() - m.Body.Offset
		}
		m.Missing += s.Missing()
		switch {
		case side.Phase == unsureBody && e.Closed:
			// It was complete if it is the answer to a HEAD, or if its end is the connection's.
			x.Answered, m.Ended = true, side.Unsure.endless()
		case e.Closed && s.Skipping() && side.Endless:
			// The body ends with the connection.
			m.Ended = true
			x.Answered = x.Answered || record.Direction(dir) == record.Out
		}
	}
	for len(p.open) > 0 {
		x := p.open[0]
		c := &x.Call
		switch {
		case x.Answered && (x.Asked || !c.Request.Present || e.Closed):
		case p.unsure != 0 || e.Streams[record.Out].Astray():
			c.Incomplete |= p.unsure
			if p.late {
				c.Incomplete |= call.BeganBefore
			}
		case e.AnswerWasNotSent():
			c.Failed = true
		case e.Closed:
		case e.Left:
			c.Incomplete |= call.Gap
		default:
			c.Incomplete |= call.CutByWindow
		}
		p.emit(x)
	}
}

// parserState is what a checkpoint has of a parser.
type parserState struct {
	Sides     [2]side
	Within    [2]int // index in Open of the sides' exchanges, -1 for none
	Open      []*exchange
	Offsets   [2]uint64
	Coming    bool
	Unsure    call.Incomplete
	Torn      call.Incomplete
	Late      bool
	Asked     bool
	Unasked   bool
	Pipelined bool
	Size      int
}

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) {
	state := parserState{p.sides, [2]int{-1, -1}, p.open, p.offsets, p.coming, p.unsure, p.torn, p.late, p.asked, p.unasked, p.pipelined, p.size}
	for i := range p.sides {
		if x := p.sides[i].Exchange; x != nil {
			state.Within[i] = slices.Index(p.open, x)
			if state.Within[i] < 0 {
				state.Within[i] = len(p.open) // one that was forgotten
			}
		}
	}
	return json.Marshal(&state)
}

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error {
	var state parserState
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("state of http/1.1: %w", err)
	}
	p.sides, p.open, p.offsets, p.coming = state.Sides, state.Open, state.Offsets, state.Coming
	p.unsure, p.torn, p.late, p.pipelined, p.size = state.Unsure, state.Torn, state.Late, state.Pipelined, state.Size
	p.asked, p.unasked = state.Asked, state.Unasked
	for i, at := range state.Within {
		switch {
		case at >= 0 && at < len(p.open):
			p.sides[i].Exchange = p.open[at]
		case at >= 0:
			p.sides[i].Exchange = &exchange{}
		}
	}
	return nil
}
