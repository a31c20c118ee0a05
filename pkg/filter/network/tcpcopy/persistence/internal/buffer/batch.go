package buffer

import (
	"encoding/binary"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

// headerSize is the bytes of a header; see Batch.
const headerSize = 40

// Batch is append-only memory with the entries of a shard, in order. It is
// complete in itself: before the first entry of a connection it has a connection
// header with all that is known of the connection, so that a batch that outlives
// its process can be read without the rest.
//
// The bytes that connections exchange grow from the memory's start, with headroom
// and tailroom for what a file has around them; the entries grow from its end
// downwards, so that a worker can frame a file's blocks in place while the entries
// still say what they were:
//
//	+------+---------+------+------+---------+------+--   --+---------+---------+
//	| head | bytes 1 | tail | head | bytes 2 | tail |  …    | entry 2 | entry 1 |
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
//	12  uint16  headroom, of data
//	14  uint16  tailroom, of data
//	16  uint64  offset in the stream; of a connection header: what was read before
//	24  int64   time, nanoseconds since the Unix epoch
//	32  uint48  where the payload begins, of data
//	38  uint16  the payload's one's complement sum, of data
//
// The payload of all but data stands before the header, padded to 8 bytes.
// Integers are in the byte order of the machine's memory image, little-endian.
//
// The shard's lock guards the active batch; the worker owns the other one.
// Positions of entries count from the memory's end.
type Batch struct {
	mem       []byte
	n         int         // bytes of entries
	dataBytes int         // bytes of payload and margins
	state     *BatchState // what a recovery knows of it
}

// margins is how many bytes are left before and after the payload of data.
type margins struct{ head, tail int }

// eventSize returns the bytes of an entry whose payload of n bytes is with it.
func eventSize(n int) int { return headerSize + (n+7)&^7 }

// dataSize returns the bytes of an entry of n bytes of data.
func dataSize(n int, m margins) int { return headerSize + m.head + n + m.tail }

// RecordSize bounds the bytes that a record of n bytes needs in an empty batch, with
// the connection header and the pending gaps before it.
func RecordSize(n int) int {
	return eventSize(8+8*(2+maxText)) + 2*eventSize(8) + dataSize(n, margins{128, 64})
}

// fits reports whether there is room for n more bytes.
func (b *Batch) fits(n int) bool { return b.used()+n <= len(b.mem) }

// used returns how many bytes are in use.
func (b *Batch) used() int { return b.n + b.dataBytes }

// event adds an entry that is not data, with a payload of n bytes that put
// writes.
func (b *Batch) event(h *Header, n int, put func(payload []byte)) {
	size := eventSize(n)
	end := len(b.mem) - b.n
	put(b.mem[end-size : end-size+n])
	b.putHeader(h, n, margins{}, 0, 0)
	b.n += size
}

// data adds an entry of n bytes of data, the first that pieces hold, and returns
// what is left of them. It changes pieces.
func (b *Batch) data(h *Header, n int, m margins, pieces [][]byte) [][]byte {
	at := b.dataBytes + m.head
	// With headroom a file usually has the bytes from here, and no worker reads them.
	pieces, sum := copyPieces(b.mem[at:at+n], pieces, m.head > 0)
	b.putHeader(h, n, m, at, sum)
	b.n += headerSize
	b.dataBytes += m.head + n + m.tail
	return pieces
}

// putHeader writes the header of an entry whose payload of n bytes begins at at.
func (b *Batch) putHeader(h *Header, n int, around margins, at int, sum uint16) {
	end := len(b.mem) - b.n
	m := b.mem[end-headerSize : end]
	le := binary.LittleEndian
	le.PutUint32(m[0:], uint32(n))
	le.PutUint32(m[4:], uint32(h.Kind)|uint32(h.Dir)<<8|uint32(h.Reason)<<16|uint32(h.Flags)<<24)
	le.PutUint32(m[8:], h.Slot)
	le.PutUint16(m[12:], uint16(around.head))
	le.PutUint16(m[14:], uint16(around.tail))
	le.PutUint64(m[16:], h.Offset)
	le.PutUint64(m[24:], uint64(h.Time))
	le.PutUint64(m[32:], uint64(at)|uint64(sum)<<48)
}

// commit makes the entries so far outlive the process, where there is a spool.
func (b *Batch) commit() { b.state.used.Store(uint64(b.n)) }

// Reset empties the batch. Its owner calls it.
func (b *Batch) Reset() { b.n, b.dataBytes = 0, 0 }

// copyPieces copies the front of pieces to dst and returns what is left of them, and the
// sum of dst. It changes pieces. nonTemporal says that nobody reads dst soon: the copy
// passes the caches by.
func copyPieces(dst []byte, pieces [][]byte, nonTemporal bool) (left [][]byte, folded uint16) {
	var sum checksum.Sum
	for n := 0; n < len(dst); {
		p := pieces[0]
		if rest := len(dst) - n; len(p) <= rest {
			pieces = pieces[1:]
		} else {
			p, pieces[0] = p[:rest], p[rest:]
		}
		sum = sum.Copy(dst[n:], p, n, nonTemporal)
		n += len(p)
	}
	return pieces, sum.Fold()
}

// damageAt makes the data entry at that position a gap of the same bytes.
func (b *Batch) damageAt(at int, length uint64, reason record.Reason) {
	end := len(b.mem) - at
	m := b.mem[end-headerSize : end]
	m[4], m[6] = byte(kindDamaged), byte(reason)
	binary.LittleEndian.PutUint64(m[32:], length)
}

// Len returns the bytes of entries: the position after the last one.
func (b *Batch) Len() int { return b.n }

// State returns how far the batch has got, which outlives the process where there is
// a spool.
func (b *Batch) State() *BatchState { return b.state }

// Entry decodes the entry at that position into e and returns the position of the
// next. ok is false when there is no whole entry; e is of no use then.
func (b *Batch) Entry(at int, e *Entry) (next int, ok bool) {
	left := b.mem[:len(b.mem)-at]
	if b.n-at < headerSize {
		return 0, false
	}
	m := left[len(left)-headerSize:]
	le := binary.LittleEndian
	n := uint64(le.Uint32(m[0:]))
	// Field by field, as acceptLocked does.
	e.Kind, e.Dir, e.Reason, e.Flags = Kind(m[4]), record.Direction(m[5]), record.Reason(m[6]), m[7]
	e.Slot = le.Uint32(m[8:])
	e.Offset = le.Uint64(m[16:])
	e.Time = int64(le.Uint64(m[24:]))
	if e.Kind == KindData {
		head, tail, start := uint64(le.Uint16(m[12:])), uint64(le.Uint16(m[14:])), le.Uint64(m[32:])&(1<<48-1)
		limit := uint64(len(b.mem) - b.n)
		if start > limit || head > start || n+tail > limit-start {
			return 0, false
		}
		e.Payload = b.mem[start : start+n]
		e.Block = b.mem[start-head : start+n+tail]
		e.Sum = le.Uint16(m[38:])
		return at + headerSize, true
	}
	if e.Kind == kindDamaged {
		e.Kind, e.Payload, e.Block, e.Sum = KindGap, m[32:40:40], nil, 0
		return at + headerSize, true
	}
	size := eventSize(int(n))
	if size > b.n-at {
		return 0, false
	}
	start := len(left) - size
	e.Payload, e.Block, e.Sum = left[start:start+int(n)], nil, 0
	return at + size, true
}
