package http1

import (
	"encoding/json"
	"fmt"
	"slices"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

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

// isSound reports whether the state is one that a parser can have, as far as its code stands on it.
func (s *parserState) isSound() bool {
	if slices.ContainsFunc(s.Open, func(x *exchange) bool { return x == nil || x.Forgotten }) {
		return false
	}
	for i := range s.Sides {
		side := &s.Sides[i]
		switch side.Phase {
		case atHead:
		case waiting:
			if record.Direction(i) == record.Out || len(s.Open) == 0 { //nolint:gosec // 0 or 1
				return false
			}
		case unsureBody:
			if record.Direction(i) == record.In || s.Within[i] < 0 { //nolint:gosec // 0 or 1
				return false
			}
		default:
			if side.Phase > waiting || s.Within[i] < 0 {
				return false
			}
		}
		if side.Looked < 0 {
			return false
		}
	}
	return true
}

func (p *parser) UnmarshalBinary(b []byte) error {
	var state parserState
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("state of http/1.1: %w", err)
	}
	if !state.isSound() {
		return fmt.Errorf("state of http/1.1: %w", parse.ErrState)
	}
	p.sides, p.open, p.offsets, p.coming = state.Sides, state.Open, state.Offsets, state.Coming
	p.unsure, p.torn, p.late, p.pipelined, p.size = state.Unsure, state.Torn, state.Late, state.Pipelined, state.Size
	p.asked, p.unasked = state.Asked, state.Unasked
	for i, at := range state.Within {
		switch {
		case at >= 0 && at < len(p.open):
			p.sides[i].Exchange = p.open[at]
		case at >= 0:
			p.sides[i].Exchange = &exchange{Forgotten: true}
		}
	}
	return nil
}
