package protocol

import "mosn.io/tcpcopy/pkg/record"

// Waiting implements Decoder.
func (d *decoder) Waiting(each func(*Call)) {
	switch {
	case d.runner != nil:
		d.runner.Waiting(each)
	case d.turns != nil:
		d.turns.waiting(each)
	}
}

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
