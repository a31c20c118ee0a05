package parsetest

import (
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
)

// Calls is a sink without spans that keeps the calls.
type Calls struct {
	List []call.Call
}

// Call implements call.Sink.
func (s *Calls) Call(c *call.Call) { s.List = append(s.List, *c) }

// Span implements call.Sink.
func (*Calls) Span(call.Span) {}

// CallsOf returns the calls of a session that a sink without spans gets. The error is the parser's.
func CallsOf(p *parse.Protocol, s Session) ([]call.Call, error) {
	sink, n := &Calls{}, uint64(0)
	r := parse.NewRunner(p, parse.Env{Sink: sink, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
	var next [2]uint64
	var end parse.End
	for _, piece := range s {
		if err := r.Data(piece.Dir, next[piece.Dir], piece.At, piece.Data); err != nil {
			return sink.List, err
		}
		next[piece.Dir] += uint64(len(piece.Data))
		end.At = piece.At
	}
	end.Closed, end.Recorded = true, [2]bool{true, true}
	r.End(end)
	return sink.List, nil
}

// WithoutSpans checks that the calls are the same for a sink that wants no spans, for which a parser may pass over
// values in fewer steps.
func WithoutSpans(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	with, wantErr := Decode(p, s, true)
	got, err := CallsOf(p, s)
	if (err == nil) != (wantErr == nil) || Text(got) != Text(with.Calls) {
		t.Errorf("without spans (%v)\n%swith spans (%v)\n%s", err, Text(got), wantErr, Text(with.Calls))
	}
}
