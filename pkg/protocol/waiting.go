package protocol

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Waiting implements Decoder.
func (d *decoder) Waiting(each func(*Call)) {
	switch {
	case d.runner != nil:
		d.runner.Waiting(each)
	case d.turns != nil:
		d.turns.waiting(each)
	case len(d.detect.Pieces) > 0:
		d.undecided(each)
	}
}

// undecided calls each with the calls that would wait if it were decided now what the
// connection speaks: a server that never answers leaves it open.
func (d *decoder) undecided(each func(*Call)) {
	sink := &waitingSink{each: each}
	if peek, err := Resume(sink, d.Checkpoint()); err == nil {
		peek.End(time.Time{})
	}
}

// waitingSink receives the calls of a decoder that has ended and gives each those that wait.
type waitingSink struct{ each func(*Call) }

// Call implements call.Sink.
func (s *waitingSink) Call(c *Call) {
	const not = call.Gap | call.BeganBefore
	if c.Protocol == call.TCP { // the request of a turn ends when its answer begins
		c.Request.Ended = c.Request.Present && !c.Request.Last.IsZero()
	}
	if c.Request.Ended && !c.Response.Present && c.Incomplete&not == 0 {
		c.Incomplete &^= call.CutByWindow | call.NoAnswer
		s.each(c)
	}
}

// Span implements call.Sink.
func (s *waitingSink) Span(call.Span) {}

// WantsSpans implements call.SpanChooser.
func (s *waitingSink) WantsSpans() bool { return false }

// waiting calls each with the turn that the server has not answered, if the client has
// sent all of it that there is now.
func (t *turns) waiting(each func(*Call)) {
	c := &t.turn.Call
	if !t.open || t.turn.Dir != record.In || c.Response.Present {
		return
	}
	asked := *c
	asked.Request.Ended = !asked.Request.Last.IsZero()
	if asked.Request.Ended {
		each(&asked)
	}
}

// decoderSize is what a decoder of any connection needs, in bytes.
const decoderSize = 2 << 10

// pieceSize is what a piece needs beside its data.
const pieceSize = 120

// Size implements Decoder.
func (d *decoder) Size() int {
	size := decoderSize
	switch {
	case d.runner != nil:
		size += d.runner.Size()
	case d.detect != nil:
		size += d.detect.Size + len(d.detect.Pieces)*pieceSize
		for i := range d.detect.looks {
			size += cap(d.detect.looks[i].data)
		}
	}
	return size
}
