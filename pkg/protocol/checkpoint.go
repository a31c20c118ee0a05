package protocol

import (
	"errors"
	"fmt"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// The phases of a decoder, as a checkpoint has them.
const (
	phaseDetect = iota + 1
	phaseRunner
	phaseTurns
	phaseAstray // a runner for the bytes of one direction and turns for those of the other
)

// checkpointVersion is the first value of a checkpoint. Another version cannot be read. It is another one as soon as the state of a
// phase or of any parser has another form: recordings have checkpoints in them.
const checkpointVersion = 2

func (d *decoder) Checkpoint() []byte {
	var b parse.State
	b.Uint(checkpointVersion)
	b.Uint(uint64(d.limits.Memory)) //nolint:gosec // it is positive
	b.String(d.limits.Protocol)
	b.String(d.name)
	b.Uint(d.calls)
	for dir := range d.next {
		b.Uint(d.next[dir])
		b.Bool(d.came[dir])
	}
	b.Bool(d.gapped)
	b.Uint(uint64(d.strays)) //nolint:gosec // it is positive
	b.Bool(d.closed)
	b.Uint(d.totals.In)
	b.Uint(d.totals.Out)
	var phase []byte
	var err error
	switch {
	case d.runner != nil && d.turns != nil:
		b.Uint(phaseAstray)
		var both parse.State
		var runner []byte
		runner, err = d.runner.MarshalBinary()
		both.Bytes(runner)
		d.turns.append(&both)
		both.Uint(uint64(d.astray))
		both.Uint(d.behind)
		phase = both
	case d.runner != nil:
		b.Uint(phaseRunner)
		phase, err = d.runner.MarshalBinary()
	case d.turns != nil:
		b.Uint(phaseTurns)
		var turns parse.State
		d.turns.append(&turns)
		phase = turns
	default:
		b.Uint(phaseDetect)
		phase = d.detect.appendState(nil)
	}
	if err != nil {
		panic(fmt.Sprintf("state of a decoder of %s: %v", d.name, err)) // it is made of plain values
	}
	b.Bytes(phase)
	return b
}

// Resume returns a decoder that goes on from a checkpoint, which has the limits too. The
// error says what is wrong with the checkpoint.
func Resume(sink Sink, checkpoint []byte) (Decoder, error) {
	d, err := resume(sink, parse.NewStateReader(checkpoint), 0)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return d, nil
}

// ResumeAt returns a decoder of a connection that goes on from the offsets base with a
// checkpoint that comes from elsewhere, such as a file: it has those limits, and whatever
// the bytes are, it is bounded as a new one is. The error says that the checkpoint is
// malformed, of another version, of other offsets, or of another protocol than the limits
// have.
func ResumeAt(sink Sink, limits Limits, base record.PerDirection, checkpoint []byte) (_ Decoder, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("checkpoint: %w: %v", parse.ErrState, p)
		}
	}()
	if limits.Memory == 0 {
		limits.Memory = DefaultMemory
	}
	if len(checkpoint) > limits.Memory {
		return nil, fmt.Errorf("checkpoint: it has %d bytes, of %d that a decoder may hold", len(checkpoint), limits.Memory)
	}
	d, err := resume(sink, parse.NewStateReader(checkpoint), limits.Memory)
	switch {
	case err != nil:
	case d.next != [2]uint64{base.In, base.Out}:
		err = fmt.Errorf("it is of the offsets %d and %d, and the connection goes on from %d and %d", d.next[record.In], d.next[record.Out], base.In, base.Out)
	case d.closed:
		err = errors.New("it is of a connection that has ended")
	case limits.Protocol != "" && d.name != limits.Protocol && !(limits.Protocol == call.GRPC && d.name == call.HTTP2):
		err = fmt.Errorf("it is of %q, and the protocol is to be %q", d.name, limits.Protocol)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return d, nil
}

