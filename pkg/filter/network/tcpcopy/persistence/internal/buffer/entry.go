package buffer

import (
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/record"
)

// Kind says what an entry is.
type Kind uint8

// The kinds of entries.
const (
	KindHeader Kind = iota + 1 // connection header; payload: uint64 bytes written before, then the connection's description
	KindData                   // payload: the bytes
	KindGap                    // payload: uint64 length
	KindClose                  // payload: uint64 bytes in, uint64 bytes out, then the reason

	// kindDamaged is data whose bytes a recovery could not read: Entry returns a gap. Its
	// header has the length of data where data has its position and sum.
	kindDamaged
)

// minPayload is how many bytes the payload of a kind has at least.
var minPayload = [256]int{KindHeader: 8, KindData: 1, KindGap: 8, KindClose: 16}

const (
	// FlagRepeat marks the connection header of a connection that an earlier batch
	// has one of.
	FlagRepeat = 1 << iota
	// FlagMore marks data that the next entry of its direction goes on with: they
	// passed at once.
	FlagMore
)

// Header is what every entry has.
type Header struct {
	Kind   Kind
	Dir    record.Direction
	Reason record.Reason // of a gap
	Flags  uint8
	Slot   uint32 // the connection's place in the worker's table
	Offset uint64 // in the stream; of a connection header: what was read before
	Time   int64  // nanoseconds since the Unix epoch
}

// Entry is an entry's header with a view of its payload.
type Entry struct {
	Header
	Payload []byte // points into the batch
	Block   []byte // of data: the payload with the margins around it
	Sum     uint16 // of data: its one's complement sum, as framing in place needs it
}

// Length returns how many bytes of its stream an entry of data or a gap stands for,
// 0 for other kinds.
func (e *Entry) Length() uint64 {
	switch e.Kind {
	case KindData:
		return uint64(len(e.Payload))
	case KindGap:
		return binary.LittleEndian.Uint64(e.Payload)
	default:
		return 0
	}
}

// Base returns, of a connection header, how many bytes of each direction passed
// before the entries that follow.
func (e *Entry) Base() record.PerDirection {
	return record.PerDirection{In: e.Offset, Out: binary.LittleEndian.Uint64(e.Payload)}
}

// Endpoint fills in the description that a connection header carries. It reports
// whether there is one.
func (e *Entry) Endpoint(to *record.Endpoint) (ok bool) { return decodeEndpoint(e.Payload[8:], to) }

// CloseEvent returns the content of a close event.
func (e *Entry) CloseEvent() CloseEvent {
	return CloseEvent{
		Reason: record.CloseReason(e.Payload[16:]),
		Totals: record.PerDirection{In: binary.LittleEndian.Uint64(e.Payload), Out: binary.LittleEndian.Uint64(e.Payload[8:])},
	}
}

// CloseEvent says how a connection has ended.
type CloseEvent struct {
	Reason record.CloseReason
	Totals record.PerDirection // bytes of the connection in all
}
