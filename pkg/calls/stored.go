package calls

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// AppendState implements dump.StoredState: a connection that has been still for long
// goes to a temporary file.
func (o *connection) AppendState(dst []byte) []byte {
	b := parse.State(dst)
	b.Uint(o.bytes)
	b.Uint(o.skipped)
	b.Uint(o.gaps)
	b.Bool(o.ended)
	b.String(o.fallback.Protocol)
	b.Uint(uint64(o.fallback.Direction))
	b.Uint(o.fallback.Offset)
	b.String(o.fallback.Reason)
	b.Bytes(o.decoder.Checkpoint())
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
	return int(size) //nolint:gosec // a decoder holds a bounded number of bytes
}

// parse makes a connection again from what AppendState has appended. Whose it is, the
// next event says.
func (s *Station) parse(state []byte) (dump.StoredState, error) {
	b := parse.NewStateReader(state)
	own := &connection{station: s, bytes: b.Uint(), skipped: b.Uint(), gaps: b.Uint(), ended: b.Bool()}
	own.fallback = Fallback{Protocol: b.String(), Direction: record.Direction(b.Uint() & 1), Offset: b.Uint(), Reason: b.String()} //nolint:gosec // 0 or 1
	checkpoint := b.Bytes()
	if err := b.Err(); err != nil {
		return nil, fmt.Errorf("a connection in the temporary file: %w", err)
	}
	var err error
	own.decoder, err = protocol.Resume(own, checkpoint)
	return own, err
}
