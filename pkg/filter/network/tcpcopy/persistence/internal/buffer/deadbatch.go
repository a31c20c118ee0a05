package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

// PendingBatch is a batch that a session has not done, or not all of it.
type PendingBatch struct {
	reader       *ReaderState
	state        *batchState
	start        uint64 // position of the first entry that is not done
	shard, which int
}

// Number returns the batch's place in the order of the shard's batches.
func (p *PendingBatch) Number() uint64 { return p.state.number.Load() }

// Output returns how far the batch has got into the i-th format's file.
func (p *PendingBatch) Output(i int) (Phase, FilePosition) {
	phase, position := p.reader.Output(i).Get()
	if position.Batch != p.state.number.Load() {
		return PhaseUntouched, FilePosition{}
	}
	return phase, position
}

// Pending returns the batches of a shard that a session has not done, in their order.
func (s *DeadSpool) Pending(session, shard int) []PendingBatch {
	var batches []PendingBatch
	reader := s.Reader(session, shard)
	done, _ := reader.Account()
	if done.Batch == 0 {
		if !s.isCrash(session) {
			return nil // there was no session
		}
		done = s.oldest(shard)
	}
	for which := range s.batches[shard] {
		p := PendingBatch{reader: reader, state: &s.batches[shard][which], shard: shard, which: which}
		number := p.state.number.Load()
		if number == done.Batch {
			p.start = done.At
		}
		if number >= done.Batch && p.state.used.Load() > p.start {
			batches = append(batches, p)
		}
	}
	slices.SortFunc(batches, func(a, b PendingBatch) int {
		return cmp.Compare(a.state.number.Load(), b.state.number.Load())
	})
	return batches
}

// isCrash reports whether a session is that of a recovery that writes all that the batches
// hold.
func (s *DeadSpool) isCrash(session int) bool {
	return s.header.Crash && session == s.header.Sessions-1
}

// oldest returns the place from which on a shard has everything: batches whose numbers are
// one less than another one's, up to the newest.
func (s *DeadSpool) oldest(shard int) Place {
	var numbers []uint64
	for which := range s.batches[shard] {
		numbers = append(numbers, s.batches[shard][which].number.Load())
	}
	slices.Sort(numbers)
	i := len(numbers) - 1
	for i > 0 && numbers[i-1] > 0 && numbers[i-1] == numbers[i]-1 {
		i--
	}
	return Place{Batch: numbers[i]}
}

// InUse reports whether a killed process had a session. The last one of a spool with Crash
// is the one that all that the batches hold is written as.
func (s *DeadSpool) InUse(session int) bool {
	for shard := range s.shards {
		if done, _ := s.Reader(session, shard).Account(); done.Batch != 0 || s.isCrash(session) && s.oldest(shard).Batch != 0 {
			return true
		}
	}
	return false
}

// BeginCrash prepares the session as which all that the batches hold is written. since is
// the moment, in nanoseconds since the Unix epoch, from which on all shards have everything;
// 0 where they have it from the ring's beginning on.
func (s *DeadSpool) BeginCrash(limits Limits) (since int64, err error) {
	session := s.header.Sessions - 1
	for shard := range s.shards {
		oldest := s.oldest(shard)
		if reader := s.Reader(session, shard); oldest.Batch > 0 {
			if done, _ := reader.Account(); done.Batch == 0 {
				reader.begin(oldest)
			}
		}
		if oldest.Batch <= 1 {
			continue // the first one
		}
		for which := range s.batches[shard] {
			if state := &s.batches[shard][which]; state.number.Load() == oldest.Batch {
				first, err := s.firstTime(PendingBatch{reader: s.Reader(session, shard), state: state, shard: shard, which: which}, limits)
				if err != nil {
					return 0, err
				}
				since = max(since, first)
			}
		}
	}
	return since, s.Save()
}

// firstTime returns the time of a batch's first entry, 0 without one.
func (s *DeadSpool) firstTime(p PendingBatch, limits Limits) (int64, error) {
	s.memory.free()
	b, _, err := s.readEntries(p, limits)
	if err != nil {
		return 0, err
	}
	var e Entry
	if _, ok := b.Entry(0, &e); !ok {
		return 0, nil
	}
	return e.Time, nil
}

// Read reads a batch into memory, which belongs to s and is good until the next Read,
// Remove or Leave. The batch holds whole entries only; damage says what was cut off, and
// how many bytes of data could not be read, which are gaps in the batch.
// reserve is asked before memory is allocated; what it forbids is err.
func (s *DeadSpool) Read(p PendingBatch, limits Limits, reserve Reserve) (b *Batch, damage, err error) {
	s.memory.free()
	b, data, err := s.readEntries(p, limits)
	if err != nil {
		return nil, nil, err
	}
	if used := p.state.used.Load(); uint64(b.n) < used {
		damage = fmt.Errorf("shard %d of window %s: damaged after %d of %d bytes", p.shard, s.header.Window, b.n, used)
	}
	a := allocation{reserve: reserve, rest: data}
	at := s.layout.batch(p.shard, p.which)
	err = a.slices(0, data, func(from, to int) error { return s.read(b.mem[from:to], at+from) })
	if err != nil {
		return nil, nil, err
	}
	lost := b.checkSums(s.inAllFiles(&p))
	if lost != (record.PerDirection{}) {
		damage = errors.Join(damage, fmt.Errorf("shard %d of window %s: %d bytes in and %d bytes out are damaged", p.shard, s.header.Window, lost.In, lost.Out))
	}
	return b, damage, nil
}

// entriesSlice is how many bytes of entries are read at once.
const entriesSlice = 256 << 10

// readEntries reads the whole entries of a batch, and returns how many bytes of data
// they have. Of memory that a damaged file asks for it takes what holds entries only.
func (s *DeadSpool) readEntries(p PendingBatch, limits Limits) (b *Batch, data int, err error) {
	if s.memory, err = newMapping(sparse, s.header.Batch); err != nil {
		return nil, 0, fmt.Errorf("map %d bytes for a batch: %w", s.header.Batch, err)
	}
	b = &Batch{mem: s.memory.mem, number: p.state.number.Load(), start: int(p.start), joined: p.start > 0, reader: p.reader}
	used := int(min(p.state.used.Load(), uint64(len(b.mem))))
	start := s.layout.batch(p.shard, p.which)
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
	b.start = min(b.start, b.n)
	return b, check.data, nil
}

// inAllFiles returns the position in a batch before which all files have the entries.
func (s *DeadSpool) inAllFiles(p *PendingBatch) int {
	least := uint64(s.header.Batch)
	for i := range s.header.Formats {
		_, position := p.Output(i)
		least = min(least, max(p.start, position.From))
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

// Left returns how many bytes of data the batches of a shard have that a session has not
// done. What
// of them all files have is written: the process was killed in the middle of a batch.
func (s *DeadSpool) Left(session, shard int, limits Limits) (left, written record.PerDirection, err error) {
	for _, p := range s.Pending(session, shard) {
		s.memory.free()
		b, _, err := s.readEntries(p, limits)
		if err != nil {
			return left, written, err
		}
		end := s.inAllFiles(&p)
		var e Entry
		for at := b.start; at < b.n; {
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
