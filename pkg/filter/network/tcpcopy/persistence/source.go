package persistence

import (
	"errors"
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
	// save makes the changes of the batch's state outlive the process.
	save()
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

func (s liveShard) save() {} // it is in the spool

func (s liveShard) tally() buffer.Tally { return s.shard.Tally() }

// deadShard is the source of a recovery. It is used by one goroutine.
type deadShard struct {
	spool   *buffer.DeadSpool
	state   *buffer.ShardState
	reserve buffer.Reserve        // of memory for a batch
	batches []buffer.PendingBatch // those that were not done
	damage  error                 // what of them cannot be read, and of the state cannot be written
	err     error                 // why the next batch cannot be read now
	lost    record.PerDirection   // bytes of the batch handed out that cannot be read
	sum     buffer.Tally
	last    int64 // time of the last entry handed out, nanoseconds since the Unix epoch
}

func newDeadShard(spool *buffer.DeadSpool, shard int, reserve buffer.Reserve) *deadShard {
	d := &deadShard{spool: spool, state: spool.State(shard), reserve: reserve}
	d.batches = spool.Pending(shard)
	d.sum = d.state.Account()
	return d
}

// next reads the next batch. It returns nil also when that cannot be read now; err says
// why.
func (d *deadShard) next() *buffer.Batch {
	if len(d.batches) == 0 {
		return nil
	}
	b, lost, damage, err := d.spool.Read(d.batches[0], spoolLimits(), d.reserve)
	if err != nil {
		d.err = err
		return nil
	}
	d.batches = d.batches[1:]
	d.lost, d.damage = lost, errors.Join(d.damage, damage)
	if t := b.LastTime(); t != 0 {
		d.last = t
	}
	return b
}

func (d *deadShard) done(b *buffer.Batch, t *buffer.Tally, _ []uint32, known uint64) {
	for _, dir := range record.Directions() {
		t.Lost[dir][record.ReasonWriteError] += d.lost.Of(dir)
	}
	d.sum.Add(t)
	d.sum.Connections = known
	d.state.Done(b.State().Number(), &d.sum)
	d.save()
}

// save has the file get what has changed of the state. Where it cannot, another recovery
// after this one would write some records twice.
func (d *deadShard) save() {
	if err := d.spool.Save(); err != nil {
		d.damage = errors.Join(d.damage, err)
	}
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
