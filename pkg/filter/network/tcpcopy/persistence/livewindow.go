package persistence

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// LiveWindow is a live-only window: its records go to one live stream and to no file. It has
// accounts and a line in the index, and goes on until End, beside the windows that come and
// go meanwhile.
//
// It reads the ring that is in force. Where that is replaced, it goes on in the next one: a
// part of it is a session of one ring. A part is read to its end before the next one is.
type LiveWindow struct {
	*Live
	window   record.Window
	begun    time.Time // as Opened of window, with the monotonic clock
	contents *contents
	written  chan struct{} // closed when the line is in the index, or waits for it

	// The store's mu guards the rest.
	parts  []*Session   // that are not read to their end; the last one goes on until End
	spare  *Flight      // the ring of the next part, while the present one is of a window's own
	sum    buffer.Tally // of the parts that are
	total  buffer.Tally // of sum, what no other session had counted
	ended  bool
	closed time.Time // when that was
}

// OpenLive begins a live-only window: it has what passes from Opened on. The error is an
// ErrNoRoom where its memory does not fit. It may wait for a window that is being opened, so
// for as long as the disk takes.
func (s *Store) OpenLive(w record.Window) (*LiveWindow, error) {
	s.recovering.Wait()
	if reserve := s.room(&w).reserve(overhead, "a live-only window"); reserve != nil {
		if err := reserve(2 * liveQueue); err != nil { // as for any live stream
			s.noRoom.Add(1)
			return nil, err
		}
	}
	l := &LiveWindow{Live: newLive(s), window: w, contents: newContents(nil), written: make(chan struct{})}
	var fresh *Flight
	defer func() {
		if fresh != nil { // another one has been quicker
			fresh.discard()
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.sealed {
			return nil, errors.New("the store is closed")
		}
		if len(s.subscribers())+s.livesLocked() >= maxLive {
			return nil, errTooManyLive
		}
		own := s.ownRingLocked()
		f := s.sharedLocked()
		switch {
		case f != nil && f.watch():
			l.beginLocked(f.Ring, f)
			return l, nil
		case f != nil || s.opening != "" || own != nil && !own.entered:
			s.changed.Wait() // what there is to read is decided soon
		case own != nil && s.shared != nil && s.shared.watch():
			l.spare = s.shared
			l.beginLocked(own.ring, nil)
			return l, nil
		case fresh == nil:
			var err error
			s.mu.Unlock()
			fresh, err = s.newShared(&w)
			s.mu.Lock()
			if err != nil {
				return nil, err
			}
		default:
			s.shareLocked(fresh)
			if own == nil {
				s.host.Gate.CompareAndSwap(nil, fresh.Ring)
			}
			fresh = nil // the next turn reads it
		}
	}
}

// ownRingLocked returns the session of a window that goes on in a ring of its own, nil if
// there is none.
func (s *Store) ownRingLocked() *Session {
	if s.session == nil || s.session.left || !s.session.ownsRing() {
		return nil
	}
	return s.session
}

// sharedLocked returns the ring that sessions share now, nil if there is none: no window, or
// one with a ring of its own.
func (s *Store) sharedLocked() *Flight {
	switch {
	case s.flight != nil:
		return s.flight
	case s.session != nil && !s.session.left:
		return s.session.flight
	case s.shared != nil && !s.shared.isOver():
		return s.shared
	}
	return nil
}

// newShared returns a ring for live-only windows, and for the windows that come meanwhile. As
// with the buffer of a window, it is smaller where that does not fit.
func (s *Store) newShared(w *record.Window) (*Flight, error) {
	for size := s.config.BufferSize; ; size /= 2 {
		what := fmt.Sprintf("a live-only window with a buffer of %.1f MiB", mebibytes(size))
		m, err := s.allocateFlight(FlightOptions{Size: size, Window: fmt.Sprintf("%s-%d", w.ID, s.sharedRings.Add(1)), Room: s.room(w)}, what)
		if err == nil {
			f := newFlight(s, m)
			f.shut, f.lasts = true, true
			return f, nil
		}
		if !errors.Is(err, ErrNoRoom) || size/2 < min(s.config.BufferSize, minWindowBuffer) {
			s.noRoom.Add(1)
			return nil, err
		}
	}
}

// shareLocked makes f the ring of live-only windows. Its memory is given back when nobody
// reads it any more. The caller has somebody read it.
func (s *Store) shareLocked(f *Flight) {
	s.shared = f
	s.living.Add(1)
	go func() {
		defer s.living.Done()
		defer catchPanic(s.alert, "the ring of live-only windows")
		f.awaitReaders()
		s.mu.Lock()
		if s.shared == f {
			s.shared = nil
		}
		s.mu.Unlock()
		f.discard()
	}()
}

// endRingLocked ends the recording in the ring of a window that ends: live-only windows that
// read it go on in another one.
func (s *Store) endRingLocked(r *Ring) {
	for _, l := range s.lives {
		if !l.ended && l.part().ring == r {
			s.handOverLocked(r, l.spare)
			return
		}
	}
	r.close()
	s.host.Gate.CompareAndSwap(r, nil)
}

// handOverLocked has a ring go on for another one, and live-only windows with it. No window
// reads the former any more.
func (s *Store) handOverLocked(from *Ring, to *Flight) {
	var former []*Session
	for _, l := range s.lives {
		if l.ended || l.part().ring != from {
			continue
		}
		if l.spare == to {
			l.spare = nil
		} else if !to.watch() {
			continue // it cannot be: to is not in force yet
		}
		former = append(former, l.part())
		l.addPartLocked(to.Ring, to)
	}
	from.handOver(to.Ring)
	if !s.host.Gate.CompareAndSwap(from, to.Ring) {
		s.host.Gate.CompareAndSwap(nil, to.Ring)
	}
	for _, p := range former {
		p.stopLocked()
	}
}

// replace makes f, which is shut, no longer the flight recorder's ring. Live-only windows that
// read it go on in another one. It waits for the window that reads it.
func (s *Store) replace(f *Flight) {
	var next *Flight
	var err error
	s.mu.Lock()
	for f.goesOn() {
		lives := s.readersLocked(f)
		switch {
		case len(lives) == 0 || f.hasWindows():
			s.changed.Wait()
		case err != nil:
			for _, l := range lives {
				l.endLocked()
			}
		case next == nil:
			w := lives[0].window
			s.mu.Unlock()
			if next, err = s.newShared(&w); err != nil {
				s.alert("live", fmt.Errorf("live-only windows end, because the ring that they read is closed: %w", err))
			}
			s.mu.Lock()
		default:
			s.shareLocked(next)
			s.handOverLocked(f.Ring, next)
			next = nil
		}
	}
	s.flight = nil // for windows to come
	s.changed.Broadcast()
	s.mu.Unlock()
	if next != nil {
		next.discard()
	}
}

// readersLocked returns the live-only windows that go on in f.
func (s *Store) readersLocked(f *Flight) (all []*LiveWindow) {
	for _, l := range s.lives {
		if !l.ended && l.part().flight == f {
			all = append(all, l)
		}
	}
	return all
}

// awaitReplaced returns when f is not the flight recorder's ring any more.
func (s *Store) awaitReplaced(f *Flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.flight == f {
		s.changed.Wait()
	}
}

// livesLocked returns how many live-only windows are open.
func (s *Store) livesLocked() (n int) {
	for _, l := range s.lives {
		if !l.ended {
			n++
		}
	}
	return n
}

// EndLives ends all live-only windows, as LiveWindow.End does.
func (s *Store) EndLives() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		l.endLocked()
	}
}

