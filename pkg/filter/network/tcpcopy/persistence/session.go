package persistence

import (
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// Conn is the recorder's side of one connection; see buffer.Conn.
type Conn = buffer.Conn

// Session is one open window: it has the records of the window's connections written. The
// root package makes it a strategy.WindowSink.
type Session struct {
	store     *Store
	window    record.Window
	sizes     sizes
	memory    *buffer.Memory // what the encoders work in
	ring      *Ring          // what it reads; nil in a recovery
	slot      int            // its place in the ring's spool
	flight    *Flight        // what the ring is of; nil for a ring of its own
	selection *selection     // of the ring's entries; nil for all
	shares    bool           // others may encode from the same batches: it must not change them
	stream    *Live          // the only output; nil unless it is of a live-only window
	readers   []*buffer.Reader
	begun     time.Time // when the store was asked for it, about window.Opened

	segments    *logdir.Segments // nil without pcapng
	flowLog     *logdir.Appender // nil without a text format
	portraitLog *logdir.Appender
	starting    sync.Once     // see begin
	looking     sync.Once     // see lookFirst
	stopping    sync.Once     // see Stop
	entered     bool          // Start has been called; guarded by the store's mu
	left        bool          // Stop has; guarded likewise
	stop        chan struct{} // closed to stop the workers
	workers     sync.WaitGroup

	portraits chan portrait // accepted and not yet written
	hangs     *hangWatch    // nil in a recovery
	contents  *contents

	mu        sync.Mutex                  // guards the rest
	pipelines []*pipeline                 // one per shard, of a live or a dead one; not changed once they are there
	portrayed map[model.BusinessType]bool // business types that have had their portrait; nil once closed
	short     bool                        // it pauses for want of space, as far as known at the start
}

// startSession prepares the memory of a window's session and starts its workers.
// Session.Close ends them.
func startSession(store *Store, w record.Window) (*Session, error) {
	if err := store.dir.Refresh(); err != nil {
		store.alert("directory", err) // and each write returns why it fails
	}
	m, err := store.allocate(w)
	if err != nil {
		return nil, err
	}
	s := newSession(store, w, m.sizes, m.encoders, m.spool.Window(0))
	s.ring = newRing(store, m)
	s.short = s.lookAtSpace(false) // the first look before the first byte
	s.begin()
	return s, nil
}

// Start begins the window: what passes from now on goes to the ring that it reads, and is
// in the window. It does not block.
func (s *Session) Start() {
	s.begin()
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.host.Gate.CompareAndSwap(nil, s.ring)
	s.entered = true
	s.store.changed.Broadcast()
}

// begin begins the reading.
func (s *Session) begin() {
	s.starting.Do(func() {
		s.mu.Lock()
		for _, sh := range s.ring.shards {
			s.readers = append(s.readers, sh.NewReader(s.slot))
		}
		s.mu.Unlock()
		s.start()
		if s.hangs != nil {
			s.hangs.opened(s.readers)
		}
	})
}

// start starts the workers of the session's readers.
func (s *Session) start() {
	if s.flight != nil {
		s.contents.describe(s)
	}
	s.observeSegments()
	pipelines := make([]*pipeline, len(s.readers))
	for i, r := range s.readers {
		pipelines[i] = newPipeline(s, &liveShard{reader: r}, i)
		w := &worker{reader: r, pipeline: pipelines[i]}
		s.workers.Add(1)
		go w.run()
	}
	s.mu.Lock()
	s.pipelines = pipelines
	s.mu.Unlock()
	s.workers.Add(2)
	go s.writePortraits()
	go s.watchSpace()
}

// Stop ends the reading: what passes from now on is not in the window. Where nobody else
// reads the ring, it goes nowhere. It does not block.
func (s *Session) Stop() {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.stopLocked()
}

// stopLocked is Stop for whoever has the store's mu.
func (s *Session) stopLocked() {
	s.stopping.Do(func() {
		s.left = true
		s.store.changed.Broadcast()
		if s.ownsRing() {
			s.store.endRingLocked(s.ring)
			return
		}
		for _, r := range s.readers {
			r.End()
		}
		switch {
		case s.stream != nil:
			close(s.stop)
			if s.flight != nil {
				s.flight.endWatch()
			}
		case !s.shares:
			s.flight.end()
		}
	})
}

// ownsRing reports whether the ring is the session's own, which ends with it.
func (s *Session) ownsRing() bool { return s.flight == nil && s.stream == nil }

// newSession makes a session whose encoders work in mem, without pipelines. state, which
// may be nil, is what a spool says of the window.
func newSession(store *Store, w record.Window, l sizes, mem *buffer.Memory, state *buffer.WindowState) *Session {
	s := &Session{
		store:     store,
		window:    w,
		begun:     time.Now(),
		sizes:     l,
		memory:    mem,
		stop:      make(chan struct{}),
		portraits: make(chan portrait, maxPortraits),
		portrayed: map[model.BusinessType]bool{},
		contents:  newContents(state),
	}
	s.portraitLog = s.appender(store.portraits, nil)
	if store.config.textFormat() != "" {
		s.flowLog = s.appender(store.flowLog, mem.Next(l.encoded))
	}
	if store.config.Has(FormatPcapng) {
		s.segments = store.dir.Segments(w, store.config.rolling(), mem.Next(l.encoded), longestPackets(l.Record))
	}
	return s
}

// observeSegments has the session's contents follow the segments that it has.
func (s *Session) observeSegments() {
	if s.segments != nil {
		s.segments.Observe(s.contents.setSegments)
	}
}

// appender returns an appender to log whose files the session's contents follow.
func (s *Session) appender(log *logdir.AppendLog, mem []byte) *logdir.Appender {
	return log.Appender(mem, func(files logdir.FileNames) { s.contents.setFiles(log.Name(), files) })
}

// appenders returns the session's appenders, in the order in which the window's line names
// their files.
func (s *Session) appenders() (all []*logdir.Appender) {
	if s.flowLog != nil {
		all = append(all, s.flowLog)
	}
	return append(all, s.portraitLog)
}

// spool returns the memory of the batches; nil in a recovery.
func (s *Session) spool() *buffer.Spool {
	if s.ring == nil {
		return nil
	}
	return s.ring.spool
}

// ownSpool is spool where the session alone reads it, and nil elsewhere.
func (s *Session) ownSpool() *buffer.Spool {
	if s.flight != nil {
		return nil
	}
	return s.spool()
}

// Ring returns what the session reads. While the window is open, what passes goes there.
func (s *Session) Ring() *Ring { return s.ring }

// Data is Ring.Data.
func (s *Session) Data(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) {
	s.ring.Data(c, dir, before, pieces, n)
}

// Skip is Ring.Skip.
func (s *Session) Skip(c *Conn, dir record.Direction, before record.PerDirection, n int, reason record.Reason) {
	s.ring.Skip(c, dir, before, n, reason)
}

// End is Ring.End.
func (s *Session) End(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	s.ring.End(c, reason, passed)
}

// EndAll is Ring.EndAll.
func (s *Session) EndAll(reason record.CloseReason) { s.ring.EndAll(reason) }

// Opened returns since when the session has all that has passed in its scope.
func (s *Session) Opened() time.Time { return s.window.Opened }

// Pause pauses recording for reason r: what passes meanwhile is a gap.
func (s *Session) Pause(r record.Reason) {
	if s.selection != nil {
		s.selection.pause(r, s.here())
	} else {
		s.ring.pause(r)
	}
}

// here returns the present place of each shard, nil before the first byte of the session.
func (s *Session) here() (places []buffer.Place) {
	s.mu.Lock()
	readers := s.readers
	s.mu.Unlock()
	var done []buffer.Place
	for _, r := range readers {
		here, at := r.Here()
		places, done = append(places, here), append(done, at)
	}
	s.selection.forget(done)
	return places
}

// Resume ends the pause for reason r.
func (s *Session) Resume(r record.Reason) {
	if s.selection != nil {
		s.selection.resume(r, s.here())
	} else {
		s.ring.resume(r)
	}
}

// Paused reports whether recording pauses.
func (s *Session) Paused() bool {
	return s.ring.paused() || s.selection != nil && s.selection.paused()
}

// Close ends the session: it returns when all its records are on disk and its
// index line is written. Data of connections that still hold the session is
// ignored from now on.
func (s *Session) Close(closed time.Time) {
	closed = s.plausible(closed)
	if w := s.contents.state; w != nil {
		w.SetClosed(closed.UnixNano())
	}
	defer s.hangs.end()
	s.stopWorkers()
	s.store.finish(s, closed, false)
	s.hangs.step()
	s.release()
}

// Discard ends a session whose window never was open, and which has had no Data: it
// leaves no file and no index line.
func (s *Session) Discard() {
	defer s.hangs.end()
	s.stopWorkers()
	s.store.forget(s)
	s.release()
}

// stopWorkers returns when all that was accepted is written.
func (s *Session) stopWorkers() {
	s.Stop()
	s.mu.Lock()
	s.portrayed = nil
	s.mu.Unlock()
	s.hangs.step()
	close(s.stop)
	s.workers.Wait()
	s.hangs.step()
}

// release frees what the session was in.
func (s *Session) release() {
	s.memory.Free()
	if s.flight != nil {
		for _, r := range s.readers {
			r.Close()
		}
		s.flight.freeSlot(s.slot)
	} else {
		s.ring.watched.Wait() // it ends soon: nothing comes any more
		s.ring.free()
	}
	for _, p := range s.pipelines {
		p.release()
	}
}

// plausible returns the moment at which the session has been closed: closed, unless
// the host's clock was set in between. Then it is as long after the opening as the
// monotonic clock says.
func (s *Session) plausible(closed time.Time) time.Time {
	const tolerance = time.Second
	length := time.Since(s.begun)
	if said := closed.Sub(s.window.Opened); said < 0 || said > length+tolerance {
		return s.window.Opened.Add(length)
	}
	return closed
}

// Accounts returns what has become of the window's traffic up to now. Bytes in
// the batches are seen and not yet written or lost.
func (s *Session) Accounts() record.Accounts {
	t := s.tally()
	return t.Accounts()
}

func (s *Session) tally() (sum buffer.Tally) {
	for _, p := range s.started() {
		t := p.source.tally()
		sum.Add(&t)
	}
	return sum
}

// total is tally for the totals of all sessions. Of what several of them have, it has what
// this one was the first to write or to lose.
func (s *Session) total() (sum buffer.Tally) {
	if s.flight == nil && s.stream != nil {
		return sum // the window that has the ring has all of it
	}
	if s.flight == nil {
		return s.tally()
	}
	for _, p := range s.started() {
		t := p.source.(*liveShard).total()
		sum.Add(&t)
	}
	return sum
}

// started returns the session's pipelines.
func (s *Session) started() []*pipeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pipelines
}
