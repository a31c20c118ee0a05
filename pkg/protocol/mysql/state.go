package mysql

import (
	"encoding/json"
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// raw is text that need not be UTF-8, which its JSON form keeps.
type raw string

func (r raw) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(r)) }

func (r *raw) UnmarshalJSON(b []byte) error {
	var text []byte
	err := json.Unmarshal(b, &text)
	*r = raw(text)
	return err
}

// unit is a command whose answer is expected, or commands that were not recorded.
type unit struct {
	N       uint64  // 0 while it is no call
	Command command // unknown: commands that were not recorded: none, one, or many
	Login   bool    // it is a login, not a command

	Target      raw
	Status      string
	Code        int
	Failed      bool
	Interleaved bool
	Incomplete  call.Incomplete
	Lax         bool // packets of the answer were lost

	Request, Response side
}

// side is one side of a call, in little memory.
type side struct {
	From, To    uint64
	First, Last int64 // nanoseconds since 1970; 0 where not known
	Missing     uint64
	Present     bool
	Ended       bool
}

// begin says that the side begins with the first byte of c.
func (p *side) begin(c source) {
	if !p.Present {
		p.Present, p.From, p.To, p.First = true, c.from(), c.from(), c.first()
	}
}

// extend says that the side reaches up to what c has consumed.
func (p *side) extend(c source) {
	if p.Present {
		p.To, p.Last = c.to(), c.last()
	}
}

func (p *side) message() call.Message {
	if !p.Present {
		return call.Message{}
	}
	return call.Message{
		Present: true, Range: call.Range{Offset: p.From, Length: p.To - p.From},
		First: timeOf(p.First), Last: timeOf(p.Last), Ended: p.Ended, Missing: p.Missing,
	}
}

// statement is a prepared statement.
type statement struct {
	Text   raw
	Params int
	Types  []byte // of the parameters, 2 bytes each, once they were sent
	Lost   bool   // commands were lost since, which may have given its number to another one
	Order  uint64
}

// phase says what the connection is at.
type phase uint8

const (
	greeting phase = iota // the server has not said anything
	login                 // the client is to begin with its login
	commands
)

// step says what comes next of the answer at the head of the queue.
type step uint8

const (
	stepFirst     step = iota
	stepColumns        // Left columns
	stepColumnEnd      // what is between columns and rows
	stepRows
	stepParams // Left parameters of a prepared statement
	stepParamEnd
	stepPrepared // Left columns of a prepared statement
	stepPreparedEnd
	stepEvents // of a replication stream
	stepFields // columns up to an end
	stepFile   // the client sends a file
)

// known is a fact of a connection that need not have been recorded.
type known uint8

const (
	notKnown known = iota
	yes
	no
)

// parserState is what a checkpoint has of a parser.
type parserState struct {
	Phase   phase
	Server  uint64 // capabilities of the server
	Agreed  uint64 // capabilities of both; only if HasCaps
	HasCaps bool
	// DeprecateEOF says that there is no end packet between columns and rows.
	DeprecateEOF known

	Queue      []unit
	Texts      int // bytes of the targets in Queue, at most
	Statements map[uint32]statement
	Size       int // bytes of Statements
	Order      uint64
	LastID     uint32 // of the last statement that was prepared
	HasLast    bool

	Doubt     int     // how many more answers have to come until it is certain whose they are
	Pipelined bool    // the client does not wait for answers
	Torn      bool    // something was lost, or came before
	Number    [2]byte // of the last packets
	Answered  int64   // when the last byte of the server passed

	Step    step
	Left    int
	Later   int  // columns after the parameters of a prepared statement
	Rows    bool // of an answer of which a part was lost: rows have come
	More    [2]bool
	MoreAs  parse.Value // what the next packet of the client goes on with
	Command bool        // the client's packet is part of a command, which ends with it
	Sending *unit       // that command, if it will not be answered

	Skips    [2]bool // bytes of a packet are passed over
	Next     [2]uint64
	Inflated [2]*inflated
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (p *parser) MarshalBinary() ([]byte, error) { return json.Marshal(&p.parserState) }

// isSound reports whether the state is one that a parser can have, as far as its code stands on it.
func (p *parserState) isSound() bool {
	for _, s := range p.Statements {
		if s.Params < 0 || s.Order > p.Order {
			return false
		}
	}
	for _, z := range p.Inflated {
		if z == nil {
			continue
		}
		left := len(z.Data)
		for _, part := range z.Parts {
			if part.Length <= 0 || part.Length > left {
				return false
			}
			left -= part.Length
		}
		if left > 0 {
			return false
		}
	}
	return true
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (p *parser) UnmarshalBinary(b []byte) error {
	var state parserState
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("state of mysql: %w", err)
	}
	if state.Statements == nil {
		state.Statements = map[uint32]statement{}
	}
	if !state.isSound() {
		return fmt.Errorf("state of mysql: %w", parse.ErrState)
	}
	state.Size = 0
	for _, s := range state.Statements {
		state.Size += s.size()
	}
	p.parserState = state
	return nil
}

// parser understands a connection.
type parser struct {
	env     parse.Env
	streams [2]*parse.Stream // as Parse got them last, for what is passed over when the end comes
	parserState
}

func newParser(env parse.Env) parse.Parser {
	p := &parser{env: env, parserState: parserState{Statements: map[uint32]statement{}}}
	if !env.FromStart[record.In] || !env.FromStart[record.Out] {
		p.Doubt, p.Torn = 1, true
	}
	switch {
	case !env.FromStart[record.In]:
		p.Phase = commands
		p.Queue = append(p.Queue, unit{Incomplete: call.BeganBefore})
	case !env.FromStart[record.Out]:
		p.Phase = login
	}
	return p
}

// sink returns where spans go, nil if they are not wanted.
func (p *parser) sink() call.Sink {
	if p.env.Spans {
		return p.env.Sink
	}
	return nil
}
