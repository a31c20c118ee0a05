package persistence

import (
	"errors"
	"fmt"
	"sync"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
)

// source hands out the batches of one shard in their order. There are two: a reader of a
// live shard, which connections fill, and the part of a shard in the spool of a killed
// process. A source belongs to one pipeline.
type source interface {
	// next returns the next batch, nil when there is none now. Its entries from Start on
	// are new. The batch is the caller's until done.
	next() *buffer.Batch
	// done ends the work on the batch that next has returned: t is what was counted of
	// it, firsts of that what nobody else had counted, and known is how many connections
	// the batches so far have introduced.
	done(b *buffer.Batch, t, firsts *buffer.Tally, known uint64)
	// save makes the changes of the reader's state outlive the process.
	save()
	// tally returns what was counted so far. It may be called from any goroutine.
	tally() buffer.Tally
}

// liveShard is the source of an open window.
type liveShard struct {
	reader *buffer.Reader

	mu     sync.Mutex // guards the rest, and that it fits what the reader has read
	sum    buffer.Tally
	firsts buffer.Tally // of sum, what no other session had counted
}

func (s *liveShard) next() *buffer.Batch { return s.reader.Next() }

func (s *liveShard) done(b *buffer.Batch, t, firsts *buffer.Tally, known uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Add(t)
	s.firsts.Add(firsts)
	s.firsts.Connections = known
	s.sum.Connections = known
	s.reader.State().Done(b.Origin(b.Len()), &s.sum)
	s.reader.Done()
}

func (s *liveShard) save() {} // it is in the spool

func (s *liveShard) tally() buffer.Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.sum
	s.reader.Unread(&sum)
	return sum
}

// total is tally for the totals of all sessions, in which each byte is once.
func (s *liveShard) total() buffer.Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.firsts
	s.reader.UnreadFirst(&sum)
	return sum
}

// deadShard is the source of a recovery. It is used by one goroutine.
type deadShard struct {
	spool   *buffer.DeadSpool
	shard   *buffer.ShardState
	reader  *buffer.ReaderState
	reserve buffer.Reserve        // of memory for a batch
	batches []buffer.PendingBatch // those that were not done
	damage  error                 // what of them cannot be read, and of the state cannot be written
	err     error                 // why the next batch cannot be read now
	sum     buffer.Tally
	last    int64 // time of the last entry handed out, nanoseconds since the Unix epoch
}

func newDeadShard(spool *buffer.DeadSpool, session, shard int, reserve buffer.Reserve) *deadShard {
	d := &deadShard{spool: spool, shard: spool.Shard(shard), reader: spool.Reader(session, shard), reserve: reserve}
	d.batches = spool.Pending(session, shard)
	_, d.sum = d.reader.Account()
	return d
}

// next reads the next batch. It returns nil also when that cannot be read now; err says
// why.
func (d *deadShard) next() *buffer.Batch {
	if len(d.batches) == 0 {
		return nil
	}
	b, damage, err := d.spool.Read(d.batches[0], spoolLimits(), d.reserve)
	if err != nil {
		d.err = err
		return nil
	}
	d.batches = d.batches[1:]
	d.damage = errors.Join(d.damage, damage)
	if t := b.LastTime(); t != 0 {
		d.last = t
	}
	return b
}

func (d *deadShard) done(b *buffer.Batch, t, _ *buffer.Tally, known uint64) {
	d.sum.Add(t)
	d.sum.Connections = known
	d.reader.Done(b.Origin(b.Len()), &d.sum)
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

// close completes the tally when all batches are done: what was lost and has no entry is
// in it too.
func (d *deadShard) close(known uint64) {
	d.sum.Connections = known
	if d.spool.Header().Sessions == 1 { // where several share a ring, it is no session's
		d.shard.AddPending(&d.sum)
	}
}

// errNotWritten says that the files do not have all of a dead shard's batch: the
// spool keeps it.
func errNotWritten(window string, b *buffer.Batch) error {
	return fmt.Errorf("window %s: %d bytes of a batch cannot be written", window, b.Len())
}