// part returns the part that goes on. The caller has the store's mu.
func (l *LiveWindow) part() *Session { return l.parts[len(l.parts)-1] }

// beginLocked begins the window in a ring; f is what the ring is of, nil where it is a
// window's own.
func (l *LiveWindow) beginLocked(r *Ring, f *Flight) {
	p := l.addPartLocked(r, f)
	if f == nil {
		r.watched.Add(1)
	}
	p.selection.since = r.now()
	l.window.Opened, l.begun = time.Unix(0, p.selection.since), time.Now()
	s := l.store
	s.lives = append(s.lives, l)
	s.living.Add(1)
	go l.run()
}

// addPartLocked adds a part that reads a ring from now on.
func (l *LiveWindow) addPartLocked(r *Ring, f *Flight) *Session {
	p := &Session{
		store: l.store, window: l.window, begun: time.Now(), sizes: r.sizes, ring: r, flight: f, stream: l.Live,
		selection: &selection{}, stop: make(chan struct{}), contents: l.contents,
	}
	if len(l.parts) > 0 {
		for _, reason := range l.part().selection.reasons() {
			p.selection.pause(reason, nil)
		}
	}
	for i, sh := range r.shards {
		reader := sh.NewUnsavedReader()
		p.readers = append(p.readers, reader)
		p.pipelines = append(p.pipelines, newPipeline(p, &liveShard{reader: reader}, i))
	}
	l.parts = append(l.parts, p)
	return p
}

