package persistence

import (
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// A batch is a stretch of memory that holds entries one after the other. It is
// complete in itself: before the first entry of a connection it has an intro
// entry with all that is known of the connection, so that a batch that outlives
// its process can be read without the rest.
//
// An entry is a header of headerSize bytes and a payload, padded to 8 bytes:
//
//	 0  uint32  size of the entry with header and padding
//	 4  uint8   kind
//	 5  uint8   direction
//	 6  uint8   reason, of a gap
//	 7  uint8   flags, of an intro
//	 8  uint32  slot: the connection's place in the worker's table
//	12  uint32  length of the payload
//	16  uint64  offset in the stream; of an intro: what was read before
//	24  int64   time, nanoseconds since the Unix epoch
//	32  payload
//
// Integers are in the byte order of the machine's memory image, little-endian.
const headerSize = 32

// kind says what an entry is.
type kind uint8

const (
	kindIntro kind = iota + 1 // payload: uint64 bytes written before, then the connection's description
	kindData                  // payload: the bytes
	kindGap                   // payload: uint64 length
	kindClose                 // payload: uint64 bytes in, uint64 bytes out, then the reason
)

// flagRepeat marks an intro of a connection that an earlier batch introduced.
const flagRepeat = 1

// entry is the header of an entry and a view of its payload.
type entry struct {
	kind    kind
	dir     model.Direction
	reason  model.Reason
	flags   uint8
	slot    uint32
	offset  uint64
	time    int64
	payload []byte // points into the batch
}

// batch is append-only memory. The shard's lock guards the active one; the
// worker owns the other.
type batch struct {
	mem   []byte
	n     int         // bytes in use
	state *batchState // what a recovery knows of it
}

// entrySize is the room that an entry with a payload of n bytes takes.
func entrySize(n int) int { return (headerSize + n + 7) &^ 7 }

// room tells whether n more bytes fit.
func (b *batch) room(n int) bool { return b.n+n <= len(b.mem) }

// append writes the header of an entry whose payload has n bytes and returns the
// payload's memory for the caller to fill. There must be room. The entry counts
// once commit has been called.
func (b *batch) append(e *entry, n int) []byte {
	size := entrySize(n)
	m := b.mem[b.n : b.n+size]
	le := binary.LittleEndian
	le.PutUint32(m[0:], uint32(size))
	m[4], m[5], m[6], m[7] = byte(e.kind), byte(e.dir), byte(e.reason), e.flags
	le.PutUint32(m[8:], e.slot)
	le.PutUint32(m[12:], uint32(n))
	le.PutUint64(m[16:], e.offset)
	le.PutUint64(m[24:], uint64(e.time))
	return m[headerSize : headerSize+n]
}

// commit makes the entry that append began, with a payload of n bytes, part of
// the batch. From then on it outlives the process, where there is a spool.
func (b *batch) commit(n int) {
	b.n += entrySize(n)
	b.state.used.Store(uint64(b.n))
}

// entries returns the memory that is in use.
func (b *batch) entries() []byte { return b.mem[:b.n] }

// readEntry decodes the entry at the start of mem and returns the rest. ok is
// false when mem does not start with a whole entry.
func readEntry(mem []byte) (e entry, rest []byte, ok bool) {
	if len(mem) < headerSize {
		return entry{}, nil, false
	}
	le := binary.LittleEndian
	size, n := int(le.Uint32(mem[0:])), int(le.Uint32(mem[12:]))
	if size > len(mem) || n > size || entrySize(n) != size {
		return entry{}, nil, false
	}
	return entry{
		kind:    kind(mem[4]),
		dir:     model.Direction(mem[5]),
		reason:  model.Reason(mem[6]),
		flags:   mem[7],
		slot:    le.Uint32(mem[8:]),
		offset:  le.Uint64(mem[16:]),
		time:    int64(le.Uint64(mem[24:])),
		payload: mem[headerSize : headerSize+n],
	}, mem[size:], true
}
