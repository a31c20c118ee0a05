package postgresql

import (
	"encoding/json"
	"fmt"
	"time"

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

// kind says what a unit is.
type kind uint8

const (
	connect kind = iota + 1
	query
	extended // messages of the extended query protocol, up to an Execute
	function
	sync
	unknown // requests that were not recorded: none, one, or many
)

// unit is what answers are expected for: a call, a Sync, or requests that were not
// recorded.
type unit struct {
	Kind kind
	N    uint64 // 0 while it is no call

	Open       bool   // its request may go on
	Expect     uint32 // answers that are still to come, 4 bits each, the next one lowest; see the want constants
	Executed   bool   // it has an Execute
	Parsed     bool   // it has a Parse
	Bound      bool   // it has a Bind
	Method     string // in other cases
	Answered   bool   // all of its answers have come, but for ReadyForQuery
	Lax        bool   // it is not known which answers are still to come
	Endless    bool   // its answer is a stream that goes on until somebody ends it
	PassedOver bool   // the server has passed over it after an error
	// Astray says that the group of its request may have begun with messages that were lost, so that it is not
	// known which answers are its own.
	Astray    bool
	Target    raw
	Statement raw // name that its Parse gives to Target
	Named     bool

	Status      string
	Failed      bool
	Interleaved bool
	Incomplete  call.Incomplete

	Request, Response part
}

// The answers that a message of the client wants.
const (
	wantNothing   = iota
	wantParse     // to Parse
	wantBind      // to Bind
	wantStatement // to Describe of a statement: its parameters
	wantRows      // to Describe: the columns, or that there are none
	wantExecute   // to Execute
	wantClose     // to Close
)

// expect adds an answer.
func (u *unit) expect(want uint32) {
	shift := 0
	for shift < 32 && u.Expect>>shift != 0 {
		shift += 4
	}
	if shift == 32 {
		u.Lax = true
		return
	}
	u.Expect |= want << shift
}

// part is one side of a call, in little memory.
type part struct {
	From, To    uint64
	First, Last int64 // nanoseconds since 1970; 0 where not known
	Missing     uint64
	Present     bool
	Ended       bool
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// begin says that the part begins with the first byte of s.
func (p *part) begin(s *parse.Stream) {
	if !p.Present {
		p.Present, p.From, p.To = true, s.Offset(), s.Offset()
		p.First = nanos(s.TimeAt(s.Offset()))
	}
}

// extend says that the part reaches up to what s has consumed.
func (p *part) extend(s *parse.Stream) {
	if p.Present {
		p.To, p.Last = s.Offset(), nanos(s.LastTime())
	}
}

func (p *part) message() call.Message {
	if !p.Present {
		return call.Message{}
	}
	return call.Message{
		Present: true, Range: call.Range{Offset: p.From, Length: p.To - p.From},
		First: timeOf(p.First), Last: timeOf(p.Last), Ended: p.Ended, Missing: p.Missing,
	}
}

// prepared is a prepared statement, or what a portal runs.
type prepared struct {
	Text raw
	// Lost says that messages of the client were lost since, which may have given the name to another one.
	Lost bool
}

// parserState is what a checkpoint has of a parser.
type parserState struct {
	Queue []unit // what answers are expected for, in their order
	Texts int    // bytes of the targets in Queue, at most

	Started     bool      // the startup message has passed, or may have passed
	Negotiating bool      // the client waits for the answer to a request for encryption, which is one byte
	Unsure      bool      // that answer was lost
	Fresh       bool      // nothing of the server but such answers has passed
	Next        [2]uint64 // offset up to which each direction was consumed

	Grouped bool // the client's group of messages goes on, up to a Sync
	Aborted bool // the server passes over all messages up to the next Sync

	Doubt doubt
	// Broken says that messages of the client were lost since the last ReadyForQuery, so that a group may have begun
	// with them.
	Broken bool

	// Long is what of a message of the client is passed over in steps.
	Long long

	// Skips says, for each direction, that bytes of a message are passed over.
	Skips [2]bool

	Statements map[string]prepared
	Order      []raw // names of Statements, the oldest first
	Portals    map[string]prepared
	Size       int // bytes of Statements
}

// long is what remains of a message of the client that is too long to be kept.
type long struct {
	Type   byte   // 0: there is none
	Left   uint64 // bytes that remain of the message
	Params int    // values that remain, of a Bind
	Param  int    // number of the last one
	N      uint64
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (p *parser) MarshalBinary() ([]byte, error) { return json.Marshal(&p.parserState) }

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (p *parser) UnmarshalBinary(b []byte) error {
	var state parserState
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("state of postgresql: %w", err)
	}
	if state.Statements == nil {
		state.Statements = map[string]prepared{}
	}
	if state.Portals == nil {
		state.Portals = map[string]prepared{}
	}
	// The order has each of the statements, and no others.
	order, statements := state.Order, state.Statements
	state.Order, state.Size, state.Statements = nil, 0, map[string]prepared{}
	p.parserState = state
	for _, name := range order {
		if s, ok := statements[string(name)]; ok {
			p.define(name, s.Text)
			p.Statements[string(name)] = s
		}
	}
	return nil
}

// parser understands a connection.
type parser struct {
	env     parse.Env
	streams [2]*parse.Stream // as Parse got them last, for what is passed over when the end comes
	parserState
}

func newParser(env parse.Env) parse.Parser {
	p := &parser{env: env, parserState: parserState{Statements: map[string]prepared{}, Portals: map[string]prepared{}, Fresh: env.FromStart[record.Out]}}
	if !env.FromStart[record.In] || !env.FromStart[record.Out] {
		p.Doubt.begin()
	}
	if !env.FromStart[record.In] {
		p.Broken = true
		p.Queue = append(p.Queue, unit{Kind: unknown, Incomplete: call.BeganBefore})
	}
	return p
}
