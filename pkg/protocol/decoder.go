package protocol

import (
	"errors"
	"math"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// decoder is a Decoder. Of detect, runner and turns one is not nil: they are its phases. Runner and turns are both there where
// one direction has bytes that are not of the protocol: turns has those of astray then, and runner the other ones. That is
// the client's while answers are due, or the server's until the client sends something.
type decoder struct {
	sink   call.Sink
	limits Limits
	env    parse.Env

	name  string    // of the protocol, once known
	calls uint64    // N of the last call
	next  [2]uint64 // offset after what came of each direction
	came  [2]bool   // something came of it

	detect *detection
	runner *parse.Runner
	turns  *turns
	astray record.Direction
	behind uint64 // offset after what turns has of astray
	gapped bool   // bytes were missing in the phase of the parser
	strays int    // how often the server's was, and the protocol went on

	closed bool
	totals record.PerDirection // of a connection that is closed
}

// FallbackSink is a Sink that also wants to know where a connection turned out not to
// speak the protocol that it was thought to speak.
type FallbackSink interface {
	Sink
	// Fallback says that from an offset of a direction on the bytes are not of protocol. They, and what follows in both
	// directions, become calls of tcp. If dir is that of the client, the answers that are due are still decoded first; if it
	// is that of the server and nothing is due, protocol may go on when the client sends something. err says what is
	// wrong; it may quote bytes of the connection.
	Fallback(protocol string, dir record.Direction, offset uint64, err error)
}

func newDecoder(sink Sink, limits Limits) *decoder {
	d := &decoder{sink: sink, limits: limits}
	if limits.Memory == 0 {
		d.limits.Memory = DefaultMemory
	}
	chooser, ok := sink.(call.SpanChooser)
	d.env = parse.Env{
		Sink: sink, Spans: !ok || chooser.WantsSpans(), Memory: d.limits.Memory,
		Next: func() uint64 { d.calls++; return d.calls },
	}
	if limits.Protocol == call.TCP {
		d.become(call.TCP, nil)
	} else {
		d.detect = newDetection([2]uint64{})
	}
	return d
}

func (d *decoder) Protocol() string { return d.name }

func (d *decoder) Open(base record.PerDirection) {
	for _, dir := range record.Directions() {
		if at := base.Of(dir); at > 0 && !d.came[dir] {
			d.came[dir], d.next[dir] = true, at
			if d.detect != nil {
				d.detect.Late[dir], d.detect.Middle[dir] = true, true
			}
		}
	}
}

func (d *decoder) Data(dir record.Direction, offset uint64, at time.Time, b []byte) {
	if !d.came[dir] {
		d.came[dir], d.next[dir] = true, offset
	}
	switch next := d.next[dir]; {
	case offset > next:
		d.Gap(dir, next, offset-next, record.ReasonNone)
	case offset+uint64(len(b)) <= next:
		return
	case offset < next:
		b = b[next-offset:]
		offset = next
	}
	d.next[dir] = offset + uint64(len(b))
	if seconds := at.Unix(); seconds < firstSecond || seconds > lastSecond {
		at = time.Time{}
	}
	d.data(dir, offset, at, b)
}

// runs reports whether the parser gets the bytes of a direction.
func (d *decoder) runs(dir record.Direction) bool {
	return d.runner != nil && (d.turns == nil || dir != d.astray)
}

// rejoin gives the server's bytes to the parser again if what the client sends now ends the turn of those that are not of
// the protocol.
func (d *decoder) rejoin(dir record.Direction) {
	if d.runner != nil && d.turns != nil && d.astray == record.Out && dir == record.In {
		d.turns.finish(parse.End{Closed: true})
		d.turns = nil
		d.runner.Rejoin(d.behind)
	}
}

// maxStrays is how often the server may send bytes that are not of the protocol between two calls, before the connection
// counts as one of another protocol.
const maxStrays = 16

// The times that a checkpoint can have, in seconds since 1970: those that are a number of nanoseconds of 64 bits. Another one is
// none that a connection was recorded at.
const (
	firstSecond = math.MinInt64/1_000_000_000 + 1
	lastSecond  = math.MaxInt64/1_000_000_000 - 1
)

// data gives the next bytes of a direction to the phase.
func (d *decoder) data(dir record.Direction, offset uint64, at time.Time, b []byte) {
	d.rejoin(dir)
	switch {
	case d.runs(dir):
		if err := d.runner.Data(dir, offset, at, b); err != nil {
			d.leave(err)
		}
	case d.turns != nil:
		d.behind = offset + uint64(len(b))
		d.turns.data(dir, offset, uint64(len(b)), at, at, b)
	default:
		d.detect.data(dir, offset, at, b)
		d.decide(false)
	}
}

func (d *decoder) Gap(dir record.Direction, offset, length uint64, _ record.Reason) {
	if !d.came[dir] {
		d.came[dir], d.next[dir] = true, offset
	}
	if offset+length <= d.next[dir] {
		return
	}
	length -= d.next[dir] - min(offset, d.next[dir])
	offset = max(offset, d.next[dir])
	d.next[dir] = offset + length
	d.gap(dir, offset, length)
}

// gap gives a gap to the phase.
func (d *decoder) gap(dir record.Direction, offset, length uint64) {
	d.rejoin(dir)
	switch {
	case d.runs(dir):
		if d.turns != nil {
			d.turns.doubt() // an answer that is due was in the gap, or theirs
		}
		runner := d.runner
		d.gapped = true
		if err := runner.Gap(dir, offset, length); err != nil {
			at, _ := runner.Next(dir)
			d.leave(err)
			if end := offset + length; at < end { // the gap is longer than what the parser was passing over
				d.gap(dir, at, end-at)
			}
		}
	case d.turns != nil:
		d.behind = offset + length
		d.turns.gap(dir, offset, length)
	default:
		d.detect.gap(dir, offset, length)
		d.decide(false)
	}
}

func (d *decoder) Close(_ time.Time, reason record.CloseReason, totals record.PerDirection) {
	// A connection that has moved to another process goes on there.
	d.closed = reason != record.CloseMoved
	d.totals = totals
}

func (d *decoder) End(at time.Time) {
	for d.detect != nil { // what was held may have upgrades in it, after which there is something to detect again
		d.decide(true)
	}
	e := parse.End{At: at, Closed: d.closed}
	for _, dir := range record.Directions() {
		e.Recorded[dir] = d.closed && d.next[dir] >= d.totals.Of(dir)
	}
	if d.runner != nil {
		d.runner.End(e)
	}
	if d.turns != nil {
		d.turns.finish(e)
	}
}

func (d *decoder) Pending(dir record.Direction) (offset, length uint64) {
	switch {
	case d.runs(dir):
		r := d.runner.Pending(dir)
		return r.Offset, r.Length
	case d.detect != nil:
		return d.detect.pending(dir, d.next[dir])
	}
	return d.next[dir], 0
}

// decide goes on to the next phase if the protocol is known.
func (d *decoder) decide(final bool) {
	name := d.limits.Protocol
	if name != "" && !d.detect.unwrap() && !final {
		return
	}
	if name == "" {
		p, none := d.detect.protocol(final)
		switch {
		case p != nil:
			name = p.Name
		case none || final || d.detect.full():
			name = call.TCP
		default:
			return
		}
	}
	from := d.detect
	d.detect = nil
	d.become(name, from)
	d.replay(from.from(record.In, from.Start[record.In]))
}

// become makes the phase of a protocol. from is the detection that ended, nil if there was none.
func (d *decoder) become(name string, from *detection) {
	d.name = name
	env := d.env
	env.FromStart = [2]bool{true, true}
	var start [2]uint64
	if from != nil {
		start = from.Start
		for dir := range start {
			env.FromStart[dir] = !from.late(record.Direction(dir))
		}
	}
	p := byName(name)
	if p == nil {
		d.turns = newTurns(env, [2]bool{!env.FromStart[0], !env.FromStart[1]})
		return
	}
	d.name = p.Name // that of gRPC is HTTP/2's
	d.runner = parse.NewRunner(p, env)
	for _, dir := range record.Directions() {
		if start[dir] > 0 {
			d.runner.Start(dir, start[dir])
		}
	}
}

// replay gives pieces that were held to the phase.
func (d *decoder) replay(pieces []piece) {
	for _, p := range pieces {
		switch {
		case p.Gap:
			d.gap(p.Dir, p.Offset, p.Length)
		case p.Data != nil:
			d.data(p.Dir, p.Offset, p.First, p.Data)
		case d.turns != nil && !d.runs(p.Dir):
			d.behind = p.Offset + p.Length
			d.turns.data(p.Dir, p.Offset, p.Length, p.First, p.Last, nil)
		default:
			// It was recorded, but it is not at hand any more.
			if sink, ok := d.sink.(call.SkipSink); ok {
				sink.Skipped(p.Dir, call.Range{Offset: p.Offset, Length: p.Length})
			}
			if d.runner != nil && p.Offset > 0 {
				if _, began := d.runner.Next(p.Dir); !began {
					continue // the direction begins behind it
				}
			}
			d.gap(p.Dir, p.Offset, p.Length)
		}
	}
}

// leave ends the phase of a parser that consumes no more: because the connection goes
// on in another protocol, or because it never spoke this one.
func (d *decoder) leave(err error) {
	runner, dir := d.runner, d.runner.Wrong()
	var upgrade *parse.Upgrade
	upgraded, answered := errors.As(err, &upgrade), errors.Is(err, parse.ErrAnswered)
	if sink, ok := d.sink.(FallbackSink); ok && !upgraded && !answered {
		at, _ := runner.Next(dir)
		sink.Fallback(d.name, dir, at, err)
	}
	if !upgraded && !answered {
		var rest []parse.Piece
		ok := false
		if dir == record.In {
			rest, ok = runner.Leave()
		} else if d.strays < maxStrays {
			rest, ok = runner.Interrupt()
			d.strays++
		}
		if ok {
			d.turns, d.astray = d.turnsInstead(), dir
			d.behind, _ = runner.Next(dir)
			d.replay(piecesOf(rest))
			return
		}
	}
	d.runner = nil
	rest := piecesOf(runner.Rest())
	runner.End(parse.End{Left: true})
	switch {
	case d.turns != nil: // they have the client's bytes
		d.name = call.TCP
	case upgraded:
		d.upgrade(runner, dir, upgrade)
	default:
		d.turns = d.turnsInstead()
		d.name = call.TCP
	}
	d.replay(rest)
}

// turnsInstead returns turns for bytes that are not of the protocol.
func (d *decoder) turnsInstead() *turns {
	t := newTurns(d.env, [2]bool{})
	t.instead, t.doubted = d.name, d.gapped
	return t
}

// upgrade makes the phase that follows a parser.
func (d *decoder) upgrade(runner *parse.Runner, dir record.Direction, u *parse.Upgrade) {
	var start [2]uint64
	start[dir], _ = runner.Next(dir)
	start[1-dir] = u.Other
	detect := newDetection(start)
	if u.To == "" || u.To != call.TCP && byName(u.To) == nil {
		d.name, d.detect = "", detect
		d.limits.Protocol = ""
		return
	}
	d.env.Request = u.Request
	d.become(u.To, detect)
	d.env.Request = nil
}

func piecesOf(rest []parse.Piece) []piece {
	pieces := make([]piece, len(rest))
	for i, r := range rest {
		pieces[i] = piece{r.Direction, r.Offset, uint64(len(r.Data)), r.At, r.At, r.Data, false}
	}
	return pieces
}
