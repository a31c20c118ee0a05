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
	last     record.PerDirection // bytes that the entries before end in end's batch stand for
	joined   bool                // it has not had the entries before at in at's batch
	end      *Place              // where it ends; nil while it goes on
	held     bool                // the view is being read
	views    uint64              // how many there were
	outlines []*Batch            // of batches that are not read any more, in their order
	outlined int                 // bytes of their memory
	watches  bool                // it counts nothing
	making   chan struct{}       // closed when the outline that is being made is among them; nil for none

	// Of one that wants less than all that comes:
	starting bool                        // before Begin
	since    int64                       // what came before is not wanted
	includes func(*record.Endpoint) bool // the connections that are wanted; nil for all

	beside      Tally // what has passed and will never have an entry: it is lost
	besideFirst Tally // of that, what no other reader has counted
}

// readerView is the view that a reader reads without the shard's lock. It has cache lines
// of its own: in those of the lock each of its reads would wait for a connection.
type readerView struct {
	Batch
	_ [256 - unsafe.Sizeof(Batch{})]byte
}

// NewReader returns a reader of what comes from now on, the one of a session of the
// spool.
func (sh *Shard) NewReader(session int) (r *Reader) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	r = &Reader{state: sh.spool.reader(session, sh.index)}
	sh.beginReaderLocked(r)
	return r
}

// NewUnsavedReader is NewReader for a session that a recovery knows nothing of.
func (sh *Shard) NewUnsavedReader() (r *Reader) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	r = &Reader{state: &ReaderState{}}
	sh.beginReaderLocked(r)
	return r
}

// NewWatcher returns a reader of what comes from now on that a recovery knows nothing of, and
// that counts nothing.
func (sh *Shard) NewWatcher() (r *Reader) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	r = &Reader{state: &ReaderState{}, watches: true}
	sh.beginReaderLocked(r)
	return r
}

// NewWatcherOfAll is NewWatcher for all that the shard holds.
func (sh *Shard) NewWatcherOfAll() (r *Reader) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	r = &Reader{state: &ReaderState{}, watches: true}
	sh.beginReaderLocked(r)
	r.at, r.joined = sh.held[0].Place(0), false
	return r
}

// beginReaderLocked makes r a reader of what comes from now on.
func (sh *Shard) beginReaderLocked(r *Reader) {
	r.shard, r.full = sh, make(chan struct{}, 1)
	r.at, r.read = sh.active.Place(sh.active.n), sh.active.seen // in case of a fault
	r.at, r.read = sh.hereLocked()
	sh.addReaderLocked(r)
}

// NewReaderSince returns a reader of what has come since t, nanoseconds since the Unix
// epoch, as far as the shard has it, on the connections that includes reports, which may
// be nil for all: from is the later of t and the moment since when it has everything. Its
// first views begin earlier, and have other connections too. The caller calls Begin.
func (sh *Shard) NewReaderSince(session int, t int64, includes func(*record.Endpoint) bool) (r *Reader, from int64) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	r = &Reader{shard: sh, full: make(chan struct{}, 1), state: sh.spool.reader(session, sh.index), includes: includes, starting: true}
	from = max(t, sh.sinceLocked())
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
	sh.addReaderLocked(r)
	return r, from
}

// addReaderLocked adds r to the readers. Its state comes last: a fault fails the shard, and
// r is a reader of one that has failed.
func (sh *Shard) addReaderLocked(r *Reader) {
	r.joined = r.at.At > 0
	sh.readers = append(sh.readers, r)
	if sh.failed == nil {
		r.state.begin(r.at)
	}
}

// Begin says since when the reader wants what has come: the time that NewReaderSince has
// returned, or a later one.
func (r *Reader) Begin(since int64) {
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	r.since, r.starting = since, false
}

// Here returns the present place, and the one that the reader has got to. Gaps that have no
// entry yet get one before the present place, as far as there is room.
func (r *Reader) Here() (here, done Place) {
	sh := r.shard
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	here, done = sh.active.Place(sh.active.n), r.at
	if sh.failed == nil {
		sh.writePendingLocked(sh.clock.Now()) // a fault leaves the results
		here = sh.active.Place(sh.active.n)
	}
	return here, done
}

// hereLocked is Here. It also returns how many bytes the entries before it in its batch
// stand for.
func (sh *Shard) hereLocked() (Place, record.PerDirection) {
	if sh.failed == nil {
		sh.writePendingLocked(sh.clock.Now())
	}
	return sh.active.Place(sh.active.n), sh.active.seen
}

