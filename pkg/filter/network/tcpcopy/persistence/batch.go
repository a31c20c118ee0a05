package persistence

import (
	"encoding/binary"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

// A batch is a stretch of memory with the entries of a shard, in order. It is
// complete in itself: before the first entry of a connection it has an intro
// entry with all that is known of the connection, so that a batch that outlives
// its process can be read without the rest.
//
// The bytes that connections exchange grow from the memory's start, with room
// around them for what a file has there; the entries grow from its end downwards,
// so that a worker can complete a file's blocks where the bytes lie while the
// entries still say what they were:
//
//	+------+---------+------+------+---------+------+--   --+---------+---------+
//	| room | bytes 1 | room | room | bytes 2 | room |  …    | entry 2 | entry 1 |
//	+------+---------+------+------+---------+------+--   --+---------+---------+
//
// An entry ends with a header of headerSize bytes:
//
//	 0  uint32  length of the payload
//	 4  uint8   kind
//	 5  uint8   direction
//	 6  uint8   reason, of a gap
//	 7  uint8   flags
//	 8  uint32  slot: the connection's place in the worker's table
//	12  uint16  room before the payload, of data
//	14  uint16  room behind it
//	16  uint64  offset in the stream; of an intro: what was read before
//	24  int64   time, nanoseconds since the Unix epoch
//	32  uint48  where the payload begins, of data
//	38  uint16  the payload's one's complement sum, of data
//
// The payload of all but data stands before the header, padded to 8 bytes.
// Integers are in the byte order of the machine's memory image, little-endian.
const headerSize = 40

// kind says what an entry is.
type kind uint8

const (
	kindIntro kind = iota + 1 // payload: uint64 bytes written before, then the connection's description
	kindData                  // payload: the bytes
	kindGap                   // payload: uint64 length
	kindClose                 // payload: uint64 bytes in, uint64 bytes out, then the reason
)

const (
	// flagRepeat marks an intro of a connection that an earlier batch introduced.
	flagRepeat = 1 << iota
	// flagMore marks data that the next entry of its direction goes on with: they
	// passed at once.
	flagMore
)

// header is what an entry says of itself.
type header struct {
	kind   kind
	dir    record.Direction
	reason record.Reason
	flags  uint8
	slot   uint32
	offset uint64
	time   int64
}

// entry is an entry's header with a view of its payload.
type entry struct {
	header
	payload []byte // points into the batch
	block   []byte // of data: the payload with the room around it
	sum     uint16 // of data: as dump.Pcapng.Place wants it
}

// batch is append-only memory. The shard's lock guards the active one; the
// worker owns the other. Positions of entries count from the memory's end.
type batch struct {
	mem   []byte
	n     int         // bytes of entries
	data  int         // bytes of payload and room
	state *batchState // what a recovery knows of it
}

// room is how many bytes are left around the payload of data.
type room struct{ front, back int }

// eventSize is what an entry takes whose payload of n bytes is with it.
func eventSize(n int) int { return headerSize + (n+7)&^7 }

// dataSize is what an entry of n bytes of data takes.
func dataSize(n int, r room) int { return headerSize + r.front + n + r.back }

// fits tells whether there is room for n more bytes.
func (b *batch) fits(n int) bool { return b.used()+n <= len(b.mem) }

// used is how many bytes are in use.
func (b *batch) used() int { return b.n + b.data }

// event adds an entry that is not data, with a payload that fill writes.
func (b *batch) event(h *header, n int, fill func(payload []byte)) {
	size := eventSize(n)
	end := len(b.mem) - b.n
	fill(b.mem[end-size : end-size+n])
	b.putHeader(h, n, room{}, 0, 0)
	b.n += size
}

// bytes adds an entry of n bytes of data, the first that pieces hold, and returns
// what is left of them. It changes pieces.
func (b *batch) bytes(h *header, n int, r room, pieces [][]byte) [][]byte {
	at := b.data + r.front
	// With room before them a file usually takes the bytes from here, and no worker
	// reads them.
	pieces, sum := fill(b.mem[at:at+n], pieces, r.front > 0)
	b.putHeader(h, n, r, at, sum)
	b.n += headerSize
	b.data += r.front + n + r.back
	return pieces
}

// putHeader writes the header of an entry whose payload of n bytes begins at at.
func (b *batch) putHeader(h *header, n int, r room, at int, sum uint16) {
	end := len(b.mem) - b.n
	m := b.mem[end-headerSize : end]
	le := binary.LittleEndian
	le.PutUint32(m[0:], uint32(n))
	le.PutUint32(m[4:], uint32(h.kind)|uint32(h.dir)<<8|uint32(h.reason)<<16|uint32(h.flags)<<24)
	le.PutUint32(m[8:], h.slot)
	le.PutUint16(m[12:], uint16(r.front))
	le.PutUint16(m[14:], uint16(r.back))
	le.PutUint64(m[16:], h.offset)
	le.PutUint64(m[24:], uint64(h.time))
	le.PutUint64(m[32:], uint64(at)|uint64(sum)<<48)
}

// commit makes the entries so far outlive the process, where there is a spool.
func (b *batch) commit() { b.state.used.Store(uint64(b.n)) }

// reset empties the batch.
func (b *batch) reset() { b.n, b.data = 0, 0 }

// fill copies the front of pieces to dst and returns what is left of them, and the
// sum of dst. It changes pieces. far says that nobody reads dst soon.
func fill(dst []byte, pieces [][]byte, far bool) (left [][]byte, folded uint16) {
	var sum checksum.Sum
	for n := 0; n < len(dst); {
		p := pieces[0]
		if rest := len(dst) - n; len(p) <= rest {
			pieces = pieces[1:]
		} else {
			p, pieces[0] = p[:rest], p[rest:]
		}
		sum = sum.Copy(dst[n:], p, n, far)
		n += len(p)
	}
	return pieces, sum.Fold()
}

// entry decodes the entry at that position into e and returns the position of the
// next. ok is false when there is no whole entry; e is of no use then.
func (b *batch) entry(at int, e *entry) (next int, ok bool) {
	left := b.mem[:len(b.mem)-at]
	if b.n-at < headerSize {
		return 0, false
	}
	m := left[len(left)-headerSize:]
	le := binary.LittleEndian
	n := uint64(le.Uint32(m[0:]))
	// Field by field, as takeLocked does.
	e.kind, e.dir, e.reason, e.flags = kind(m[4]), record.Direction(m[5]), record.Reason(m[6]), m[7]
	e.slot = le.Uint32(m[8:])
	e.offset = le.Uint64(m[16:])
	e.time = int64(le.Uint64(m[24:]))
	if e.kind == kindData {
		front, back, start := uint64(le.Uint16(m[12:])), uint64(le.Uint16(m[14:])), le.Uint64(m[32:])&(1<<48-1)
		limit := uint64(len(b.mem) - b.n)
		if start > limit || front > start || n+back > limit-start {
			return 0, false
		}
		e.payload = b.mem[start : start+n]
		e.block = b.mem[start-front : start+n+back]
		e.sum = le.Uint16(m[38:])
		return at + headerSize, true
	}
	size := eventSize(int(n))
	if size > b.n-at {
		return 0, false
	}
	start := len(left) - size
	e.payload, e.block, e.sum = left[start:start+int(n)], nil, 0
	return at + size, true
}
