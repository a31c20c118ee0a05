package protocol

import (
	"encoding/json"
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// decoderState is a checkpoint. One of Detect, Runner and Turns is there.
type decoderState struct {
	Name   string
	Calls  uint64
	Next   [2]uint64
	Came   [2]bool
	Limits Limits
	Totals record.PerDirection
	Closed bool

	Detect *detection `json:",omitempty"`
	Runner []byte     `json:",omitempty"`
	Turns  *turns     `json:",omitempty"`
}

func (d *decoder) Checkpoint() []byte {
	state := decoderState{
		Name: d.name, Calls: d.calls, Next: d.next, Came: d.came, Limits: d.limits,
		Totals: d.totals, Closed: d.closed, Detect: d.detect, Turns: d.turns,
	}
	var err error
	if d.runner != nil {
		if state.Runner, err = d.runner.MarshalBinary(); err != nil {
			panic(fmt.Sprintf("state of a parser of %s: %v", d.name, err)) // it is made of plain values
		}
	}
	b, err := json.Marshal(&state)
	if err != nil {
		panic(fmt.Sprintf("state of a decoder: %v", err)) // likewise
	}
	return b
}

// Resume returns a decoder that goes on from a checkpoint, which has the limits too. The
// error says what is wrong with the checkpoint.
func Resume(sink Sink, checkpoint []byte) (Decoder, error) {
	var state decoderState
	if err := json.Unmarshal(checkpoint, &state); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	d := newDecoder(sink, state.Limits)
	d.calls, d.next, d.came, d.totals, d.closed = state.Calls, state.Next, state.Came, state.Totals, state.Closed
	d.detect, d.turns, d.runner = nil, nil, nil
	switch {
	case state.Detect != nil:
		d.name, d.detect = state.Name, newDetection(state.Detect.Start)
		d.detect.restore(state.Detect.Pieces)
		d.detect.Late, d.detect.Middle = state.Detect.Late, state.Detect.Middle
	case state.Turns != nil:
		d.become(call.TCP)
		state.Turns.env = d.turns.env
		d.turns = state.Turns
	case byName(state.Name) != nil:
		d.become(state.Name)
		if err := d.runner.Restore(state.Runner); err != nil {
			return nil, fmt.Errorf("checkpoint: %w", err)
		}
	default:
		return nil, fmt.Errorf("checkpoint: it is of the protocol %q, which this program does not know", state.Name)
	}
	return d, nil
}
