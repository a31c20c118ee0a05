package calls

import (
	"encoding/json"
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
	b.Bytes(o.decoder.Checkpoint())
	return b
}

// decoderSize is what a decoder needs that has nothing waiting, in bytes.
const decoderSize = 4 << 10

// storedConnection is what the temporary file has of a connection that has been still
// for long.
type storedConnection struct {
	Checkpoint           []byte
	Bytes, Skipped, Gaps uint64
	Ended                bool
}

// AppendState implements dump.StoredState.
func (o *connection) AppendState(dst []byte) []byte {
	b, err := json.Marshal(storedConnection{o.decoder.Checkpoint(), o.bytes, o.skipped, o.gaps, o.ended})
	if err != nil {
		panic(fmt.Sprintf("state of a connection: %v", err)) // it is made of plain values
	}
	return append(dst, b...)
}

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
	own := &connection{station: s, bytes: b.Uint(), skipped: b.Uint(), gaps: b.Uint()}
	checkpoint := b.Bytes()
	if err := b.Err(); err != nil {
		return nil, fmt.Errorf("a connection in the temporary file: %w", err)
	}
	own := &connection{station: s, bytes: stored.Bytes, skipped: stored.Skipped, gaps: stored.Gaps, ended: stored.Ended}
	var err error
	own.decoder, err = protocol.Resume(own, checkpoint)
	return own, err
}
