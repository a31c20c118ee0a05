// Package redis parses the protocol of Redis, RESP 2 and RESP 3, for package protocol.
//
// A call is a command with its answer. Its method is the command in upper case, with
// its subcommand where it has one (`CONFIG GET`); its target is the first key, or the
// channel of a command that subscribes or publishes. What the server pushes is a call
// without a request: its method is the push's kind in upper case (`MESSAGE`,
// `INVALIDATE`, `MONITOR`), its target the channel.
//
// Answers come in the order of the commands. So one missing byte can make it uncertain
// which answer belongs to which command, for as long as the connection lasts. Type doubt
// says when that is so, and when it is certain again.
package redis

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is RESP 2 and RESP 3.
var Protocol = parse.Protocol{
	Name:   call.Redis,
	New:    func(env parse.Env) parse.Parser { return newParser(env) },
	Begins: begins,
	Within: within,
}

// Limits of what is accepted and held.
const (
	maxArgs   = 1 << 31   // arguments of a command, elements of an aggregate
	maxBulk   = 1 << 40   // bytes of a string; servers may be configured beyond their 512 MB
	maxNumber = 24        // bytes of the line with a length
	maxInline = 64 << 10  // bytes of an inline command, as the server has it
	maxShort  = 512       // bytes of a number, a double, a boolean
	maxLine   = 4 << 10   // bytes of a simple string that are waited for
	maxHeld   = 16 << 10  // bytes of an argument whose value matters that are waited for
	maxPrefix = 1 << 10   // bytes of a longer one that matter
	maxSynced = 1 << 20   // bytes of a string that is believed behind a gap
	maxDepth  = 64        // aggregates within each other that are counted one by one
	maxName   = 64        // bytes of a command's name
	maxCount  = 1<<62 - 1 // elements that are to come
)

// parser is a parse.Parser.
type parser struct {
	sink   call.Sink
	spans  bool
	next   func() uint64
	memory int
	call   call.Call // what the sink gets

	queue queue
	in    request
	out   answer
	doubt doubt

	lostAt        [2]uint64      // offsets behind the last gap
	searching     [2]bool        // a message is looked for
	inEnd, outEnd uint64         // offsets after what was consumed
	location      *time.Location // of the times
	lastTime      time.Time      // the time of lastNS
	lastNS        int64

	// What commands have changed.
	resp3       bool
	replyOff    bool // CLIENT REPLY OFF
	multi       bool // MULTI: commands are queued
	skipReply   bool // CLIENT REPLY SKIP: the next command has no answer
	monitor     bool // MONITOR
	subscribed  subscriptions
	replicating bool // a SYNC waits for its answer; what follows it in both directions are no commands
}

func newParser(env parse.Env) *parser {
	p := &parser{sink: env.Sink, spans: env.Spans, next: env.Next, memory: env.Memory, location: time.UTC}
	p.out.sound = env.FromStart[record.Out]
	p.out.lost = !p.out.sound
	if !env.FromStart[record.In] || !env.FromStart[record.Out] {
		p.doubt.begin()
		p.doubt.Joined = true
	}
	return p
}

// Parse implements parse.Parser.
func (p *parser) Parse(s *parse.Stream) error {
	if s.Dir() == record.In {
		err := p.parseIn(s)
		p.inEnd = s.Offset()
		return err
	}
	p.out.lost = false
	err := p.parseOut(s)
	p.outEnd = s.Offset()
	p.out.waiting = len(s.Bytes()) > 0 || s.Skipping()
	return err
}

// Leave implements parse.Answering.
func (p *parser) Leave(*parse.Stream) {}

// Due implements parse.Answering.
func (p *parser) Due() bool { return p.queue.len() > 0 || p.out.open }

// Rejoin implements parse.Rejoining.
func (p *parser) Rejoin(*parse.Stream) bool { return !p.in.named }

// Lost implements parse.Parser.
func (p *parser) Lost(s *parse.Stream) {
	p.searching[s.Dir()] = false
	if s.Dir() == record.In {
		p.loseRequest()
	} else {
		p.loseAnswer()
	}
}

// End implements parse.Parser.
func (p *parser) End(e parse.End) {
	cut := call.CutByWindow
	switch {
	case e.Left:
		cut = call.Gap // the rest is in what follows
	case e.Closed:
		cut = 0
	}
	out := e.Streams[record.Out]
	end := out.Offset() + uint64(len(out.Bytes()))
	if e.Left {
		end = out.Offset() // the others are in what follows
	}
	if o := &p.out; o.open && end > o.offset || o.confirmed > 0 {
		p.fill()
		c := &p.call
		if !o.open { // between two confirmations
			end = o.end
		}
		p.extend(end)
		c.Response.Missing += o.missing
		if out.Skipping() {
			c.Response.Missing += out.Missing()
		}
		c.Incomplete |= cut
		if c.Response.Missing > 0 {
			c.Incomplete |= call.Gap
		}
		if o.noRequest {
			c.Failed = c.Failed || e.AnswerWasNotSent()
		} else if oldest := p.queue.oldest(); oldest != nil {
			c.Failed = c.Failed || e.AnswerWasNotSent() && oldest.flags&unsure == 0
			p.popFront()
		}
		p.sink.Call(c)
	}
	for p.queue.len() > 0 {
		p.unanswered(p.queue.oldest(), cut, e.AnswerWasNotSent())
		p.queue.pop()
	}
	if r := &p.in; r.named {
		in := e.Streams[record.In]
		r.entry.length = in.Offset() - r.entry.offset
		if !e.Left {
			r.entry.length += uint64(len(in.Bytes()))
		}
		if in.Skipping() {
			r.entry.missing += in.Missing()
		}
		r.entry.flags |= unfinished
		p.unanswered(&r.entry, cut, e.AnswerWasNotSent())
	}
}

// unanswered gives a command to the sink that has no answer. notSent says that the
// answer was not sent, if it was to be sent.
func (p *parser) unanswered(e *entry, reason call.Incomplete, notSent bool) {
	if e.flags&bare != 0 {
		return
	}
	p.fillRequest(e)
	p.call.Incomplete |= call.NoAnswer | reason
	// A server that shuts down says so by closing the connection.
	p.call.Failed = notSent && e.flags&(unsure|silent) == 0 && e.method != "SHUTDOWN"
	p.sink.Call(&p.call)
}

// timeOf returns a time that an entry has as nanoseconds.
func (p *parser) timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	if ns != p.lastNS {
		p.lastNS, p.lastTime = ns, time.Unix(0, ns).In(p.location)
	}
	return p.lastTime
}

// nanoseconds returns a time as an entry has it.
func (p *parser) nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if t != p.lastTime {
		p.location, p.lastNS, p.lastTime = t.Location(), t.UnixNano(), t
	}
	return p.lastNS
}
