package buffer

import (
	"errors"
	"runtime/debug"
	"slices"
	"unsafe"

	"mosn.io/tcpcopy/pkg/record"
)

// Reader reads the entries of a shard in their order, from a place on. What it has not
// read yet, the shard keeps. One goroutine uses it, and closes it.
type Reader struct {
	shard *Shard
	full  chan struct{} // has an element when there is enough to be worth a Next
	state *ReaderState  // what a recovery knows of the reader
	view  readerView

	// The rest is guarded by the shard's lock.
	at       Place
	read     record.PerDirection // bytes that the entries before at in at's batch stand for
	seen     record.PerDirection // bytes that those of the view's batch up to its last entry do
	beside   Tally               // the shard's at the beginning
	last     record.PerDirection // bytes that the entries before end in end's batch stand for
	joined   bool                // it has not had the entries before at in at's batch
	end      *Place              // where it ends; nil while it goes on
	held     bool                // the view is being read
	outlines []*Batch            // of batches that are not read any more, in their order
	outlined int                 // bytes of their memory
	views    uint64              // how many there were
}

// readerView is the view that a reader reads without the shard's lock. It has cache lines
// of its own: in those of the lock each of its reads would wait for a connection.
type readerView struct {
	Batch
	_ [256 - unsafe.Sizeof(Batch{})]byte
}

// NewReader returns a reader of what comes from now on, the one of a session of the
// spool.
func (sh *Shard) NewReader(session int) *Reader {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	return sh.newReaderLocked(sh.spool.reader(session, sh.index))
}

// NewWatcher returns a reader of what comes from now on that a recovery knows nothing of.
func (sh *Shard) NewWatcher() *Reader {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	return sh.newReaderLocked(&ReaderState{})
}

// NewWatcherOfAll is NewWatcher for all that the shard holds.
func (sh *Shard) NewWatcherOfAll() *Reader {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	r := sh.newReaderLocked(&ReaderState{})
	r.at, r.joined = sh.held[0].Place(0), false
	return r
}

func (sh *Shard) newReaderLocked(state *ReaderState) *Reader {
	r := &Reader{shard: sh, full: make(chan struct{}, 1), state: state}
	r.at = sh.active.Place(sh.active.n)
	r.joined, r.read, r.beside = sh.active.n > 0, sh.active.seen, sh.beside
	r.state.begin(r.at)
	sh.readers = append(sh.readers, r)
	return r
}

// NewReaderSince returns a reader of what has come since t, nanoseconds since the Unix
// epoch, as far as the shard has it: from is the later of t and the moment since when it
// has everything. Its first views begin earlier.
func (sh *Shard) NewReaderSince(session int, t int64) (r *Reader, from int64) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	r = &Reader{shard: sh, full: make(chan struct{}, 1), state: sh.spool.reader(session, sh.index), beside: sh.beside}
	r.at = sh.active.Place(0)
	for _, b := range slices.Backward(sh.held) {
		if b.number <= sh.evicted {
			break
		}
		r.at = b.Place(0)
		if b.begun != 0 && b.begun < t {
			break
		}
	}
	r.state.begin(r.at)
	sh.readers = append(sh.readers, r)
	return r, max(t, sh.sinceLocked())
}

// Full has an element when there is enough to be worth a Next.
func (r *Reader) Full() <-chan struct{} { return r.full }

// Shard returns what the reader reads.
func (r *Reader) Shard() *Shard { return r.shard }

// State returns how far the reader has got, which outlives the process where there is a
// spool.
func (r *Reader) State() *ReaderState { return r.state }

