// Package http1 parses HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112). It accepts what
// servers accept: empty lines between messages, any method and target, missing reason
// phrases, informational answers, folded lines, any transfer coding.
package http1

import (
	"bytes"
	"fmt"
	"slices"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
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
	Exchange *exchange // whose message it is in; nil if of none
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

	Forgotten bool // its call was given to the sink, while a message of it goes on
}

// size returns what x counts for while it is open, in bytes.
func (x *exchange) size() int { return len(x.Call.Target) + openSize }

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
// goesOn reports whether a client that has asked for another protocol does not wait for the answer: its next bytes are
// another request. That is not known of a tunnel, in which there may be requests, too.
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
	data := s.Bytes()
	looked := min(side.Looked, len(data))
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
// beginRequest returns the exchange of a request whose head has come.
// answers consumes what it can of what the server sent.
// answer consumes the head of an answer. done is false if it is not all there.
// answerBody begins the body of an answer.
// decideBody decides whether an answer has a body of which that is not known, because the
// method is not: another answer, or nothing, may follow its head. done is false if too few
// bytes are there.
// askedFor returns the exchange that an answer belongs to which begins now.
// upgraded ends the parser, because the connection goes on in another protocol.
// finish gives the sink an exchange of which both sides have ended.
func (p *parser) finish(x *exchange) {
	if x.Clean && x.Call.Request.Ended && x.Call.Response.Ended && !p.pipelined {
		p.unsure, p.late = 0, false
	}
	p.emit(x)
}

// emit gives the sink an exchange and forgets it.
func (p *parser) emit(x *exchange) {
	if x.Forgotten {
		return
	}
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
	p.size -= x.size()
	for i := range p.sides {
		if side := &p.sides[i]; side.Exchange == x {
			// It was forgotten within a body: what follows belongs to no call.
			side.Exchange = &exchange{Call: call.Call{N: c.N}, Forgotten: true}
		}
	}
	*x = exchange{}
	p.spare = x
}

// Leave implements parse.Answering.
func (p *parser) Leave(s *parse.Stream) {
	side := &p.sides[record.In]
	cut := side.Exchange
	side.Exchange, p.coming = nil, false
	side.awaitHead()
	if cut != nil {
		// The rest of the request is in what follows.
		cut.Call.Incomplete |= call.Gap
		p.cutMessage(cut, &cut.Call.Request, record.In)
		cut.Call.Request.Last = s.LastTime()
	}
	for i := len(p.open) - 1; i >= 0; i-- {
		x := p.open[i]
		early := x.Early // its request does not come any more
		x.Early = false
		if x.Answered && (early || x == cut) {
			p.emit(x)
		}
	}
}

// Due implements parse.Answering.
func (p *parser) Due() bool {
	if p.sides[record.Out].Exchange != nil {
		return true
	}
	for _, x := range p.open {
		if x.Call.Request.Present && !x.Answered {
			return true
		}
	}
	return false
}

// Rejoin implements parse.Rejoining.
func (p *parser) Rejoin(*parse.Stream) bool {
	p.sides[record.Out].awaitHead()
	return true
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
		m = &cut.Call.Request
	}
	p.cutMessage(cut, m, s.Dir())
	if cut.Answered && (cut.Asked || !cut.Call.Request.Present) {
		p.emit(cut)
	}
}

// cutMessage ends a message of x where what was consumed of its direction ends. Nothing more will be known of it.
func (p *parser) cutMessage(x *exchange, m *call.Message, dir record.Direction) {
	if dir == record.In {
		x.Asked = true
	} else {
		x.Answered = true
		if in := &p.sides[record.In]; in.Phase == waiting {
			in.awaitHead() // that answer does not change the protocol
		}
	}
	m.Length = max(p.offsets[dir], m.End()) - m.Offset
	if m.HasBody {
		m.Body.Length = max(m.End(), m.Body.Offset) - m.Body.Offset
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
