package persistence

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// source hands out the batches of one shard in their order. There are two: a live
// shard, which connections fill, and the part of a shard in the spool of a killed
// process. A source belongs to one pipeline.
type source interface {
	// next returns the next batch, nil when there is none now. The batch is the
	// caller's until done.
	next() *buffer.Batch
	// done ends the work on the batch that next has returned: t is what was counted
	// of it, freed are the slots of the connections that have ended in it, and known
	// is how many connections the batches so far have introduced.
	done(b *buffer.Batch, t *buffer.Tally, freed []uint32, known uint64)
	// tally returns what was counted so far. It may be called from any goroutine.
	tally() buffer.Tally
}

// liveShard is the source of an open window.
type liveShard struct{ shard *buffer.Shard }

func (s liveShard) next() *buffer.Batch { return s.shard.Swap() }

func (s liveShard) done(b *buffer.Batch, t *buffer.Tally, freed []uint32, known uint64) {
	sum := s.shard.Account(t, freed)
	sum.Connections = known // the others are known by the batches to come
	s.shard.State().Done(b.State().Number(), &sum)
	b.Reset()
}

func (s liveShard) tally() buffer.Tally { return s.shard.Tally() }

// deadShard is the source of a recovery. It is used by one goroutine.
type deadShard struct {
	state   *buffer.ShardState
	batches []*buffer.Batch // those that were not done
	damage  error           // what of them cannot be read
	sum     buffer.Tally
	last    int64 // time of the last entry handed out, nanoseconds since the Unix epoch
}

func newDeadShard(spool *buffer.Spool, shard int) *deadShard {
	d := &deadShard{state: spool.State(shard)}
	d.batches, d.damage = spool.Pending(shard)
	d.sum = d.state.Account()
	return d
}

func (d *deadShard) next() *buffer.Batch {
	if len(d.batches) == 0 {
		return nil
	}
	b := d.batches[0]
	d.batches = d.batches[1:]
	if t := b.LastTime(); t != 0 {
		d.last = t
	}
	return b
}

func (d *deadShard) done(b *buffer.Batch, t *buffer.Tally, _ []uint32, known uint64) {
	d.sum.Add(t)
	d.sum.Connections = known
	d.state.Done(b.State().Number(), &d.sum)
}

func (d *deadShard) tally() buffer.Tally { return d.sum }

// close completes the tally when all batches are done: what was seen is what was
// written and what was lost, since the last account too.
func (d *deadShard) close(known uint64) {
	d.sum.Connections = known
	d.sum.Seen = d.sum.Written
	for _, dir := range record.Directions() {
		for r := range d.sum.Lost[dir] {
			n := max(d.sum.Lost[dir][r], d.state.Lost(dir, record.Reason(r)))
			d.sum.Lost[dir][r] = n
			d.sum.Seen.Add(dir, n)
		}
	}
}

// errNotWritten says that the files do not have all of a dead shard's batch: the
// spool keeps it.
func errNotWritten(window string, b *buffer.Batch) error {
	return fmt.Errorf("window %s: %d bytes of a batch cannot be written", window, b.Len())
}
