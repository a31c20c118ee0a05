package calls

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Keeper has what the owner of Options.Span keeps of connections, such as the values of calls that have not ended. It goes to
// the temporary file together with the connection, so that memory does not grow with the number of connections.
type Keeper interface {
	// Size returns how many bytes of memory there are of c.
	Size(c *dump.Connection) int

	// Store appends what there is of c to dst, and forgets it. What cannot be stored stays, and is not counted by Size.
	Store(dst []byte, c *dump.Connection) []byte

	// Restore keeps again what Store has appended, beside what has stayed. It does not keep b.
	Restore(c *dump.Connection, b []byte) error

	// Forget says that the connection is over.
	Forget(c *dump.Connection)
}

// AppendState implements dump.StoredState: a connection that has been still for long
// goes to a temporary file.
func (o *connection) AppendState(dst []byte) []byte {
	b := parse.State(dst)
	b.Uint(o.bytes)
	b.Uint(o.skipped)
	b.Uint(o.gaps)
	b.Bool(o.ended)
	b.Uint(o.base.In)
	b.Uint(o.base.Out)
	b.String(o.fallback.Protocol)
	b.Uint(uint64(o.fallback.Direction))
	b.Uint(o.fallback.Offset)
	b.String(o.fallback.Reason)
	b.Bytes(o.decoder.Checkpoint())
	if keeper := o.station.options.Keeper; keeper != nil && o.of != nil {
		// If o stays in memory all the same, the next event has it restored.
		o.kept = keeper.Store(nil, o.of)
		o.of = nil
	}
	b.Bytes(o.kept)
	return b
}

// decoderSize is what a decoder needs that has nothing waiting, in bytes.
const decoderSize = 4 << 10

// Size implements dump.StoredState.
func (o *connection) Size() int {
	size := uint64(decoderSize)
	for _, dir := range record.Directions() {
		_, waiting := o.decoder.Pending(dir)
		size += waiting
	}
	size += uint64(len(o.kept))
	if keeper := o.station.options.Keeper; keeper != nil && o.of != nil {
		size += uint64(keeper.Size(o.of)) //nolint:gosec // it is not negative
	}
	return int(size) //nolint:gosec // a decoder holds a bounded number of bytes
}

// parse makes a connection again from what AppendState has appended. Whose it is, the
// next event says.
func (s *Station) parse(state []byte) (dump.StoredState, error) {
	b := parse.NewStateReader(state)
	own := &connection{station: s, bytes: b.Uint(), skipped: b.Uint(), gaps: b.Uint(), ended: b.Bool()}
	own.base = record.PerDirection{In: b.Uint(), Out: b.Uint()}
	own.fallback = Fallback{Protocol: b.String(), Direction: record.Direction(b.Uint() & 1), Offset: b.Uint(), Reason: b.String()} //nolint:gosec // 0 or 1
	checkpoint := b.Bytes()
	own.kept = b.Bytes()
	if err := b.Err(); err != nil {
		return nil, fmt.Errorf("a connection in the temporary file: %w", err)
	}
	var err error
	own.decoder, err = protocol.Resume(own, checkpoint)
	return own, err
}
