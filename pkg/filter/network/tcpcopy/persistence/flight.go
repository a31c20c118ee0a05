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

// Flight is the ring of the flight recorder: it has the newest bytes that have passed, and
// gives up the oldest when the room is needed. A window that is open reads it too.
type Flight struct {
	*Ring
	stop    chan struct{} // closed by Close, ends the goroutines
	keepers sync.WaitGroup

	matchings        matchings
	checkpoints      []*checkpoints // by shard
	checkpointMemory checkpointMemory

	mu      sync.Mutex // guards the rest
	freed   *sync.Cond // a session has ended; of mu
	slots   []bool     // sessions of the spool that are in use
	windows int        // of them, windows that go on: they get what passes until they end
	shut    bool
}

// OpenFlight opens the ring of the flight recorder. No window may be open. The error is an
// ErrNoRoom where its memory does not fit.
func (s *Store) OpenFlight(o FlightOptions) (*Flight, error) {
	s.beginning.Lock()
	defer s.beginning.Unlock()
	if err := s.mayOpenFlight(); err != nil {
		return nil, err
	}
	s.recovering.Wait()
	if err := s.dir.Refresh(); err != nil {
		s.alert("directory", err) // and each write returns why it fails
	}
	m, err := s.allocateFlight(o)
	if err != nil {
		return nil, err
	}
	f := &Flight{Ring: newRing(s, m), stop: make(chan struct{}), slots: make([]bool, min(maxFlightSessions, m.sizes.Batches/2))}
	f.freed = sync.NewCond(&f.mu)
	f.checkpointMemory.every.Store(int64(checkpointEvery))
	for range f.shards {
		f.checkpoints = append(f.checkpoints, newCheckpoints(&f.checkpointMemory))
	}
	if err := s.setFlight(f); err != nil {
		f.free()
		return nil, err
	}
	for _, sh := range f.shards {
		f.keepers.Add(1)
		go f.keep(sh)
	}
	return f, nil
}

// mayOpenFlight returns why there can be no ring now. The caller holds beginning.
func (s *Store) mayOpenFlight() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mayOpenFlightLocked()
}

func (s *Store) mayOpenFlightLocked() error {
	switch {
	case s.sealed:
		return errors.New("the store is closed")
	case s.flight != nil:
		return errors.New("the flight recorder has a ring")
	case s.session != nil:
		return fmt.Errorf("%w: the ring begins when it has ended", ErrWindowOpen)
	}
	return nil
}

// setFlight makes f the store's ring. The caller holds beginning.
func (s *Store) setFlight(f *Flight) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.mayOpenFlightLocked()
	if err == nil {
		s.flight = f
	}
	return err
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
	if f.shut && f.windows == 0 {
		f.close()
	}
}

// begin says that a window begins.
func (f *Flight) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.windows++
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
	f.store.mu.Lock()
	f.store.flight = nil // for windows to come
	f.store.mu.Unlock()
	f.mu.Lock()
	for slices.Contains(f.slots, true) {
		f.freed.Wait()
	}
	f.mu.Unlock()
	close(f.stop)
	f.keepers.Wait()
	f.free()
}

// FlightStats is what the ring has.
type FlightStats struct {
	Size    int64
	Used    int64           // bytes of the batches in use
	Shared  bool            // its memory is a file's
	Holds   []time.Duration // how far back each shard has everything
	Evicted uint64          // bytes of payload that were given up

	Checkpoints        int64  // bytes that the states of decoders have
	CheckpointsDropped uint64 // how many there was no memory for
}

// Stats returns what the ring has now.
func (f *Flight) Stats() FlightStats {
	s := FlightStats{Size: f.buffer, Used: f.used(), Shared: f.spool.Path() != ""}
	s.Checkpoints, s.CheckpointsDropped = f.checkpointMemory.used.Load(), f.checkpointMemory.dropped.Load()
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
	s, err := f.newSession(w, scope, 1) // the first one is the window's
	if err != nil {
		return nil, err
	}
	hangs := f.store.watchHangs(w.ID)
	since, lead := f.ringTime(w.Opened), int64(0)
	if f.decodes() {
		lead, s.resumes = f.checkpointMemory.every.Load(), true
	}
	var includes func(*record.Endpoint) bool
	if scope != (Scope{}) {
		includes = scope.includes
	}
	for _, sh := range f.shards {
		r, from := sh.NewReaderSince(s.slot, since-lead, includes)
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

// decodes reports whether calls are decoded, so that there are states of decoders.
func (f *Flight) decodes() bool {
	set := f.Triggers()
	return set != nil && set.Decodes()
}

// newSession returns a session that reads the ring, without readers. It allocates what the
// encoders need. first is the first session of the spool that it may be.
func (f *Flight) newSession(w record.Window, scope Scope, first int) (*Session, error) {
	slot, err := f.takeSlot(first)
	if err != nil {
		return nil, err
	}
	config := f.store.config
	encoded := len(config.Formats) * f.sizes.encoded
	if reserve := f.store.room(&w).reserve(overhead, fmt.Sprintf("window %s", w.ID)); reserve != nil {
		if err := reserve(encoded); err != nil {
			f.freeSlot(slot)
			return nil, err
		}
	}
	mem, err := buffer.NewMemory(encoded)
	if err != nil {
		f.freeSlot(slot)
		return nil, fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	s := newSession(f.store, w, f.sizes, mem, f.spool.Window(slot))
	s.ring, s.slot, s.flight = f.Ring, slot, f
	s.selection = &selection{scope: scope}
	return s, nil
}

// errRingShut says that the ring accepts nothing any more, and nobody reads it but those who do.
var errRingShut = errors.New("the flight recorder's ring is being closed")

// takeSlot returns a session of the spool that is not in use, from first on.
func (f *Flight) takeSlot(first int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut {
		return 0, errRingShut
	}
	slot := first + slices.Index(f.slots[first:], false)
	if slot < first {
		return 0, fmt.Errorf("%d windows and captures are open, which is as many as may be", len(f.slots))
	}
	f.slots[slot] = true
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

// allocateFlight returns the memory of the flight recorder's ring.
func (s *Store) allocateFlight(o FlightOptions) (m memory, err error) {
	w := record.Window{ID: o.Window, Trigger: record.TriggerCrash, Opened: time.Now()}
	l := s.config.flightSizes(o.Size)
	m = memory{buffer: o.Size, sizes: l}
	h := s.spoolHeader(w, s.config, l)
	h.Sessions, h.Crash = maxFlightSessions+1, o.Crash // the last session is what a recovery writes the ring as
	m.spool, err = s.newSpool(h, o.Room.reserve(overhead, fmt.Sprintf("the flight recorder's ring of %.1f MiB", mebibytes(o.Size))))
	return m, err
}
