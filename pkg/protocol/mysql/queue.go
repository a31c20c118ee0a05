package mysql

import (
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// The queue has the commands that the server has not answered, in their order.

// unitMemory is what a unit costs, roughly.
const unitMemory = 256

// push adds a command that will be answered.
func (p *parser) push(u unit) *unit {
	if len(p.Queue) > 0 && p.Step == stepPreparedEnd {
		p.finish() // nothing more comes of it
	}
	waiting := 0
	for i := range p.Queue {
		if p.Queue[i].N != 0 {
			waiting++
		}
	}
	switch {
	case p.Doubt > 0:
		// A client that waits for answers has got them all.
		p.flush()
	case waiting > 0:
		p.Pipelined = true
		if len(p.Queue)*unitMemory > p.env.Memory/4 || p.Texts > p.env.Memory/4 && p.texts() > p.env.Memory/4 {
			// It has sent more than can be remembered. From here on it is not known whose answers come.
			p.flush()
			p.Doubt = 1
		}
	}
	if p.Doubt > 0 {
		u.Incomplete |= call.Gap
		if u.Request.First < p.Answered {
			// It was found so late that its answer may have passed.
			p.Queue = append(p.Queue, unit{})
		}
	}
	p.Queue = append(p.Queue, u)
	p.Texts += len(u.Target)
	return &p.Queue[len(p.Queue)-1]
}

func (p *parser) texts() int {
	p.Texts = 0
	for i := range p.Queue {
		p.Texts += len(p.Queue[i].Target)
	}
	return p.Texts
}

// asking returns the newest command.
func (p *parser) asking() *unit {
	if n := len(p.Queue); n > 0 && p.Queue[n-1].N != 0 {
		return &p.Queue[n-1]
	}
	return nil
}

// emit gives u's call to the sink, if it is one.
func (p *parser) emit(u *unit) {
	if u.N == 0 {
		return
	}
	c := call.Call{
		N: u.N, Protocol: call.MySQL, Method: names[u.Command], Target: string(u.Target), Status: u.Status, Code: u.Code, Failed: u.Failed,
		Request: u.Request.message(), Response: u.Response.message(), Interleaved: u.Interleaved, Incomplete: u.Incomplete,
	}
	if u.Login {
		c.Method = "CONNECT"
	}
	if !c.Request.Present {
		c.Incomplete |= call.NoRequest
	}
	if !c.Response.Present {
		c.Incomplete |= call.NoAnswer
	}
	p.env.Sink.Call(&c)
}

// finish gives the call at the head to the sink, with its whole answer.
func (p *parser) finish() {
	u := &p.Queue[0]
	u.Response.Ended = u.Response.Present
	p.emit(u)
	p.Queue = p.Queue[1:]
	p.Step, p.Rows = stepFirst, false
	if u.Command == unknown && !u.Login {
		return
	}
	if p.Doubt > 0 && len(p.Queue) == 0 && !p.Pipelined {
		p.Doubt--
	}
}

// flush gives up all that is expected: it is not known which answers are whose.
func (p *parser) flush() {
	loggingIn := false
	for i := range p.Queue {
		u := &p.Queue[i]
		loggingIn = loggingIn || u.Login
		u.Incomplete |= call.Gap
		if u.Command == unknown && !u.Login {
			p.orphan(u)
			continue
		}
		if !u.Failed {
			u.Status = "" // an error may have followed
		}
		p.emit(u)
	}
	p.Queue = nil
	p.Step, p.Rows = stepFirst, false
	if p.Phase == login && loggingIn {
		p.loggedInNow(true)
	}
}

// orphan gives the sink an answer whose command is not known, if its status is.
func (p *parser) orphan(u *unit) {
	if u.Response.Present && u.Status != "" {
		if u.N == 0 {
			u.N = p.env.Next()
		}
		if u.Incomplete == 0 {
			u.Incomplete = call.Gap
		}
		u.Response.Ended = true
		p.emit(u)
		p.Doubt = 1
	}
	*u = unit{}
}

// Leave implements parse.Answering.
func (p *parser) Leave(*parse.Stream) {}

// Due implements parse.Answering.
func (p *parser) Due() bool {
	// What may follow the answer to a PREPARE is not due.
	return len(p.Queue) > 1 || len(p.Queue) == 1 && p.Step != stepPreparedEnd
}

// Lost implements parse.Parser.
func (p *parser) Lost(s *parse.Stream) {
	p.streams[s.Dir()] = s
	if z := p.Inflated[s.Dir()]; z != nil {
		z.lose(s.Offset())
	}
	lost := s.Offset() - p.Next[s.Dir()]
	p.Next[s.Dir()] = s.Offset()
	p.lost(s.Dir(), lost)
}

// lost says that n bytes of packets were lost.
func (p *parser) lost(dir record.Direction, n uint64) {
	p.Torn = true
	p.Skips[dir], p.More[dir] = false, false
	if dir == record.In {
		p.lostCommands()
	} else {
		p.lostAnswers(n)
	}
}

func (p *parser) lostCommands() {
	p.Command = false
	if u := p.Sending; u != nil {
		u.Incomplete |= call.Gap
		p.emit(u)
		p.Sending = nil
	}
	if u := p.asking(); u != nil && (!u.Request.Ended || u.Interleaved || u.Login || u.Command == comChangeUser) {
		u.Incomplete |= call.Gap // its request may have gone on
	}
	for id, s := range p.Statements {
		s.Lost = true
		p.Statements[id] = s
	}
	p.HasLast = false
	if len(p.Queue) > 0 && p.Queue[0].Lax {
		// Answers were lost too, so that the next ones may be of a command that was.
		p.flush()
	}
	if p.Phase != commands && p.asking() == nil {
		p.loggedInNow(false)
	}
	if n := len(p.Queue); n == 0 || p.Queue[n-1].N != 0 {
		p.Queue = append(p.Queue, unit{})
	}
	p.Doubt = 1
}

// minWrap is how many bytes the fewest packets have after which their numbers repeat.
const minWrap = 256 * (header + 1)

func (p *parser) lostAnswers(n uint64) {
	if p.Phase == greeting {
		p.Phase = login
	}
	certain := p.Doubt == 0
	// What comes next may be found so late that the beginning of another answer is missed.
	p.Doubt = 1
	if len(p.Queue) == 0 {
		return
	}
	u := &p.Queue[0]
	if len(p.Queue) > 1 || u.N == 0 || !certain {
		p.flush()
		p.Queue = append(p.Queue, unit{})
		return
	}
	u.Incomplete |= call.Gap
	u.Lax = true
	if !u.Failed {
		u.Status = ""
	}
	p.Rows = n >= minWrap || u.Response.Present
	p.Step = stepFirst
}

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	for dir, s := range p.streams {
		if s != nil && p.Skips[dir] {
			p.extend(source{s, p.Inflated[dir]})
		}
	}
	if len(p.Queue) > 0 && p.Step == stepPreparedEnd {
		p.finish()
	}
	if u := p.Sending; u != nil {
		if u.Request.Ended = p.Command && !p.Skips[record.In] && !p.More[record.In]; !u.Request.Ended {
			u.Incomplete |= call.CutByWindow
		}
		p.emit(u)
		p.Sending = nil
	}
	for i := range p.Queue {
		u := &p.Queue[i]
		if u.Command == unknown && !u.Login {
			if u.Status != "" {
				p.orphan(u)
			}
			continue
		}
		switch {
		case !e.Closed:
			u.Incomplete |= call.CutByWindow
		case u.Incomplete&call.Gap != 0 || p.Doubt > 0:
			u.Incomplete |= call.Gap
		case e.AnswerWasNotSent():
			u.Failed = p.Step != stepEvents || i > 0 // a replication stream goes on until somebody ends it
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

// extend adds what was passed over of a packet to the call that it belongs to.
func (p *parser) extend(c source) {
	var u *unit
	var s *side
	if len(p.Queue) > 0 {
		u = &p.Queue[0]
		s = &u.Response
	}
	if c.dir() == record.In {
		if u = p.asking(); p.Sending != nil {
			u = p.Sending
		}
		if u == nil {
			return
		}
		s = &u.Request
	}
	if s == nil || !s.Present {
		return
	}
	s.extend(c)
	if missing := c.missing(); missing > 0 {
		s.Missing += missing
		u.Incomplete |= call.Gap
	}
}

// passed is called before anything else is done with c: it accounts for what was passed over since the last time.
func (p *parser) passed(c source) {
	if p.Skips[c.dir()] && !c.skipping() {
		p.Skips[c.dir()] = false
		p.extend(c)
	}
}

// skip passes over n bytes, and reports whether they are all there.
func (p *parser) skip(c source, n int, v parse.Value) bool {
	whole := c.skip(uint64(n), v, p.sink())
	p.Skips[c.dir()] = !whole
	return whole
}
