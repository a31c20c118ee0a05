package buffer

import "mosn.io/tcpcopy/pkg/dump/pcapng"

// PageSize is what the length of a batch is a multiple of, in bytes.
const PageSize = 4096

// Geometry says how a session's memory is divided. All lengths are bytes.
type Geometry struct {
	Shards  int
	Batch   int  // of each of a shard's two batches, a multiple of PageSize
	Record  int  // of the longest record
	Piece   int  // of the longest entry of a record that is no datagram
	InPlace bool // entries have headroom and tailroom, so that a packet block can be framed in place
}

// wakeAt returns how many bytes a batch has when its worker is woken. Blocks that
// are framed in place are worth waiting for: the fewer writes, the less each byte
// costs.
func (g *Geometry) wakeAt() int {
	if g.InPlace {
		return min(g.Batch/2, 4<<20)
	}
	return min(g.Batch/2, 1<<20)
}

// populated returns how many bytes of a batch get their pages when a window opens:
// what usually comes together before a worker that keeps up has swapped the batch.
func (g *Geometry) populated() int { return min(g.Batch, max(largePage, 2*g.wakeAt())) }

// longest returns how many bytes one entry of c holds at most.
func (g *Geometry) longest(c *Conn) int {
	if c.Datagrams {
		return g.Record
	}
	return g.Piece
}

// margins returns what is left around n bytes of c.
func (g *Geometry) margins(c *Conn, n int) margins {
	if g.InPlace {
		return margins{head: c.describe().headroom, tail: pcapng.Tailroom(n)}
	}
	return margins{tail: -n & 7}
}
