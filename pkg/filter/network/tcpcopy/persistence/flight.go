package persistence

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// FlightOptions say what ring the flight recorder has.
type FlightOptions struct {
	Size int64 // bytes
	// Crash says that what the ring of a killed process had is written by the next start,
	// as the window of that ID.
	Crash  bool
	Window string
	// Room is of the ring's memory; nil means that there are no limits.
	Room Room
}

const (
	// minFlightBatches is how many batches a shard of the flight recorder's ring has at
	// least: the oldest one is given up whole.
	minFlightBatches = 12
	// maxFlightSessions is how many sessions may read the ring at a time, a window and
	// captures, where it has two batches of a shard for each: where the disk hangs, each of
	// them keeps the batch that it is writing.
	maxFlightSessions = 9
)

// MaxCaptures is how many captures may be open at a time, in a ring that is not small.
const MaxCaptures = maxFlightSessions - 1

// Flight is a ring that is not one window's: it has the newest bytes that have passed, and
// gives up the oldest when the room is needed. There is that of the flight recorder, and
// without one that of live-only windows. A window that is open reads it too.
type Flight struct {
	*Ring
	stop    chan struct{} // closed by Close, ends the goroutines
	keepers sync.WaitGroup

	matchings matchings

	mu       sync.Mutex // guards the rest
	freed    *sync.Cond // a session has ended; of mu
	slots    []bool     // sessions of the spool that are in use
	windows  int        // of them, windows that go on: they get what passes until they end
	watching int        // live-only windows that go on: so do they
	watchers int        // live-only windows that read it, or are to
	shut     bool       // it is over when nothing goes on in it
	lasts    bool       // windows may begin until then: it is the one of live-only windows
	over     bool       // it accepts nothing any more
}

// OpenFlight opens the ring of the flight recorder. No window may be open. The error is an
// ErrNoRoom where its memory does not fit.
func (s *Store) OpenFlight(o FlightOptions) (*Flight, error) {
	s.recovering.Wait()
	if err := s.dir.Refresh(); err != nil {
		s.alert("directory", err) // and each write returns why it fails
	}
	m, err := s.allocateFlight(o, fmt.Sprintf("the flight recorder's ring of %.1f MiB", mebibytes(o.Size)))
	if err != nil {
		return nil, err
	}
	f := newFlight(s, m)
	s.mu.Lock()
	switch {
	case s.sealed:
		err = errors.New("the store is closed")
	case s.flight != nil:
		err = errors.New("the flight recorder has a ring")
	case s.session != nil || s.opening != "":
		err = fmt.Errorf("%w: the ring begins when it has ended", ErrWindowOpen)
	default:
		s.installLocked(f)
	}
	s.mu.Unlock()
	if err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

// installLocked puts the flight recorder's ring into force. Live-only windows go on in it.
func (s *Store) installLocked(f *Flight) {
	s.flight = f
	if s.shared != nil {
		s.handOverLocked(s.shared.Ring, f)
	}
	s.host.Gate.Store(f.Ring)
}

// newFlight returns a ring in that memory, with its goroutines.
func newFlight(s *Store, m memory) *Flight {
	f := &Flight{Ring: newRing(s, m), stop: make(chan struct{}), slots: make([]bool, min(maxFlightSessions, m.sizes.Batches/2))}
	f.freed = sync.NewCond(&f.mu)
	for _, sh := range f.shards {
		f.keepers.Add(1)
		go f.keep(sh)
	}
	return f
}

// discard ends the goroutines and gives the memory back. Nothing reads the ring.
func (f *Flight) discard() {
	close(f.stop)
	f.keepers.Wait()
	f.free()
}

// ErrWindowOpen says that something has to wait for a window that is open.
var ErrWindowOpen = errors.New("a window is open")

// keep is the goroutine that keeps a shard from being filled by a reader that is slow.
func (f *Flight) keep(sh *buffer.Shard) {
	defer f.keepers.Done()
	for {
		select {
		case <-sh.Pressure():
			f.relieve(sh)
		case <-f.stop:
			return
		}
	}
}

func (f *Flight) relieve(sh *buffer.Shard) {
	defer catchPanic(f.store.alert, "giving up what a reader is too slow for")
	sh.Relieve()
	if fault := sh.Failed(); fault != nil {
		f.fail(fault)
	}
}

// Pause pauses the ring for reason r: what passes from now on is a gap.
func (f *Flight) Pause(r record.Reason) { f.pause(r) }

// Resume ends the pause for reason r.
func (f *Flight) Resume(r record.Reason) { f.resume(r) }

// Shut ends the recording: nothing that passes from now on is in the ring, unless a window
// reads it, which goes on to its end. It does not block.
func (f *Flight) Shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut = true
	f.closeLocked()
}

