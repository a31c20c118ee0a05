package postgresql

import (
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// The queue has what the client has asked for, in its order, as far as the server has not answered it.

// unitMemory is what a unit costs, roughly.
const unitMemory = 256

func (p *parser) tail() *unit { return &p.Queue[len(p.Queue)-1] }

func (p *parser) push(u unit) *unit {
	p.release()
	if len(p.Queue)*unitMemory > p.env.Memory/4 || p.Texts > p.env.Memory/4 && p.texts() > p.env.Memory/4 {
		// The client has sent more than can be remembered. From here on it is not known whose answers come.
		p.flush()
		p.Doubt.Pipelined = true
		p.Doubt.begin()
		p.Queue = append(p.Queue, unit{Kind: unknown})
	}
	if u.Kind != sync && u.Kind != unknown && p.Doubt.On {
		u.Incomplete |= call.Gap
	}
	if p.Broken && (u.Kind == sync || u.Kind == extended) {
		u.Astray = true
		if len(p.Queue) == 0 {
			p.Queue = append(p.Queue, unit{Kind: unknown})
		}
	}
	p.Queue = append(p.Queue, u)
	return p.tail()
}

// texts returns how many bytes the targets in the queue have.
func (p *parser) texts() int {
	p.Texts = 0
	for i := range p.Queue {
		p.Texts += len(p.Queue[i].Target) + len(p.Queue[i].Statement)
	}
	return p.Texts
}

func (p *parser) pop() { p.Queue = p.Queue[1:] }

// release gives the sink the answered units of which it is known that no Sync of theirs follows.
func (p *parser) release() {
	for len(p.Queue) > 1 && !p.Aborted {
		u, next := &p.Queue[0], &p.Queue[1]
		if u.Kind != extended || !u.Answered || u.Open || next.Kind == sync || next.Kind == unknown || next.PassedOver {
			return
		}
		p.finish(u)
		p.pop()
	}
}

// Leave implements parse.Answering.
func (p *parser) Leave(*parse.Stream) {}

// Due implements parse.Answering.
func (p *parser) Due() bool {
	for i := range p.Queue {
		// Without a Sync, nothing follows the answers to the messages of an extended query.
		if u := &p.Queue[i]; u.Kind != extended || !u.Answered || u.Open {
			return true
		}
	}
	return false
}

// call gives u a number, which makes it a call.
func (p *parser) call(u *unit) {
	if u.N == 0 {
		u.N = p.env.Next()
	}
}

// method returns the method of u's call.
func (u *unit) method() string {
	switch {
	case u.Kind == connect:
		return "CONNECT"
	case u.Kind == query:
		return "QUERY"
	case u.Kind == function:
		return "FUNCTION"
	case u.Executed:
		return "EXECUTE"
	case u.Parsed:
		return "PREPARE"
	case u.Bound:
		return "BIND"
	}
	return u.Method
}

// emit gives u's call to the sink, if it is one.
func (p *parser) emit(u *unit) {
	if u.N == 0 {
		return
	}
	c := call.Call{
		N: u.N, Protocol: call.PostgreSQL, Method: u.method(), Target: string(u.Target), Status: u.Status, Failed: u.Failed,
		Request: u.Request.message(), Response: u.Response.message(), Interleaved: u.Interleaved, Incomplete: u.Incomplete,
	}
	if !c.Request.Present {
		c.Incomplete |= call.NoRequest
	}
	if !c.Response.Present {
		c.Incomplete |= call.NoAnswer
	}
	p.env.Sink.Call(&c)
}

// finish gives u's call to the sink, with its whole answer.
func (p *parser) finish(u *unit) {
	u.Response.Ended = u.Response.Present
	if u.Kind == extended && u.Status == "" && u.Answered && !u.PassedOver && !u.Lax {
		u.Status = "OK"
	}
	p.emit(u)
}

// flush gives up all that is expected: it is not known which answers are whose.
func (p *parser) flush() {
	for i := range p.Queue {
		u := &p.Queue[i]
		u.Incomplete |= call.Gap
		if !u.Failed {
			u.Status = "" // an error may have followed
		}
		u.Response.Ended = u.Failed
		p.emit(u)
	}
	p.Queue = nil
}

// group begins a group of messages of the client, whose answers end with ReadyForQuery.
func (p *parser) group(s *parse.Stream) {
	p.release()
	if p.Grouped {
		return
	}
	waiting := 0
	for i := range p.Queue {
		if u := &p.Queue[i]; u.Kind != unknown && u.Kind != connect {
			waiting++
		}
	}
	doubted := p.Doubt.On
	p.Doubt.request(nanos(s.TimeAt(s.Offset())), waiting)
	if doubted {
		// A client that waits for answers has got them all.
		p.flush()
	}
}

// surplus says that an answer came for which no request is known.
func (p *parser) surplus() {
	if p.Doubt.On {
		p.Doubt.ahead()
	} else {
		p.Doubt.begin()
	}
}

// ready is called when a group of answers has ended at s.
func (p *parser) ready(s *parse.Stream) {
	p.Broken = false
	if len(p.Queue) == 0 {
		p.Doubt.answer(nanos(s.LastTime()))
	}
}

// Lost implements parse.Parser.
func (p *parser) Lost(s *parse.Stream) {
	p.streams[s.Dir()] = s
	p.Skips[s.Dir()] = false
	p.Next[s.Dir()] = s.Offset()
	if s.Dir() == record.In {
		p.lostRequests()
	} else {
		p.lostAnswers()
	}
}

func (p *parser) lostRequests() {
	grouped := p.Grouped
	p.Broken = true
	p.Long = long{}
	p.Grouped, p.Aborted = false, false
	for i := len(p.Queue) - 1; i >= 0 && p.Queue[i].Kind != sync && p.Queue[i].Kind != unknown; i-- {
		u := &p.Queue[i]
		switch {
		case u.Open:
			u.Open, u.Lax = false, true
			u.Incomplete |= call.Gap | call.UnknownFields // an Execute may have followed
		case !u.Request.Ended, grouped && u.Kind == extended, u.Kind == connect, u.Interleaved:
			u.Incomplete |= call.Gap // its request may have gone on
		}
	}
	for name, statement := range p.Statements {
		statement.Lost = true
		p.Statements[name] = statement
	}
	clear(p.Portals)
	if p.Negotiating {
		p.Unsure = true
	}
	if len(p.Queue) > 0 && p.Queue[0].Lax {
		// Answers were lost too, so that the next ones may be of a request that was.
		p.flush()
	}
	if len(p.Queue) == 0 || p.tail().Kind != unknown {
		p.Queue = append(p.Queue, unit{Kind: unknown})
	}
	p.Doubt.begin()
}

func (p *parser) lostAnswers() {
	p.Unsure, p.Fresh = p.Negotiating, false
	certain := !p.Doubt.On
	// What comes next may be found so late that the beginning of another answer is missed.
	p.Doubt.begin()
	if len(p.Queue) == 0 {
		return
	}
	if p.Grouped {
		// The group goes on, and it is not known where its answers are.
		p.Broken = true
	}
	if p.Grouped || !certain || !p.single() {
		p.flush()
		p.Queue = append(p.Queue, unit{Kind: unknown})
		return
	}
	u := &p.Queue[0]
	u.Incomplete |= call.Gap
	u.Lax = true
	if !u.Failed {
		u.Status = "" // an error may have followed
	}
}

// single reports whether the next answers can be of one call only.
func (p *parser) single() bool {
	return p.Queue[0].Kind != unknown && p.Queue[0].Kind != sync && (len(p.Queue) == 1 || len(p.Queue) == 2 && p.Queue[1].Kind == sync)
}

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	for dir, s := range p.streams {
		if s != nil && p.Skips[dir] {
			p.extend(record.Direction(dir), s)
		}
	}
	for i := range p.Queue {
		u := &p.Queue[i]
		switch {
		case u.Status != "" && u.Answered:
			p.finish(u)
			continue
		case !e.Closed:
			u.Incomplete |= call.CutByWindow
		case u.Incomplete&call.Gap != 0 || p.Doubt.On:
			u.Incomplete |= call.Gap
		case e.AnswerWasNotSent():
			u.Failed = !u.PassedOver && !p.Aborted && !u.Endless
		default:
			u.Incomplete |= call.Gap
		}
		if u.Status == "OK" {
			u.Status = "" // an error may have followed
		}
		p.emit(u)
	}
	p.Queue = nil
}

