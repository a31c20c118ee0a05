package persistence

import (
	"fmt"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// Conn is the recorder's side of one connection; see buffer.Conn.
type Conn = buffer.Conn

// Session is one open window: it accepts the records of the window's connections
// and has them written. The root package makes it a strategy.WindowSink.
type Session struct {
	store     *Store
	window    record.Window
	sizes     sizes
	memory    *buffer.Memory // what the encoders work in
	spool     *buffer.Spool  // what the batches are in; nil in a recovery
	buffer    int64          // of Config.BufferSize, what the window has, bytes
	failing   sync.Once      // see fail
	shards    []*buffer.Shard
	pipelines []*pipeline // one per shard, of a live or a dead one
	begun     time.Time   // when the store was asked for it, about window.Opened

	segments *logdir.Segments // nil without pcapng
	stop     chan struct{}    // closed to stop the workers
	workers  sync.WaitGroup

	portraits chan portrait // accepted and not yet written
	hangs     *hangWatch    // nil in a recovery
	contents  *contents

	mu        sync.Mutex                  // guards the rest
	portrayed map[model.BusinessType]bool // business types that have had their portrait; nil once closed
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
	s := newSession(store, w, m.sizes, m.encoders, m.spool, m.spool.Window())
	s.buffer = m.buffer
	s.observeFiles()
	m.spool.Populate(m.sizes.Geometry)
	s.shards = buffer.NewShards(m.sizes.Geometry, m.spool, s.begun)
	for _, sh := range s.shards {
		sh.Begin()
		w := &worker{shard: sh, pipeline: newPipeline(s, liveShard{sh})}
		s.pipelines = append(s.pipelines, w.pipeline)
		s.workers.Add(1)
		go w.run()
	}
	s.workers.Add(2)
	go s.writePortraits()
	go s.watchSpace(s.lookAtSpace(false)) // the first look before the first byte
	return s, nil
}

// newSession makes a session whose encoders work in mem, without pipelines. state, which
// may be nil, is what a spool says of the window.
func newSession(store *Store, w record.Window, l sizes, mem *buffer.Memory, spool *buffer.Spool, state *buffer.WindowState) *Session {
	now := time.Now()
	s := &Session{
		store:     store,
		window:    w,
		begun:     now,
		sizes:     l,
		memory:    mem,
		spool:     spool,
		stop:      make(chan struct{}),
		portraits: make(chan portrait, maxPortraits),
		portrayed: map[model.BusinessType]bool{},
		contents:  newContents(state),
	}
	if store.config.Has(FormatPcapng) {
		s.segments = store.dir.Segments(w, store.config.rolling(), mem.Next(l.encoded))
	}
	if store.config.textFormat() != "" {
		store.flowLog.SetMemory(mem.Next(l.encoded))
	}
	return s
}

// observeFiles has the session's contents follow the names of the files that it has, until
// the window is finished.
func (s *Session) observeFiles() {
	for _, log := range s.store.logs() {
		name := log.Name()
		log.Observe(func(files logdir.FileNames) { s.contents.setFiles(name, files) })
	}
	if s.segments != nil {
		s.segments.Observe(s.contents.setSegments)
	}
}

// Data copies the n bytes that pieces hold, which have just passed on c
// in direction dir. before says how many bytes of each direction had passed when
// they came; the one of dir counts at the direction's first call in the session,
// where it must be exact, and the other is a hint. Data never waits for room and
// returns before the caller may reuse the bytes. It changes the slice pieces, but
// not what its elements point to.
func (s *Session) Data(c *Conn, dir record.Direction, before record.PerDirection, pieces [][]byte, n int) {
	s.shard(c).Data(c, dir, before, pieces, n)
}

// Skip counts n bytes that have passed on c without Data being able to see them.
func (s *Session) Skip(c *Conn, dir record.Direction, before record.PerDirection, n int, reason record.Reason) {
	s.shard(c).Skip(c, dir, before, n, reason)
}

// End says that c has ended, after so many bytes have passed: those that were
// read and that this session has not seen are a gap. A connection that has had no
// bytes in this session is not mentioned in its records.
func (s *Session) End(c *Conn, reason record.CloseReason, passed record.PerDirection) {
	s.shard(c).End(c, reason, passed)
}

// EndAll says of all connections which have had bytes in this session and have
// not ended that they end for that reason: they live on, but not in this process.
func (s *Session) EndAll(reason record.CloseReason) {
	for _, sh := range s.shards {
		sh.EndAll(reason)
	}
}

// Pause pauses recording for reason r: what passes meanwhile is a gap.
func (s *Session) Pause(r record.Reason) {
	for _, sh := range s.shards {
		sh.Pause(r)
	}
}

// Resume ends the pause for reason r.
func (s *Session) Resume(r record.Reason) {
	for _, sh := range s.shards {
		sh.Resume(r)
	}
}

// Paused reports whether recording pauses.
func (s *Session) Paused() bool { return s.shards[0].Paused() } // all have the same

// fail makes the session lose everything from now on, and what its batches hold: they
// cannot be used any more. The proxy does not notice, and the window goes on.
func (s *Session) fail(fault *buffer.FaultError) {
	s.failing.Do(func() {
		for _, sh := range s.shards {
			sh.Fail(fault)
		}
		s.store.alert("spool", fmt.Errorf("window %s records nothing more: %w", s.window.ID, fault))
	})
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
	s.store.forget()
	s.release()
}

// stopWorkers returns when all that was accepted is written.
func (s *Session) stopWorkers() {
	for _, sh := range s.shards {
		sh.Close()
	}
	s.mu.Lock()
	s.portrayed = nil
	s.mu.Unlock()
	s.hangs.step()
	close(s.stop)
	s.workers.Wait()
	s.hangs.step()
	s.store.flowLog.SetMemory(nil)
}

// release frees what the session was in.
func (s *Session) release() {
	s.memory.Free()
	s.spool.Remove()
	for i, sh := range s.shards {
		sh.Forget()
		s.pipelines[i].release()
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
	for _, p := range s.pipelines {
		t := p.source.tally()
		sum.Add(&t)
	}
	return sum
}

// Buffered returns how many bytes of the batches are in use.
func (s *Session) Buffered() int64 {
	var used int64
	for _, sh := range s.shards {
		used += int64(sh.Used())
	}
	return used
}

// shard returns the shard of c. The number is mixed before it is divided: MOSN
// numbers the connections to upstreams too, so that those of clients are often all
// even or all odd.
func (s *Session) shard(c *Conn) *buffer.Shard {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, as Knuth multiplies
	return s.shards[uint32(c.ID*golden>>32)%uint32(len(s.shards))]
}