// closeLocked ends the accepting when nobody wants more.
func (f *Flight) closeLocked() {
	if f.shut && f.windows+f.watching == 0 && !f.over {
		f.over = true
		f.close()
		f.store.host.Gate.CompareAndSwap(f.Ring, nil)
		f.freed.Broadcast()
	}
}

// watch counts a live-only window that reads the ring, or is to. It returns false where the
// ring is over.
func (f *Flight) watch() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	f.watching++
	f.watchers++
	return true
}

// endWatch says that a live-only window has ended in the ring.
func (f *Flight) endWatch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watching--
	f.closeLocked()
}

// isOver reports whether the ring accepts nothing any more.
func (f *Flight) isOver() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// hasWindows reports whether windows go on in the ring.
func (f *Flight) hasWindows() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.windows > 0
}

// goesOn reports whether windows, or live-only windows, go on in the ring.
func (f *Flight) goesOn() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.windows+f.watching > 0
}

// leave says that a live-only window has read the ring.
func (f *Flight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers--
	f.freed.Broadcast()
}

// end says that a window ends.
func (f *Flight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.windows--
	f.closeLocked()
}

// Close gives the memory back when nothing reads the ring any more: it waits for that. It is
// called after Shut, once.
func (f *Flight) Close() {
	f.matchings.end()
	f.store.replace(f)
	f.awaitReaders()
	f.discard()
}

// awaitReaders returns when the ring is over and nobody reads it any more.
func (f *Flight) awaitReaders() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.over || f.watchers > 0 || slices.Contains(f.slots, true) {
		f.freed.Wait()
	}
}

// FlightStats is what the ring has.
type FlightStats struct {
	Size    int64
	Used    int64           // bytes of the batches in use
	Shared  bool            // its memory is a file's
	Holds   []time.Duration // how far back each shard has everything
	Evicted uint64          // bytes of payload that were given up
}

// Stats returns what the ring has now.
func (f *Flight) Stats() FlightStats {
	s := FlightStats{Size: f.buffer, Used: f.used(), Shared: f.spool.Path() != ""}
	now := f.now()
	for _, sh := range f.shards {
		since, evicted := sh.Holds()
		s.Holds = append(s.Holds, max(0, time.Duration(now-since)))
		s.Evicted += evicted
	}
	return s
}

// Find returns the description of a connection that the ring has bytes of, also if it has
// ended; ok is false where there is none.
func (f *Flight) Find(conn string) (e record.Endpoint, ok bool) {
	for _, sh := range f.shards {
		if e, ok := sh.Find(conn); ok {
			return e, true
		}
	}
	for _, sh := range f.shards {
		if e, ok := f.findEnded(sh, conn); ok {
			return e, true
		}
	}
	return e, false
}

// findEnded is Find among what a shard holds.
func (f *Flight) findEnded(sh *buffer.Shard, conn string) (e record.Endpoint, ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer catchPanic(f.store.alert, "looking for a connection")
	r := sh.NewWatcherOfAll()
	defer r.Close()
	for b := r.Next(); b != nil; b = r.Next() {
		var entry buffer.Entry
		for at := 0; at < b.Len(); {
			next, whole := b.Entry(at, &entry)
			if !whole {
				break
			}
			at = next
			if entry.Kind != buffer.KindHeader {
				continue
			}
			if _, ok := entry.Endpoint(&e); ok && e.Conn == conn {
				return e, true
			}
		}
		r.Done()
	}
	return e, false
}

