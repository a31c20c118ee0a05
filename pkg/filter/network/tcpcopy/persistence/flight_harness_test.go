package persistence

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// openFlight opens a ring of that size.
func (r *harness) openFlight(size int64) *Flight {
	r.t.Helper()
	f, err := r.store.OpenFlight(FlightOptions{Size: size, Crash: true, Window: windowID(900)})
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// capture opens a capture of what has passed in scope since a moment.
func (r *harness) capture(f *Flight, n int, since time.Time, scope Scope) *Session {
	r.t.Helper()
	s, err := f.OpenCapture(record.Window{ID: windowID(n), Trigger: record.TriggerFlight, Opened: since}, scope)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// sharing opens a window that reads the ring of a Flight, and begins it.
func (r *harness) sharing(n int) *Session {
	r.t.Helper()
	s := r.open(n)
	s.Start()
	return s
}

// sayTo offers data to a ring, as the filter does.
func (p *peer) sayTo(r *Ring, dir record.Direction, data []byte) {
	before := p.pass(nil, dir, data)
	r.Data(&p.Conn, dir, before, [][]byte{data}, len(data))
}

// clockTolerance is how far the times of entries and of the test may be apart; see
// buffer.Clock.
const clockTolerance = time.Millisecond

// talker is a connection of a ring, with what it has said and when.
type talker struct {
	*peer
	listener string
	said     []saying // in the order in which it was said; guarded by the peer's mu
	ended    bool     // likewise
}

// saying is what a talker has said at once.
type saying struct {
	dir         record.Direction
	from, to    uint64 // offsets
	begun, done time.Time
}

func newTalker(run string, id int) *talker {
	t := &talker{peer: newPeer(run, id), listener: []string{"even", "odd"}[id%2]}
	describe := t.Describe
	t.Describe = func() record.Endpoint {
		e := describe()
		e.ListenerName = t.listener
		return e
	}
	return t
}

// talk says n random bytes, in pieces as a write of headers and body comes; or bytes that
// the filter does not see.
func (t *talker) talk(ring *Ring, r *rand.Rand, dir record.Direction, n int, unseen bool) {
	data := make([]byte, n)
	for i := 0; i < n; i += copy(data[i:], fmt.Sprintf("%x ", r.Uint64())) {
		if i > 64 { // what is random enough is cheap enough
			i += copy(data[i:], data[:i])
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	before := t.pass(nil, dir, data)
	s := saying{dir: dir, from: before.Of(dir), to: before.Of(dir) + uint64(n), begun: time.Now()}
	if unseen {
		ring.Skip(&t.Conn, dir, before, n, record.ReasonUnseen)
	} else {
		pieces := [][]byte{data}
		if k := n / 3; k > 0 {
			pieces = [][]byte{data[:k], data[k:]}
		}
		ring.Data(&t.Conn, dir, before, pieces, n)
	}
	s.done = time.Now()
	t.said = append(t.said, s)
}

// end ends the connection.
func (t *talker) end(ring *Ring) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.ended = true
		ring.End(&t.Conn, record.CloseRemote, t.before())
	}
}

// observed is a session as the test knows it.
type observed struct {
	*Session
	n            int
	lossy        bool // the ring may have had no room for something
	scope        Scope
	asked        time.Time            // since when it was to have what passed; of a window, the call of Start
	began        time.Time            // when Start or OpenCapture had returned
	ending, done time.Time            // the call of Close, and its return
	files        map[string]*recorded // what judge has found, by connection
}

// close closes the session.
func (o *observed) close() {
	o.ending = time.Now()
	o.Close(o.ending)
	o.done = time.Now()
}

// piece is a stretch of a stream that a file has, or a gap.
type piece struct {
	from, to uint64
	data     []byte // nil for a gap
	reason   string
}

// recorded is what the files have of one connection in one window.
type recorded struct {
	streams [2][]piece
}

// read returns what the files have of a window, by connection, as the product's own reader
// reads them, which prefers packets.
func (r *harness) read(window string) map[string]*recorded {
	r.t.Helper()
	d, err := dump.Open([]string{r.dir}, dump.Options{Filter: dump.Filter{Window: window}})
	if err != nil {
		r.t.Fatal(err)
	}
	defer d.Close()
	all := map[string]*recorded{}
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		c := all[rec.Conn]
		if c == nil {
			c = &recorded{}
			all[rec.Conn] = c
		}
		p := piece{from: rec.Offset, to: rec.Offset + rec.Length}
		switch rec.Kind {
		case record.KindData:
			p.data = slices.Clone(rec.Data)
			p.to = p.from + uint64(len(p.data))
		case record.KindGap:
			p.reason = rec.Reason
		default:
			continue
		}
		c.streams[rec.Direction] = append(c.streams[rec.Direction], p)
	}
}

// judge checks the files and the index line of a session against what the talkers have said.
func (r *harness) judge(o *observed, talkers []*talker) {
	r.t.Helper()
	name := fmt.Sprintf("%s window %d of %+v (%v long)", r.indexed(o.n).Trigger, o.n, o.scope, o.ending.Sub(o.Opened()))
	w := r.indexed(o.n)
	if w.Opened.Before(o.asked.Add(-clockTolerance)) || !w.Opened.Equal(o.Opened()) || w.Closed.Before(w.Opened) || w.Closed.After(o.ending.Add(time.Second)) {
		r.t.Errorf("%s: asked for %v, opened %v, closed %v", name, o.asked, w.Opened, w.Closed)
	}
	o.files = r.read(windowID(o.n))
	files := maps.Clone(o.files)
	var written, lost oracle.PerDirection
	lostBy := map[string]uint64{}
	for _, t := range talkers {
		c := files[t.id]
		delete(files, t.id)
		if c != nil && (o.scope.Conn != "" && o.scope.Conn != t.id || o.scope.Listener != "" && o.scope.Listener != t.listener) {
			r.t.Errorf("%s: connection %s of %s is in it", name, t.id, t.listener)
		}
		if c == nil {
			c = &recorded{}
		}
		for dir, pieces := range c.streams {
			for i, p := range pieces {
				if i > 0 && p.from != pieces[i-1].to {
					r.t.Errorf("%s, connection %s: a piece ends at %d, the next begins at %d", name, t.id, pieces[i-1].to, p.from)
				}
				if p.to > uint64(len(t.passed[dir])) || p.data != nil && !slices.Equal(p.data, t.passed[dir][p.from:p.to]) {
					r.t.Errorf("%s, connection %s: bytes %d to %d are others", name, t.id, p.from, p.to)
				}
				to := &written
				if p.data == nil {
					to = &lost
					lostBy[p.reason] += p.to - p.from
				}
				if record.Direction(dir) == record.In {
					to.In += p.to - p.from
				} else {
					to.Out += p.to - p.from
				}
			}
			r.bounds(name, o, w, t, record.Direction(dir), pieces)
		}
	}
	for id := range files {
		r.t.Errorf("%s: connection %s, which nobody knows", name, id)
	}
	if w.Seen.In != written.In+lost.In || w.Seen.Out != written.Out+lost.Out || w.Written != written || w.Lost != lost {
		r.t.Errorf("%s: the files have %+v and %+v lost, the index %+v and %+v of %+v", name, written, lost, w.Written, w.Lost, w.Seen)
	}
	for reason, n := range lostBy {
		if w.LostBy[reason] != n {
			r.t.Errorf("%s: the files have %d bytes lost by %s, the index %d", name, n, reason, w.LostBy[reason])
		}
	}
}

// bounds checks where a stream begins and ends in a session. What was said while the session
// was being opened or closed may be in it or not.
func (r *harness) bounds(name string, o *observed, w oracle.Window, t *talker, dir record.Direction, pieces []piece) {
	r.t.Helper()
	in := (o.scope.Conn == "" || o.scope.Conn == t.id) && (o.scope.Listener == "" || o.scope.Listener == t.listener)
	opened := w.Opened
	if o.scope == (Scope{}) && w.Trigger != string(record.TriggerFlight) {
		opened = o.began // a window begins with Start
	}
	for _, s := range t.said {
		if s.dir != dir || !in {
			continue
		}
		must := s.begun.After(opened.Add(clockTolerance)) && s.done.Before(o.ending)
		mustNot := s.done.Before(w.Opened.Add(-clockTolerance)) && s.done.Before(o.asked.Add(-clockTolerance)) || s.begun.After(o.done)
		if w.Trigger == string(record.TriggerFlight) {
			mustNot = s.done.Before(w.Opened.Add(-clockTolerance)) || s.begun.After(o.done)
		}
		covered := uint64(0)
		var reasons []string
		for _, p := range pieces {
			if from, to := max(p.from, s.from), min(p.to, s.to); from < to {
				covered += to - from
				reasons = append(reasons, p.reason)
			}
		}
		// What the ring had no room for is in a gap, which a session that ends before there
		// is room for that does not have.
		tail := len(pieces) == 0 || s.to > pieces[len(pieces)-1].to
		if must && covered != s.to-s.from && !(o.lossy && tail) {
			r.t.Errorf("%s, connection %s: %d bytes are there of the %d from %d on, said %v after the opening", name, t.id, covered, s.to-s.from, s.from, s.begun.Sub(opened))
		}
		// A gap is in the session that has its entry.
		if mustNot && covered > 0 && slices.ContainsFunc(reasons, func(reason string) bool { return reason == "" }) {
			r.t.Errorf("%s, connection %s: %d bytes from %d on are there, said %v after the opening, %v after the end", name, t.id, covered, s.from, s.done.Sub(w.Opened), s.begun.Sub(o.done))
		}
	}
}

// judgeTotals checks that the totals have each byte once that a session has. It comes after
// judge.
func (r *harness) judgeTotals(sessions []*observed) {
	r.t.Helper()
	ranges := map[string][]piece{} // by connection and direction
	for _, o := range sessions {
		for id, c := range o.files {
			for dir, pieces := range c.streams {
				key := fmt.Sprint(id, dir)
				ranges[key] = append(ranges[key], pieces...)
			}
		}
	}
	var all uint64
	for _, pieces := range ranges {
		slices.SortFunc(pieces, func(a, b piece) int { return cmp.Compare(a.from, b.from) })
		end := uint64(0)
		for _, p := range pieces {
			if p.to > max(end, p.from) {
				all += p.to - max(end, p.from)
			}
			end = max(end, p.to)
		}
	}
	a := r.store.Stats().Accounts
	if a.Seen.In+a.Seen.Out != all || a.Seen != a.Written.Plus(a.Lost) {
		r.t.Errorf("the totals have %+v seen, %+v written, %+v lost; the files have %d bytes, each once", a.Seen, a.Written, a.Lost, all)
	}
}

// crowd lets talkers talk on a ring until stop is closed. Some end, and others come.
type crowd struct {
	ring *Ring
	run  string

	mu   sync.Mutex // guards the rest
	all  []*talker
	next int
}

// add adds a talker.
func (c *crowd) add() *talker {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	t := newTalker(c.run, c.next)
	c.all = append(c.all, t)
	return t
}

// talkers returns all that there have been.
func (c *crowd) talkers() []*talker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// talk has some talkers at a time say things.
func (c *crowd) talk(seed uint64, some, steps int, churn int) {
	r := rand.New(rand.NewPCG(seed, 11))
	var present []*talker
	for range some {
		present = append(present, c.add())
	}
	for step := range steps {
		if step%30 == 0 {
			<-time.After(time.Millisecond) // no faster than a ring can do
		}
		i := r.IntN(len(present))
		if churn > 0 && r.IntN(churn) == 0 {
			present[i].end(c.ring)
			present[i] = c.add()
		}
		n := 1 + r.IntN(300)
		switch r.IntN(20) {
		case 0:
			n = 1 + r.IntN(20_000)
		case 1, 2:
			n = 1 + r.IntN(5000)
		}
		present[i].talk(c.ring, r, record.Direction(r.IntN(2)), n, r.IntN(40) == 0)
	}
}
