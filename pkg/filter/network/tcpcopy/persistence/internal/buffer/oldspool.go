package buffer

import (
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"mosn.io/tcpcopy/pkg/record"
)

// A spool of the version before has two batches a shard and one session, whose state is
// with the batches. A recovery reads it into the states of this version, and saves it in
// its own form.

// oldShardState is a shard's part of such a spool.
type oldShardState struct {
	batches  [2]oldBatchState
	losses   losses // that were never in a batch, those with a gap entry too
	stored   atomic.Uint64
	accounts [2]oldAccount
}

type oldBatchState struct {
	batchState
	outputs [maxOutputs]oldOutputState
}

type oldOutputState struct {
	phase     atomic.Uint64 // as in OutputState
	positions [2]oldFilePosition
}

type oldFilePosition struct{ From, Inode, Size uint64 }

type oldAccount struct {
	number uint64 // of the batch that was done
	tally  Tally
}

// oldLayoutOf returns the layout of such a spool.
func oldLayoutOf(h *SpoolHeader) (l spoolLayout) {
	l.header = h
	l.sessions = (PageSize + h.Workers*int(unsafe.Sizeof(oldShardState{})) + PageSize - 1) &^ (PageSize - 1)
	l.session = (sessionStateSize + PageSize - 1) &^ (PageSize - 1)
	l.states = l.sessions + l.session
	return l.withBatches()
}

// readOldStates is readStates for such a spool.
func (s *DeadSpool) readOldStates(limits Limits) error {
	workers := s.header.Workers
	all := make([]oldShardState, workers)
	if err := s.read(image(all), PageSize); err != nil {
		return err
	}
	s.saved = slices.Clone(image(all))
	d := deadSession{window: new(WindowState), readers: make([]ReaderState, workers)}
	if err := s.read(d.window.image(), s.layout.window(0)); err != nil {
		return err
	}
	d.stored, d.alive = d.window.stored.Load(), d.window.Alive()
	s.shards, s.batches, s.sessions = make([]ShardState, workers), make([][]batchState, workers), []deadSession{d}
	for i := range all {
		old, reader := &all[i], &d.readers[i]
		account := old.accounts[old.stored.Load()%2]
		account.tally.Seen = account.tally.Written // it counts what is in the batches too
		for _, dir := range record.Directions() {
			for _, n := range account.tally.Lost[dir] {
				account.tally.Seen.Add(dir, n)
			}
		}
		reader.begin(Place{Batch: account.number + 1})
		reader.Done(Place{Batch: account.number + 1}, &account.tally)
		s.batches[i] = make([]batchState, len(old.batches))
		for which := range old.batches {
			b := &old.batches[which]
			number := b.number.Load()
			s.batches[i][which].used.Store(b.used.Load())
			s.batches[i][which].number.Store(number)
			if number <= account.number {
				continue
			}
			for o := range b.outputs {
				phase, p := b.outputs[o].get()
				if phase != PhaseUntouched { // of one of the two batches
					reader.outputs[o].Set(phase, FilePosition{Batch: number, From: p.From, Inode: p.Inode, Size: p.Size})
				}
			}
		}
	}
	for i := range all {
		if err := s.findOldPending(i, &all[i].losses, limits); err != nil {
			return err
		}
	}
	return nil
}

// findOldPending finds what a shard has lost and what has no entry: of what was lost, it is
// the part that is neither in the account nor a gap of a batch.
func (s *DeadSpool) findOldPending(shard int, losses *losses, limits Limits) error {
	_, counted := s.Reader(0, shard).Account()
	pending := &s.shards[shard].pending
	for _, dir := range record.Directions() {
		for r := range losses[dir] {
			n := losses[dir][r].Load()
			pending[dir][r].Store(max(n, counted.Lost[dir][r]) - counted.Lost[dir][r])
		}
	}
	for _, p := range s.Pending(0, shard) {
		s.memory.free()
		b, _, err := s.readEntries(p, limits)
		if err != nil {
			return err
		}
		var e Entry
		for at := 0; at < b.n; {
			next, ok := b.Entry(at, &e)
			if !ok {
				break
			}
			if e.Kind == KindGap {
				pending[e.Dir][e.Reason].Add(-e.Length()) // the sum with it is right
			}
			at = next
		}
	}
	return nil
}

// get is OutputState.Get.
func (o *oldOutputState) get() (Phase, oldFilePosition) {
	v := o.phase.Load()
	return Phase(v >> 1), o.positions[v&1]
}

// saveOld is Save for such a spool.
func (s *DeadSpool) saveOld() error {
	all := make([]oldShardState, s.header.Workers)
	copy(image(all), s.saved)
	for i := range all {
		s.storeOld(&all[i], &s.sessions[0].readers[i])
	}
	size := int(unsafe.Sizeof(all[0]))
	next := image(all)
	for _, image := range [][]byte{withWords(next, s.saved, size, oldWords()), next} {
		if _, err := s.file.WriteAt(image, PageSize); err != nil {
			return fmt.Errorf("write the states of %s: %w", s.file.Name(), err)
		}
	}
	s.saved = slices.Clone(next)
	return nil
}

// storeOld stores what has changed of a reader in the old form.
func (s *DeadSpool) storeOld(old *oldShardState, reader *ReaderState) {
	place, tally := reader.Account()
	number := place.Batch // is done, with all that a dead batch has
	if place.At == 0 {
		number--
	}
	if n := old.stored.Load(); old.accounts[n%2].number != number {
		old.accounts[(n+1)%2] = oldAccount{number: number, tally: tally}
		old.stored.Store(n + 1)
	}
	for which := range old.batches {
		b := &old.batches[which]
		for o := range b.outputs {
			phase, p := reader.outputs[o].Get()
			out := &b.outputs[o]
			position := oldFilePosition{From: p.From, Inode: p.Inode, Size: p.Size}
			if was, at := out.get(); p.Batch != b.number.Load() || was == phase && at == position {
				continue
			}
			v := (out.phase.Load() + 1) & 1
			out.positions[v] = position
			out.phase.Store(uint64(phase)<<1 | v)
		}
	}
}

// oldWords returns where in an oldShardState the words are that are stored last.
func oldWords() []int {
	var s oldShardState
	words := []int{int(unsafe.Offsetof(s.stored))}
	for i := range s.batches {
		for o := range s.batches[i].outputs {
			words = append(words, int(uintptr(unsafe.Pointer(&s.batches[i].outputs[o].phase))-uintptr(unsafe.Pointer(&s))))
		}
	}
	return words
}