// OpenCapture opens a session of what has passed since w.Opened in scope, as far as the
// ring has it, and of what passes until it is closed. Session.Opened says since when it has
// everything.
func (f *Flight) OpenCapture(w record.Window, scope Scope) (*Session, error) {
	s, err := f.newSession(w, scope, false)
	if err != nil {
		return nil, err
	}
	hangs := f.store.watchHangs(w.ID)
	since := f.ringTime(w.Opened)
	var includes func(*record.Endpoint) bool
	if scope != (Scope{}) {
		includes = scope.includes
	}
	for _, sh := range f.shards {
		r, from := sh.NewReaderSince(s.slot, since, includes)
		s.readers = append(s.readers, r)
		since = max(since, from)
	}
	for _, r := range s.readers {
		r.Begin(since)
	}
	s.selection.since, s.shares = since, true // only a window frames packets in place: there is one
	s.window.Opened = time.Unix(0, since)
	s.begun = time.Now().Add(-time.Duration(f.now() - since))
	s.hangs = hangs
	f.store.mu.Lock()
	f.store.captures = append(f.store.captures, s)
	f.store.mu.Unlock()
	s.start()
	hangs.opened(s.readers)
	return s, nil
}

// newSession returns a session that reads the ring, without readers: of a window, or of a
// capture. It allocates what the encoders need. The error is errRingOver where nothing begins
// in the ring any more.
func (f *Flight) newSession(w record.Window, scope Scope, window bool) (s *Session, err error) {
	slot, err := f.takeSlot(window)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.freeSlot(slot)
			if window {
				f.end()
			}
		}
	}()
	config := f.store.config
	encoded := len(config.Formats) * f.sizes.encoded
	if reserve := f.store.room(&w).reserve(overhead, fmt.Sprintf("window %s", w.ID)); reserve != nil {
		if err := reserve(encoded); err != nil {
			return nil, err
		}
	}
	mem, err := buffer.NewMemory(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	s = newSession(f.store, w, f.sizes, mem, f.spool.Window(slot))
	s.ring, s.slot, s.flight = f.Ring, slot, f
	s.selection = &selection{scope: scope}
	return s, nil
}

// errRingOver says that nothing begins in a ring any more.
var errRingOver = errors.New("the ring is being closed")

// takeSlot returns a session of the spool that is not in use, for a window or a capture: the
// first one is the window's.
func (f *Flight) takeSlot(window bool) (int, error) {
	first := 1
	if window {
		first = 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.shut && !f.lasts {
		return 0, errRingOver
	}
	slot := first + slices.Index(f.slots[first:], false)
	if slot < first {
		return 0, fmt.Errorf("%d windows and captures are open, which is as many as may be", len(f.slots))
	}
	f.slots[slot] = true
	if window {
		f.windows++
	}
	return slot, nil
}

// freeSlot makes a session of the spool free again.
func (f *Flight) freeSlot(slot int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots[slot] = false
	f.freed.Broadcast()
}

// flightSizes returns how the ring of that size is divided.
func (c Config) flightSizes(size int64) sizes {
	l := c.sizes()
	perShard := int(size) / l.Shards
	l.Batches = max(minFlightBatches, perShard/usualBatch)
	l.Batch = max(minBatch, perShard/l.Batches&^(buffer.PageSize-1))
	l.Record = min(l.Record, l.Batch/2)
	l.Piece = min(l.Piece, l.Record)
	l.Retain = true
	return l
}

// allocateFlight returns the memory of a ring that is not one window's; what names it.
func (s *Store) allocateFlight(o FlightOptions, what string) (m memory, err error) {
	w := record.Window{ID: o.Window, Trigger: record.TriggerCrash, Opened: time.Now()}
	l := s.config.flightSizes(o.Size)
	m = memory{buffer: o.Size, sizes: l}
	h := s.spoolHeader(w, s.config, l)
	h.Sessions, h.Crash = maxFlightSessions+1, o.Crash // the last session is what a recovery writes the ring as
	m.spool, err = s.newSpool(h, o.Room.reserve(overhead, what))
	return m, err
}
