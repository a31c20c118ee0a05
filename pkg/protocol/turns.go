package protocol

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// turns makes calls of a connection whose protocol is not known: one for each turn, which
// is what the client sends until the server answers, and the answer. It needs the
// lengths and times of the pieces alone.
type turns struct {
	env     parse.Env
	late    [2]bool // bytes of the direction passed before
	instead string  // the protocol that the bytes are not of; "" if it is not known that they are to be of one
	doubted bool    // bytes were missing before, so that it is not certain where the first turn begins
	open    bool    // current is a call
	turn    turn
}

// turn is the state of a call of turns.
type turn struct {
	Call call.Call
	Dir  record.Direction // of the last bytes
}

func newTurns(env parse.Env, late [2]bool) *turns { return &turns{env: env, late: late} }

// data adds bytes that passed. b is nil where they are not at hand.
func (t *turns) data(dir record.Direction, offset, length uint64, first, last time.Time, b []byte) {
	if length == 0 {
		return
	}
	m := t.message(dir, offset, first)
	m.Length += length
	m.Last = last
	t.body(m)
	if t.env.Spans && b != nil {
		t.env.Sink.Span(call.Span{
			Call: t.turn.Call.N, Direction: dir, Range: call.Range{Offset: offset, Length: length}, Kind: call.KindBody, More: true, Value: b,
		})
	}
}

// gap adds bytes that passed and were not recorded.
func (t *turns) gap(dir record.Direction, offset, length uint64) {
	if length == 0 {
		return
	}
	m := t.message(dir, offset, time.Time{})
	m.Length += length
	m.Missing += length
	m.Last = time.Time{}
	t.body(m)
	t.turn.Call.Incomplete |= call.Gap
}

// doubt says that it is not certain that all of the current turn's answer will be in it.
func (t *turns) doubt() {
	if t.open {
		t.turn.Call.Incomplete |= call.Gap
	}
}

func (t *turns) body(m *call.Message) { m.Body, m.HasBody = m.Range, true }

// message returns the message of the current turn that bytes of dir belong to. They may
// begin a turn.
func (t *turns) message(dir record.Direction, offset uint64, at time.Time) *call.Message {
	c := &t.turn.Call
	switch {
	case !t.open, dir == record.In && t.turn.Dir == record.Out:
		if t.open {
			c.Response.Ended = true
			t.end()
		}
		t.open = true
		t.turn = turn{Call: call.Call{N: t.env.Next(), Protocol: call.TCP, Instead: t.instead, Method: "turn"}, Dir: dir}
		if t.late[dir] {
			c.Incomplete |= call.BeganBefore
		}
		if t.doubted {
			c.Incomplete |= call.Gap
			t.doubted = false
		}
	case dir == record.Out && t.turn.Dir == record.In:
		c.Request.Ended = true
	}
	t.late[dir] = false
	t.turn.Dir = dir
	m := &c.Request
	if dir == record.Out {
		m = &c.Response
	}
	if !m.Present {
		*m = call.Message{Present: true, Range: call.Range{Offset: offset}, First: at}
	}
	return m
}

// finish gives the sink the last turn.
func (t *turns) finish(e parse.End) {
	if !t.open {
		return
	}
	c := &t.turn.Call
	if e.Closed {
		c.Request.Ended, c.Response.Ended = c.Request.Present, c.Response.Present
	} else {
		c.Incomplete |= call.CutByWindow
	}
	t.end()
}

func (t *turns) end() {
	c := &t.turn.Call
	if !c.Request.Present {
		c.Incomplete |= call.NoRequest
	}
	if !c.Response.Present {
		c.Incomplete |= call.NoAnswer
	}
	t.open = false
	t.env.Sink.Call(c)
}

// append appends the state of t.
func (t *turns) append(b *parse.State) {
	b.Flags(t.late[record.In], t.late[record.Out], t.doubted, t.open)
	b.String(t.instead)
	if t.open {
		b.Call(&t.turn.Call)
		b.Uint(uint64(t.turn.Dir))
	}
}

// read reads what append has appended.
func (t *turns) read(b *parse.StateReader) {
	b.Flags(&t.late[record.In], &t.late[record.Out], &t.doubted, &t.open)
	t.instead = b.String()
	if t.open {
		b.Call(&t.turn.Call)
		t.turn.Dir = record.Direction(b.Uint() & 1) //nolint:gosec // 0 or 1
	}
}
