package http2

import (
	"encoding/json"
	"fmt"
	"time"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parse"
)

// parserState is what a checkpoint has of a parser.
type parserState struct {
	Sides     [2]sideState
	Streams   []streamState `json:",omitempty"` // in the order in which they were opened
	Gone      []uint32      `json:",omitempty"`
	Early     []uint32      `json:",omitempty"`
	EarlyMany bool          `json:",omitempty"`
	First     uint32
	Last      uint32
	Processed uint32
}

type sideState struct {
	Table                   tableState
	Preface, Torn, Unsynced bool
	Late, Passed, Gapped    bool
	Lost, From              uint64
	MaxFrame                int
	Data                    dataState
	Block                   blockStateOf
	Waiting, Harmed         *partState `json:",omitempty"`
}

type dataState struct {
	Open    bool
	Stream  uint32
	End     bool
	Padding int
}

type blockStateOf struct {
	Open, Last       bool
	Stream, Promised uint32
	End              bool
	State            blockState
	Start            uint64
	First            time.Time
	Data             []byte
	Parts            [][2]uint64 // at, offset
}

type partState struct {
	Frame protocol.HTTP2Frame
	Start uint64
	First time.Time
}

type streamState struct {
	ID     uint32
	Size   int
	Packed bool   `json:",omitempty"`
	State  []byte // by exchange.append
}

// MarshalBinary implements parse.Parser.
func (p *parser) MarshalBinary() ([]byte, error) {
	c := &p.calls
	state := parserState{
		Gone: c.gone[:min(c.goneAt, len(c.gone))], Early: c.early, EarlyMany: c.earlyMany, First: c.first, Last: c.last, Processed: c.processed,
	}
	for i := range p.sides {
		state.Sides[i] = p.sides[i].state()
	}
	for st := c.oldest; st != nil; st = st.newer {
		state.Streams = append(state.Streams, streamState{st.id, st.size, st.exchange == nil, st.unpacked().append(nil)})
	}
	return json.Marshal(state)
}

// isSound reports whether the parts of the header block are of its bytes, in their order, and whether there is no length below 0.
func (s *sideState) isSound() bool {
	before := uint64(0)
	for i, part := range s.Block.Parts {
		if at := part[0]; i == 0 && at != 0 || at < before || at > uint64(len(s.Block.Data)) {
			return false
		}
		before = part[0]
	}
	return (len(s.Block.Data) == 0 || len(s.Block.Parts) > 0) && s.Data.Padding >= 0 && s.MaxFrame >= 0 && s.Waiting.isSound() && s.Harmed.isSound()
}

func (s *partState) isSound() bool { return s == nil || s.Frame.Length >= 0 }

// UnmarshalBinary implements parse.Parser.
func (p *parser) UnmarshalBinary(b []byte) error {
	var state parserState
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("state of HTTP/2: %w", err)
	}
	for i := range p.sides {
		if !state.Sides[i].isSound() {
			return fmt.Errorf("state of HTTP/2: %w", parse.ErrState)
		}
		p.sides[i].restore(&state.Sides[i])
	}
	c := newCalls(p.calls.limit)
	c.first, c.last, c.processed = state.First, state.Last, state.Processed
	c.early, c.earlyMany = state.Early, state.EarlyMany
	c.goneAt = copy(c.gone[:], state.Gone)
	for _, from := range state.Streams {
		st := c.open(from.ID, 0, [2]uint64{})
		b := parse.NewStateReader(from.State)
		st.exchange.read(b)
		if err := b.Err(); err != nil {
			return fmt.Errorf("state of HTTP/2: stream %d: %w", from.ID, err)
		}
		c.grow(st, from.Size-st.size)
		if from.Packed {
			c.pack(st)
		}
	}
	c.found = nil
	p.calls = c
	return nil
}

func (d *side) state() sideState {
	h := &d.block
	s := sideState{
		Table: d.table.state(), Preface: d.preface, Torn: d.torn, Unsynced: d.unsynced, Late: d.late, Passed: d.passed, Gapped: d.gapped, Lost: d.lost, From: d.from, MaxFrame: d.maxFrame,
		Data:    dataState{d.data.open, d.data.stream, d.data.end, d.data.padding},
		Waiting: d.waiting.state(), Harmed: d.harmed.state(),
	}
	if h.open || h.last || d.harmed.is {
		s.Block = blockStateOf{h.open, h.last, h.stream, h.promised, h.end, h.state, h.start, h.first, h.data, nil}
		for _, part := range h.parts {
			s.Block.Parts = append(s.Block.Parts, [2]uint64{uint64(part.at), part.offset})
		}
	}
	return s
}

func (d *side) restore(s *sideState) {
	*d = side{
		table: s.Table.table(), preface: s.Preface, torn: s.Torn, unsynced: s.Unsynced, late: s.Late, passed: s.Passed, gapped: s.Gapped, lost: s.Lost, from: s.From, maxFrame: s.MaxFrame,
		data:    dataFrame{s.Data.Open, s.Data.Stream, s.Data.End, s.Data.Padding},
		waiting: s.Waiting.part(), harmed: s.Harmed.part(),
	}
	b := &s.Block
	d.block = headerBlock{b.Open, b.Stream, b.Promised, b.End, b.Last, b.State, b.Start, b.First, b.Data, nil}
	for _, part := range b.Parts {
		d.block.parts = append(d.block.parts, blockPart{int(part[0]), part[1]})
	}
}

func (f *partFrame) state() *partState {
	if !f.is {
		return nil
	}
	return &partState{f.frame, f.start, f.first}
}

func (s *partState) part() partFrame {
	if s == nil {
		return partFrame{}
	}
	return partFrame{true, s.Frame, s.Start, s.First}
}