// Next returns a view of the next entries, as many as there are in their batch. It is the
// reader's until Done. It returns nil when there are none now.
func (r *Reader) Next() *Batch {
	sh := r.shard
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.failed != nil {
		return nil
	}
	for _, b := range sh.held {
		if len(r.outlines) > 0 && r.outlines[0].number <= b.number {
			return r.nextOutlineLocked()
		}
		if !r.needs(b) {
			continue
		}
		if s := b.state; s.number.Load() != b.number || s.used.Load() != uint64(b.n) {
			// What was cut off and made as long again reads as zeros.
			sh.failLocked(&FaultError{Path: sh.spool.Path(), cause: errors.New("its states have changed")})
			return nil
		}
		r.view.Batch = Batch{mem: b.mem, n: b.n, number: b.number, joined: r.joined, reader: r.state}
		r.seen = b.seen
		if r.end != nil && b.number == r.end.Batch {
			r.view.n, r.seen = int(r.end.At), r.last
		}
		if b.number == r.at.Batch {
			r.view.start = int(r.at.At)
		}
		r.held, r.joined = true, false
		r.views++
		if len(sh.readers) == 1 {
			sh.unread = 0
		}
		return &r.view.Batch
	}
	return nil
}

// End ends the reader at the present place: Next returns what comes before it. Gaps that
// have no entry yet get one, as far as there is room.
func (r *Reader) End() {
	sh := r.shard
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.failed == nil {
		sh.writePendingLocked(sh.clock.Now())
	}
	end := sh.active.Place(sh.active.n)
	r.end, r.last = &end, sh.active.seen
}

// Done ends the reading of the view that Next has returned, if it has not been ended. It
// writes close events that have waited for room.
func (r *Reader) Done() {
	sh := r.shard
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if !r.held {
		return
	}
	r.held = false
	if sh.failed != nil {
		return // the view is lost with the rest
	}
	r.at, r.read = r.view.Origin(r.view.n), r.seen
	sh.releaseLocked()
	sh.writeClosesLocked(closesPerSwap, sh.clock.Now())
}

// Unread adds to t what has passed and was in no view that is done: what the readers will
// find, and what has no entry. Where the shard has failed, it is lost.
func (r *Reader) Unread(t *Tally) {
	sh := r.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, o := range r.outlines {
		t.Seen = t.Seen.Plus(o.seen)
	}
	for _, b := range sh.held {
		if !r.needs(b) {
			continue
		}
		left := b.seen
		if r.end != nil && b.number == r.end.Batch {
			left = r.last
		}
		if b.number == r.at.Batch {
			left = left.Minus(r.read)
		}
		for _, dir := range record.Directions() {
			if sh.failed != nil {
				t.lose(dir, record.ReasonWriteError, left.Of(dir))
			} else {
				t.Seen.Add(dir, left.Of(dir))
			}
		}
	}
	if r.end == nil || sh.closed {
		t.Add(&sh.pending)
	}
	beside := sh.beside
	beside.sub(&r.beside)
	t.Add(&beside)
}

// Progress returns how many views the reader has had, and whether it has something to do.
// It may be called from any goroutine.
func (r *Reader) Progress() (views uint64, waiting bool) {
	sh := r.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return r.views, sh.failed == nil && slices.ContainsFunc(sh.held, r.needs)
}

// needs reports whether the reader has not read all entries of b.
func (r *Reader) needs(b *Batch) bool {
	end := b.Place(b.n)
	if r.end != nil && r.end.Before(end) {
		end = *r.end
	}
	if b.n == 0 || b.number > end.Batch || !r.at.Before(end) {
		return false
	}
	return !slices.ContainsFunc(r.outlines, func(o *Batch) bool { return o.number == b.number })
}

// Close ends the reader: the shard keeps nothing for it any more.
func (r *Reader) Close() {
	sh := r.shard
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	sh.readers = slices.DeleteFunc(sh.readers, func(o *Reader) bool { return o == r })
	if sh.failed == nil {
		r.state.Done(Place{}, &Tally{}) // for a recovery there is no reader
		sh.releaseLocked()
	}
}

// wake wakes the reader: there is enough to do.
func (r *Reader) wake() {
	select {
	case r.full <- struct{}{}:
	default: // it has been woken
	}
}