// extend adds what was passed over of a message of s to the call that it belongs to.
func (p *parser) extend(dir record.Direction, s *parse.Stream) {
	if len(p.Queue) == 0 {
		return
	}
	u := &p.Queue[0]
	side := &u.Response
	if dir == record.In {
		u = p.asking()
		if u == nil {
			return
		}
		side = &u.Request
	}
	if !side.Present {
		return
	}
	side.extend(s)
	if missing := s.Missing(); missing > 0 {
		side.Missing += missing
		u.Incomplete |= call.Gap
	}
}

// asking returns the newest request.
func (p *parser) asking() *unit {
	for i := len(p.Queue) - 1; i >= 0; i-- {
		if u := &p.Queue[i]; u.Kind != sync && u.Kind != unknown {
			return u
		}
	}
	return nil
}

// passed is called before anything else is done with s: it accounts for what was passed over since the last time.
func (p *parser) passed(s *parse.Stream) {
	p.streams[s.Dir()] = s
	if p.Skips[s.Dir()] && !s.Skipping() {
		p.Skips[s.Dir()] = false
		p.extend(s.Dir(), s)
	}
}

// skip passes over n bytes of s, and reports whether all of them are there.
func (p *parser) skip(s *parse.Stream, n uint64, v parse.Value) bool {
	s.Skip(n, v)
	p.Skips[s.Dir()] = s.Skipping()
	return !s.Skipping()
}