// CheckpointAt returns the offsets at which a checkpoint holds; ok is false for bytes that
// are not one.
func CheckpointAt(checkpoint []byte) (base record.PerDirection, ok bool) {
	b := parse.NewStateReader(checkpoint)
	version, _, _, _, _ := b.Uint(), b.Int(), b.Bytes(), b.Bytes(), b.Uint()
	base.In = b.Uint()
	b.Bool()
	base.Out = b.Uint()
	b.Bool()
	return base, version == checkpointVersion && b.Rest()
}

// resume is Resume. memory is how many bytes the decoder may hold; 0 means as many as the
// checkpoint says.
func resume(sink Sink, b *parse.StateReader, memory int) (*decoder, error) {
	if v := b.Uint(); v != checkpointVersion {
		return nil, fmt.Errorf("it is of version %d, valid: %d", v, checkpointVersion)
	}
	limits := Limits{Memory: b.Int(), Protocol: b.String()}
	if memory > 0 {
		limits.Memory = memory
	}
	d := newDecoder(sink, limits)
	name := b.String()
	d.calls = b.Uint()
	for dir := range d.next {
		d.next[dir], d.came[dir] = b.Uint(), b.Bool()
	}
	d.gapped, d.strays = b.Bool(), b.Int()
	d.closed = b.Bool()
	d.totals = record.PerDirection{In: b.Uint(), Out: b.Uint()}
	kind, phase := b.Uint(), b.Bytes()
	if err := b.Err(); err != nil {
		return nil, err
	}
	d.detect, d.turns, d.runner = nil, nil, nil
	switch {
	case kind == phaseDetect:
		d.name, d.detect = name, &detection{}
		return d, d.detect.readState(parse.NewStateReader(phase))
	case kind == phaseTurns:
		d.become(call.TCP, nil)
		turns := parse.NewStateReader(phase)
		d.turns.read(turns)
		return d, turns.Err()
	case kind == phaseRunner && byName(name) != nil:
		d.become(name, nil)
		return d, d.runner.Restore(phase)
	case kind == phaseAstray && byName(name) != nil:
		d.become(name, nil)
		d.turns = newTurns(d.env, [2]bool{})
		both := parse.NewStateReader(phase)
		runner := both.Bytes()
		d.turns.read(both)
		d.astray = record.Direction(both.Uint() & 1) //nolint:gosec // 0 or 1
		d.behind = both.Uint()
		if err := both.Err(); err != nil {
			return nil, err
		}
		return d, d.runner.Restore(runner)
	}
	return nil, fmt.Errorf("it is of the protocol %q, which this program does not know", name)
}

// appendState appends the state of a detection.
func (d *detection) appendState(dst []byte) []byte {
	b := parse.State(dst)
	for dir := range d.Start {
		b.Uint(d.Start[dir])
		b.Bool(d.Middle[dir])
		b.Bool(d.Late[dir])
	}
	for _, p := range d.Pieces {
		b.Uint(uint64(p.Dir))
		b.Uint(p.Offset)
		b.Uint(p.Length)
		b.Time(p.First)
		b.Time(p.Last)
		b.Bool(p.Gap)
		b.Bool(p.Data != nil)
		b.Bytes(p.Data)
	}
	return b
}

// readState reads what appendState has appended.
func (d *detection) readState(b *parse.StateReader) error {
	var middle, late [2]bool
	for dir := range d.Start {
		d.Start[dir], middle[dir], late[dir] = b.Uint(), b.Bool(), b.Bool()
	}
	var pieces []piece
	for b.Rest() {
		p := piece{Dir: record.Direction(b.Uint() & 1), Offset: b.Uint(), Length: b.Uint(), First: b.Time(), Last: b.Time(), Gap: b.Bool()} //nolint:gosec // 0 or 1
		held, data := b.Bool(), b.Bytes()
		if held {
			p.Data = data
		}
		pieces = append(pieces, p)
	}
	if err := b.Err(); err != nil {
		return err
	}
	d.restore(pieces)
	d.Middle, d.Late = middle, late
	return nil
}
