package redis

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
)

// state is what a checkpoint has of a parser.
type state struct {
	Queue []entryState `json:",omitempty"`
	In    requestState
	Out   answerState
	Doubt doubt

	LostAt        [2]uint64
	Searching     [2]bool
	InEnd, OutEnd uint64
	Zone          time.Time // has the location of the times

	RESP3, ReplyOff, SkipReply, Multi, Monitor, Replicating bool
	Subscribed                                              subscriptions
}

// entryState has texts as bytes, because JSON's texts are UTF-8.
type entryState struct {
	N                       uint64
	Method, Target          []byte
	Offset, Length, Missing uint64
	First, Last             int64
	Body, Count             uint32
	Flags                   flags
}

type requestState struct {
	Entry             entryState
	Open, Named, Tail bool
	Args, Arg         int64
	KeyAt, Secret     int64
	Search            string
}

type answerState struct {
	Open, Push, NoRequest, Confirm bool
	Sound, Lost, Waiting           bool
	N, Offset, End                 uint64
	First, Last                    int64
	Body                           call.Range
	HasBody, Endless               bool
	Missing                        uint64
	Status, Method, Target         []byte
	Failed                         bool
	Kind                           kinds
	Mark                           call.Incomplete
	Total, Confirmed, Element      int64
	Frames                         []frame
	Tail, Text                     bool
}

func stateOf(e *entry) entryState {
	return entryState{e.n, []byte(e.method), []byte(e.target), e.offset, e.length, e.missing, e.first, e.last, e.body, e.count, e.flags}
}

func (s *entryState) entry() entry {
	return entry{s.N, string(s.Method), string(s.Target), s.Offset, s.Length, s.Missing, s.First, s.Last, s.Body, s.Count, s.Flags}
}

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) {
	r, o := &p.in, &p.out
	s := state{
		In: requestState{stateOf(&r.entry), r.open, r.named, r.tail, r.args, r.arg, r.keyAt, r.secret, r.search},
		Out: answerState{
			o.open, o.push, o.noRequest, o.confirm, o.sound, o.lost, o.waiting, o.n, o.offset, o.end, o.first, o.last, o.body, o.hasBody, o.endless,
			o.missing, []byte(o.status), []byte(o.method), []byte(o.target), o.failed, o.kind, o.mark, o.total, o.confirmed, o.element, o.frames, o.tail, o.text,
		},
		Doubt: p.doubt, LostAt: p.lostAt, Searching: p.searching, InEnd: p.inEnd, OutEnd: p.outEnd,
		Zone: time.Unix(0, 0).In(p.location), RESP3: p.resp3, ReplyOff: p.replyOff, SkipReply: p.skipReply, Multi: p.multi,
		Monitor: p.monitor, Replicating: p.replicating, Subscribed: p.subscribed,
	}
	for i := range p.queue.waiting() {
		s.Queue = append(s.Queue, stateOf(&p.queue.waiting()[i]))
	}
	return json.Marshal(&s)
}

// isSound reports whether the state is one that a parser can have, as far as its code stands on it.
func (s *state) isSound() bool {
	o := &s.Out
	open := o.Open || o.Tail || o.Text
	switch {
	case o.Confirm || o.Confirmed > 0:
		return len(s.Queue) > 0 && subscription(string(s.Queue[0].Method)) >= 0 && !o.Push && !o.NoRequest && (o.Confirm || !open)
	case open && !o.Push && !o.NoRequest:
		return len(s.Queue) > 0
	}
	return true
}

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("state of redis: %w", err)
	}
	if !s.isSound() {
		return fmt.Errorf("state of redis: %w", parse.ErrState)
	}
	p.queue = queue{}
	for i := range s.Queue {
		e := s.Queue[i].entry()
		p.queue.push(&e)
	}
	in, out := &s.In, &s.Out
	p.in = request{
		entry: in.Entry.entry(), open: in.Open, named: in.Named, args: in.Args, arg: in.Arg, tail: in.Tail,
		keyAt: in.KeyAt, search: in.Search, secret: in.Secret,
	}
	p.in.cmd = commandOf(p.in.entry.method)
	p.out = answer{
		out.Open, out.Push, out.NoRequest, out.Confirm, out.Sound, out.Lost, out.Waiting, out.N, out.Offset, out.End, out.First, out.Last, out.Body,
		out.HasBody, out.Endless, out.Missing, string(out.Status), out.Failed, out.Kind, string(out.Method), string(out.Target), out.Mark,
		out.Total, out.Confirmed, out.Frames, out.Element, out.Tail, out.Text,
	}
	p.doubt, p.lostAt, p.searching, p.inEnd, p.outEnd = s.Doubt, s.LostAt, s.Searching, s.InEnd, s.OutEnd
	p.location = s.Zone.Location()
	p.multi = s.Multi
	p.resp3, p.replyOff, p.skipReply, p.monitor, p.replicating, p.subscribed = s.RESP3, s.ReplyOff, s.SkipReply, s.Monitor, s.Replicating, s.Subscribed
	return nil
}

// commandOf returns what is known of a command with this method.
func commandOf(method string) *command {
	if c := commands[method]; c != nil {
		return c
	}
	if strings.Contains(method, " ") {
		c := plain
		c.name = method
		return &c
	}
	return &other
}