// includesDescription reports whether a connection with that description is wanted.
func (r *Reader) includesDescription(text []byte) bool {
	if r.includes == nil {
		return true
	}
	var e record.Endpoint
	_, ok := decodeEndpoint(text, &e)
	return ok && r.includes(&e)
}

// Full has an element when there is enough to be worth a Next.
func (r *Reader) Full() <-chan struct{} { return r.full }

// Shard returns what the reader reads.
func (r *Reader) Shard() *Shard { return r.shard }

// State returns how far the reader has got, which outlives the process where there is a
// spool.
func (r *Reader) State() *ReaderState { return r.state }

// Next returns a view of the next entries, as many as there are in their batch. It is the
// reader's until Done. It returns nil when there are none now. It waits for an outline that
// is being made for the reader.
func (r *Reader) Next() (view *Batch) {
	sh := r.shard
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	for r.making != nil {
		made := r.making
		sh.mu.Unlock()
		<-made
		sh.mu.Lock()
	}
	if sh.failed != nil {
		return nil
	}
	for _, b := range sh.held {
		if len(r.outlines) > 0 && r.outlines[0].first <= b.number {
			r.view.Batch = *r.outlines[0]
			return r.nextLocked()
		}
		if !r.needs(b) {
			continue
		}
		if s := b.state; s.number.Load() != b.number || s.used.Load() != uint64(b.n) {
			// What was cut off and made as long again reads as zeros.
			sh.failLocked(&FaultError{Path: sh.spool.Path(), cause: errors.New("its states have changed")})
			return nil
		}
		r.view.Batch = r.viewOf(b)
		if len(sh.readers) == 1 {
			sh.unread = 0
		}
		return r.nextLocked()
	}
	return nil
}

// nextLocked makes the view the reader's.
func (r *Reader) nextLocked() *Batch {
	r.seen = r.view.seen
	r.held, r.joined = true, false
	r.views++
	return &r.view.Batch
}

// viewOf returns what the reader has of b, with seen for all up to its end.
func (r *Reader) viewOf(b *Batch) Batch {
	v := Batch{mem: b.mem, n: b.n, number: b.number, seen: b.seen, joined: r.joined, reader: r.state, counts: b.counts}
	if r.end != nil && b.number == r.end.Batch {
		v.n, v.seen = int(r.end.At), r.last
	}
	if b.number == r.at.Batch {
		v.start = int(r.at.At)
	}
	return v
}

// End ends the reader at the present place: Next returns what comes before it. Gaps that
// have no entry yet get one, as far as there is room.
func (r *Reader) End() {
	sh := r.shard
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	end, last := sh.active.Place(sh.active.n), sh.active.seen // in case of a fault
	r.end, r.last = &end, last
	end, r.last = sh.hereLocked()
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
	if r.view.first != 0 {
		r.outlined -= len(r.view.mem)
		r.outlines[0] = nil
		r.outlines = r.outlines[1:]
	}
	r.at, r.read = r.view.Origin(r.view.n), r.seen
	sh.releaseLocked()
	sh.writeClosesLocked(closesPerSwap, sh.clock.Now())
}

// Unread adds to t what has passed and was in no view that is done: what the reader will
// find, and what has no entry. Where the shard has failed, it is lost. Of a reader that
// wants less than all, it is only what is known to be its: what never will have an entry.
func (r *Reader) Unread(t *Tally) {
	sh := r.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.Add(&r.beside)
	if r.selective() {
		return
	}
	for _, o := range r.outlines {
		t.Seen = t.Seen.Plus(o.seen)
	}
	r.addLeftLocked(t)
	if r.end == nil || sh.closed {
		t.Add(&sh.pending)
	}
}

// UnreadFirst is Unread for the totals, where others read the shard too: it adds what never
// will have an entry, and what is lost with a shard that has failed.
func (r *Reader) UnreadFirst(t *Tally) {
	sh := r.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.Add(&r.besideFirst)
	if sh.failed != nil && !r.selective() {
		r.addLeftLocked(t)
	}
}

// selective reports whether the reader wants less than all that comes.
func (r *Reader) selective() bool { return r.starting || r.since != 0 || r.includes != nil }

// addLeftLocked adds to t what the batches have that the reader has not read.
func (r *Reader) addLeftLocked(t *Tally) {
	sh := r.shard
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
	return !slices.ContainsFunc(r.outlines, func(o *Batch) bool { return o.first <= b.number && b.number <= o.number })
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
