package persistence

import (
	"fmt"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// Ring is the memory that the bytes of the connections go to while anybody wants them.
// Sessions read it: one copy serves all of them. A window has one of its own, which keeps
// nothing that is read, unless the flight recorder's is there, which keeps the newest
// bytes. Its methods may be called from any goroutine.
type Ring struct {
	store   *Store
	sizes   sizes
	buffer  int64 // bytes that it may use
	spool   *buffer.Spool
	shards  []*buffer.Shard
	begun   time.Time
	failing sync.Once      // see fail
	watched sync.WaitGroup // live-only windows that read it, where it is a window's own
}

// newRing returns a ring in that memory.
func newRing(store *Store, m memory) *Ring {
	r := &Ring{store: store, sizes: m.sizes, buffer: m.buffer, spool: m.spool, begun: time.Now()}
	m.spool.Populate()
	r.shards = buffer.NewShards(m.sizes.Geometry, m.spool, r.begun)
	for _, sh := range r.shards {
		sh.Begin()
	}
	return r
}

// Data copies the n bytes that pieces hold, which have just passed on c
// in direction dir. before says how many bytes of each direction had passed when
// they came; the one of dir counts at the direction's first call in the ring,
// where it must be exact, and the other is a hint. Data never waits for room and
// returns before the caller may reuse the bytes. It changes the slice pieces, but
// not what its elements point to.
func (r *Ring) Data(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) {
	r.shard(c).Data(c, dir, before, pieces, n)
}

// Skip counts n bytes that have passed on c without Data being able to see them.
func (r *Ring) Skip(c *Conn, dir record.Direction, before record.PerDirection, n int, reason record.Reason) {
	r.shard(c).Skip(c, dir, before, n, reason)
}

// End says that c has ended, after so many bytes have passed: those that were
// read and that the ring has not seen are a gap. A connection that has had no
// bytes in the ring is not mentioned in it.
func (r *Ring) End(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	r.shard(c).End(c, reason, passed)
}

// EndAll says of all connections which have had bytes in the ring and have
// not ended that they end for that reason: they live on, but not in this process.
func (r *Ring) EndAll(reason record.CloseReason) {
	for _, sh := range r.shards {
		sh.EndAll(reason)
	}
}

// shard returns the shard of c. The number is mixed before it is divided: MOSN
// numbers the connections to upstreams too, so that those of clients are often all
// even or all odd.
func (r *Ring) shard(c *Conn) *buffer.Shard {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, as Knuth multiplies
	return r.shards[uint32(c.ID*golden>>32)%uint32(len(r.shards))]
}

// now returns the time of an entry that comes now, in nanoseconds since the Unix epoch. It
// does not jump when somebody sets the host's clock.
func (r *Ring) now() int64 { return r.begun.UnixNano() + int64(time.Since(r.begun)) }

// ringTime returns the time of an entry that came at t, a reading of time.Now or of the
// host's clock.
func (r *Ring) ringTime(t time.Time) int64 { return r.now() - int64(time.Since(t)) }

// pause pauses recording for reason rs: what passes meanwhile is a gap.
func (r *Ring) pause(rs record.Reason) {
	for _, sh := range r.shards {
		sh.Pause(rs)
	}
}

// resume ends the pause for reason rs.
func (r *Ring) resume(rs record.Reason) {
	for _, sh := range r.shards {
		sh.Resume(rs)
	}
}

// paused reports whether recording pauses.
func (r *Ring) paused() bool { return r.shards[0].Paused() } // all have the same

// used returns how many bytes of the batches are in use.
func (r *Ring) used() (n int64) {
	for _, sh := range r.shards {
		n += int64(sh.Used())
	}
	return n
}

// fail makes the ring lose everything from now on, and what its batches hold: they
// cannot be used any more. The proxy does not notice, and what is open goes on.
func (r *Ring) fail(fault *buffer.FaultError) {
	r.failing.Do(func() {
		for _, sh := range r.shards {
			sh.Fail(fault)
		}
		r.store.alert("spool", fmt.Errorf("nothing more is recorded until the memory is given back: %w", fault))
	})
}

// close ends the accepting: what passes from now on is not recorded. What the ring holds
// stays for its readers.
func (r *Ring) close() {
	for _, sh := range r.shards {
		sh.Close()
	}
}

// Closed reports whether the ring accepts nothing any more.
func (r *Ring) Closed() bool { return r.shards[0].Closed() } // all have the same

// handOver ends the accepting and has next go on, exactly: see buffer.Shard.HandOver. next has
// as many shards.
func (r *Ring) handOver(next *Ring) {
	for i, sh := range r.shards {
		sh.HandOver(next.shards[i])
	}
}

// free gives the memory back. Nobody reads the ring any more.
func (r *Ring) free() {
	r.spool.Remove()
	for _, sh := range r.shards {
		sh.Forget()
	}
}
