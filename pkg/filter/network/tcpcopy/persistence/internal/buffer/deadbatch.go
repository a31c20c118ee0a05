package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

// PendingBatch is a batch that was not done.
type PendingBatch struct {
	State        *BatchState
	shard, which int
}

// Pending returns the batches of a shard that were not done, in their order.
func (s *DeadSpool) Pending(shard int) []PendingBatch {
	var batches []PendingBatch
	state := &s.states[shard]
	for i := range state.batches {
		b := &state.batches[i]
		if b.number.Load() > state.account().number && b.used.Load() > 0 {
			batches = append(batches, PendingBatch{State: b, shard: shard, which: i})
		}
	}
	slices.SortFunc(batches, func(a, b PendingBatch) int { return cmp.Compare(a.State.Number(), b.State.Number()) })
	return batches
}

// Read reads a batch into memory, which belongs to s and is good until the next Read,
// Remove or Leave. The batch holds whole entries only; damage says what was cut off, and
// how many bytes of data could not be read, which are gaps in the batch, are lost.
// reserve is asked before memory is allocated; what it forbids is err.
func (s *DeadSpool) Read(p PendingBatch, limits Limits, reserve Reserve) (b *Batch, lost record.PerDirection, damage, err error) {
	s.memory.free()
	b, data, err := s.readEntries(p, limits)
	if err != nil {
		return nil, lost, nil, err
	}
	if used := p.State.used.Load(); uint64(b.n) < used {
		damage = fmt.Errorf("shard %d of window %s: damaged after %d of %d bytes", p.shard, s.header.Window, b.n, used)
	}
	a := allocation{reserve: reserve, rest: data}
	at := s.header.batchAt(p.shard, p.which)
	err = a.slices(0, data, func(from, to int) error { return s.read(b.mem[from:to], at+from) })
	if err != nil {
		return nil, lost, nil, err
	}
	lost = b.checkSums(s.inAllFiles(p.State))
	if lost != (record.PerDirection{}) {
		damage = errors.Join(damage, fmt.Errorf("shard %d of window %s: %d bytes in and %d bytes out are damaged", p.shard, s.header.Window, lost.In, lost.Out))
	}
	return b, lost, damage, nil
}

// entriesSlice is how many bytes of entries are read at once.
const entriesSlice = 256 << 10

// readEntries reads the whole entries of a batch, and returns how many bytes of data
// they have. Of memory that a damaged file asks for it takes what holds entries only.
func (s *DeadSpool) readEntries(p PendingBatch, limits Limits) (b *Batch, data int, err error) {
	if s.memory, err = newMapping(sparse, s.header.Batch); err != nil {
		return nil, 0, fmt.Errorf("map %d bytes for a batch: %w", s.header.Batch, err)
	}
	b = &Batch{mem: s.memory.mem, state: p.State}
	used := int(min(p.State.used.Load(), uint64(len(b.mem))))
	start := s.header.batchAt(p.shard, p.which)
	check := entryCheck{named: map[uint32]bool{}, most: limits.Record, room: len(b.mem) - used}
	for whole := 0; b.n < used; {
		next := min(used, b.n+entriesSlice)
		from := len(b.mem) - next
		if err := s.read(b.mem[from:len(b.mem)-b.n], start+from); err != nil {
			return nil, 0, err
		}
		b.n = next
		before := whole
		if whole = check.wholeEntries(b, whole); whole == before || next == used {
			b.n = whole
			break
		}
	}
	return b, check.data, nil
}

// inAllFiles returns the position in a batch before which all files have the entries.
func (s *DeadSpool) inAllFiles(b *BatchState) int {
	least := uint64(s.header.Batch)
	for i := range s.header.Formats {
		_, position := b.Output(i).Get()
		least = min(least, position.From)
	}
	return int(least)
}

// checkSums makes gaps of the data whose sums are wrong, from a position on, and returns
// how many bytes that are. What came before is in the files.
func (b *Batch) checkSums(from int) (lost record.PerDirection) {
	var e Entry
	for at := 0; at < b.n; {
		next, ok := b.Entry(at, &e)
		if !ok {
			break
		}
		if e.Kind == KindData && at >= from && checksum.Sum(0).Add(e.Payload).Fold() != e.Sum {
			lost.Add(e.Dir, uint64(len(e.Payload)))
			b.damageAt(at, uint64(len(e.Payload)), record.ReasonWriteError)
		}
		at = next
	}
	return lost
}

// LastTime returns the time of the batch's last entry, nanoseconds since the Unix
// epoch, 0 without one.
func (b *Batch) LastTime() (last int64) {
	var e Entry
	for at := 0; at < b.n; {
		next, ok := b.Entry(at, &e)
		if !ok {
			break
		}
		at, last = next, e.Time
	}
	return last
}

// maxSlots bounds the connections of a shard at a time that a recovery believes.
const maxSlots = 1 << 24

// entryCheck finds the entries of a dead batch that can be encoded.
type entryCheck struct {
	named map[uint32]bool // slots with a connection header
	most  int             // bytes of an entry of data
	room  int             // bytes of data and margins that there may be
	data  int             // of them, those of the whole entries so far
}

// wholeEntries returns the position after the last entry of b, from n on, that can be
// encoded.
func (c *entryCheck) wholeEntries(b *Batch, n int) int {
	var e Entry
	for n < b.n {
		next, ok := b.Entry(n, &e)
		if !ok || e.Kind < KindHeader || e.Kind > KindClose || e.Dir > record.Out || e.Reason >= record.NumReasons || e.Slot > maxSlots {
			break
		}
		if e.Kind == KindHeader {
			c.named[e.Slot] = len(e.Payload) >= minPayload[KindHeader]
		}
		if !c.named[e.Slot] || len(e.Payload) < minPayload[e.Kind] {
			break
		}
		if e.Kind == KindData {
			// As they were appended, one behind the other.
			if len(e.Payload) > c.most || len(e.Block) > c.room-c.data || &b.mem[c.data] != &e.Block[0] {
				break
			}
			c.data += len(e.Block)
		}
		if e.Kind == KindClose {
			delete(c.named, e.Slot)
		}
		n = next
	}
	return n
}

// Left returns how many bytes of data the batches of a shard have that were not done. What
// of them all files have is written: the process was killed in the middle of a batch.
func (s *DeadSpool) Left(shard int, limits Limits) (left, written record.PerDirection, err error) {
	for _, p := range s.Pending(shard) {
		s.memory.free()
		b, _, err := s.readEntries(p, limits)
		if err != nil {
			return left, written, err
		}
		end := s.inAllFiles(p.State)
		var e Entry
		for at := 0; at < b.n; {
			next, ok := b.Entry(at, &e)
			if !ok {
				break
			}
			switch {
			case e.Kind != KindData:
			case at < end:
				written.Add(e.Dir, uint64(len(e.Payload)))
			default:
				left.Add(e.Dir, uint64(len(e.Payload)))
			}
			at = next
		}
	}
	return left, written, nil
}
