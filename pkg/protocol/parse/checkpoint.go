package parse

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// runnerState is what a checkpoint has of a Runner.
type runnerState struct {
	Order   uint64
	Streams [2]streamState
	Parser  []byte
}

// streamState is what a checkpoint has of a Stream.
type streamState struct {
	Started, Synced, Torn bool
	Offset                uint64
	Data                  []byte
	Marks                 []markState
	Need                  int
	Last                  time.Time
	Skip                  uint64
	Value                 Value
	Passed, Missing       uint64
	Misled                int
}

type markState struct {
	Offset uint64
	At     time.Time
	Order  uint64
}

// MarshalBinary returns the state of the runner and of its parser.
func (r *Runner) MarshalBinary() ([]byte, error) {
	parser, err := r.parser.MarshalBinary()
	if err != nil {
		return nil, err
	}
	state := runnerState{Order: r.order, Parser: parser}
	for i := range r.streams {
		s := &r.streams[i]
		state.Streams[i] = streamState{
			s.started, s.synced, s.torn, s.offset, s.data, nil, s.need, s.last, s.skip, s.value, s.passed, s.missing, s.misled,
		}
		for _, m := range s.marks {
			state.Streams[i].Marks = append(state.Streams[i].Marks, markState{m.offset, m.at, m.order})
		}
	}
	return json.Marshal(state)
}

// Restore makes r go on from what MarshalBinary returned. r must be new, and of the same
// protocol.
func (r *Runner) Restore(b []byte) error {
	var state runnerState
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("state of a connection: %w", err)
	}
	r.order = state.Order
	for i, from := range state.Streams {
		s := &r.streams[i]
		spans := s.spans
		data := slices.Clone(from.Data)
		*s = Stream{
			dir: record.Direction(i), started: from.Started, synced: from.Synced, torn: from.Torn, offset: from.Offset,
			data: data, pending: data, own: true, need: from.Need, last: from.Last,
			skip: from.Skip, value: from.Value, spans: spans, passed: from.Passed, missing: from.Missing, misled: from.Misled,
		}
		for _, m := range from.Marks {
			s.marks = append(s.marks, mark{m.Offset, m.At, m.Order})
		}
	}
	return r.parser.UnmarshalBinary(state.Parser)
}