// run is the goroutine of the window. It ends when the line is written, after End.
func (l *LiveWindow) run() {
	s := l.store
	defer s.living.Done()
	defer close(l.written)
	defer catchPanic(s.alert, "a live-only window")
	counted := map[string]bool{}
	for p := l.next(nil); p != nil; p = l.next(p) {
		for i, pipeline := range p.pipelines {
			pipeline.flows.counted = counted
			p.workers.Add(1)
			go (&worker{reader: p.readers[i], pipeline: pipeline}).run()
		}
		p.workers.Wait() // until stopLocked
		counted = p.known(counted)
	}
	l.finish()
}

// next ends the part p, which has been read to its end, and returns the next one: nil after
// the last.
func (l *LiveWindow) next(p *Session) *Session {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil {
		t, total := p.tally(), p.total()
		l.sum.Add(&t)
		l.total.Add(&total)
		l.parts = l.parts[1:]
		for i, r := range p.readers {
			r.Close()
			p.pipelines[i].release()
		}
		if p.flight != nil {
			p.flight.leave()
		} else {
			p.ring.watched.Done()
		}
	}
	if len(l.parts) == 0 {
		return nil
	}
	return l.parts[0]
}

// known returns the identities of the connections that a window has counted: those before
// the part, and those of the part that have not ended.
func (s *Session) known(before map[string]bool) map[string]bool {
	all := map[string]bool{}
	for conn := range before {
		all[conn] = true
	}
	for _, p := range s.pipelines {
		for _, f := range p.flows.flows {
			if f != nil && f.known {
				all[f.Conn] = true
			}
		}
	}
	return all
}

// finish ends the stream and writes the window's line.
func (l *LiveWindow) finish() {
	s := l.store
	l.Live.finish()
	s.mu.Lock()
	sum, total, closed := l.sum, l.total, l.closed
	s.mu.Unlock()
	ports, portsLeftOut := l.contents.ports()
	line := layout.WindowLine{
		Window: l.window.ID, Trigger: l.window.Trigger, Opened: l.window.Opened, Closed: closed, Run: s.host.Run,
		Ports: ports, Accounts: sum.Accounts(), Files: []string{}, Guard: l.window.GuardWord(), PortsLeftOut: portsLeftOut,
	}
	line.Shorten(s.dir.Index().MaxLine())
	s.unindexed.add(line.AppendJSON(nil), nil, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives = slices.DeleteFunc(s.lives, func(o *LiveWindow) bool { return o == l })
	s.windows++
	s.totals.Add(&total)
}

// Window returns what window it is; Opened is when it has begun.
func (l *LiveWindow) Window() record.Window { return l.window }

// Pause pauses recording for reason r: what passes meanwhile is a gap.
func (l *LiveWindow) Pause(r record.Reason) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if p := l.present(); p != nil {
		p.selection.pause(r, p.here())
	}
}

// Resume ends the pause for reason r.
func (l *LiveWindow) Resume(r record.Reason) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if p := l.present(); p != nil {
		p.selection.resume(r, p.here())
	}
}

// present is part, nil after End.
func (l *LiveWindow) present() *Session {
	if l.ended {
		return nil
	}
	return l.part()
}

// Accounts returns what has become of the traffic up to now. What a slow reader of the stream
// has lost is written here: see Live.Lost.
func (l *LiveWindow) Accounts() record.Accounts {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	t := l.tallyLocked()
	return t.Accounts()
}

func (l *LiveWindow) tallyLocked() buffer.Tally {
	sum := l.sum
	for _, p := range l.parts {
		t := p.tally()
		sum.Add(&t)
	}
	return sum
}

// totalLocked is tallyLocked for the totals of all sessions.
func (l *LiveWindow) totalLocked() buffer.Tally {
	sum := l.total
	for _, p := range l.parts {
		t := p.total()
		sum.Add(&t)
	}
	return sum
}

// End ends the window: what passes from now on is not in it. The stream ends when all is
// read, and the line is written then. It does not wait for that. It is idempotent.
func (l *LiveWindow) End() {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.endLocked()
}

func (l *LiveWindow) endLocked() {
	if l.ended {
		return
	}
	l.ended, l.closed = true, l.window.Opened.Add(time.Since(l.begun))
	l.part().stopLocked()
	if l.spare != nil {
		l.spare.endWatch()
		l.spare.leave()
		l.spare = nil
	}
	l.store.changed.Broadcast()
}

// Close is End, and waits until the line is written.
func (l *LiveWindow) Close() {
	l.End()
	<-l.written
}
