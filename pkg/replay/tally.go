package replay

import "sync"

// maxJoinBytes bounds the answers that wait for the baseline's, of a connection.
const maxJoinBytes = 8 << 20

// tally collects the verdicts of one session, from the connection to the
// target and the one to the baseline. It is safe for concurrent use.
type tally struct {
	judge    judge
	places   *noisyPlaces
	most     int  // differences that are kept
	joined   bool // there is a baseline
	progress *counters

	mu       sync.Mutex
	moved    sync.Cond        // the baseline has come further; with mu
	conn     *Conn            // guarded by mu, as all below
	recorded Histogram        // see Result
	replayed Histogram        // see Result
	old      map[int]oldTurn  // what the baseline said and the target has not come to
	waiting  map[int]*finding // differences whose turn the baseline has not come to
	passed   map[int]bool     // turns that are equal and the baseline has not come to
	kept     int              // bytes in waiting
	done     bool             // the baseline says no more
}

// oldTurn is what the baseline said of a turn.
type oldTurn struct {
	noise  noise
	silent bool
}

func newTally(j judge, c *Conn, places *noisyPlaces, most int, p *counters, baseline bool) *tally {
	t := &tally{judge: j, places: places, most: most, joined: baseline, progress: p, conn: c, done: !baseline}
	t.moved.L = &t.mu
	t.old, t.waiting, t.passed = map[int]oldTurn{}, map[int]*finding{}, map[int]bool{}
	return t
}

// target adds a pair of the target's. It blocks while too many differences wait for
// the baseline.
func (t *tally) target(p *pair) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.timed {
		t.recorded.add(p.then)
		t.replayed.add(p.now)
	}
	t.progress.answered.Add(1)
	v, f := t.judge.verdict(p)
	old, known := t.old[p.turn]
	delete(t.old, p.turn)
	if f == nil {
		t.conn.count(v)
		if !known && !t.done {
			t.passed[p.turn] = true
		}
		return
	}
	if known || t.done {
		t.countLocked(f, old)
		return
	}
	t.waiting[p.turn] = f
	t.kept += len(f.want) + len(f.got)
	for t.kept > maxJoinBytes && !t.done {
		t.moved.Wait()
	}
}

// baseline adds a pair of the baseline's.
func (t *tally) baseline(p *pair) {
	n, want, silent := t.judge.baseline(p)
	t.places.learn(want, n)
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.moved.Broadcast()
	if f := t.waiting[p.turn]; f != nil {
		delete(t.waiting, p.turn)
		t.kept -= len(f.want) + len(f.got)
		t.countLocked(f, oldTurn{n, silent})
		return
	}
	if t.passed[p.turn] {
		delete(t.passed, p.turn)
		return
	}
	t.old[p.turn] = oldTurn{n, silent}
}

// baselineDone says that there are no more pairs of the baseline's.
func (t *tally) baselineDone() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	for turn, f := range t.waiting {
		delete(t.waiting, turn)
		t.countLocked(f, oldTurn{})
	}
	t.kept = 0
	clear(t.passed)
	t.moved.Broadcast()
}

// countLocked counts a difference, as equal if it is noise. The caller holds mu.
func (t *tally) countLocked(f *finding, old oldTurn) {
	if t.joined && f.explain(old.noise, old.silent) {
		t.conn.Noise++
		if f.late {
			t.conn.count(Late)
		} else {
			t.conn.count(Equal)
		}
		return
	}
	t.conn.count(f.Verdict)
	if f.Verdict == Different {
		t.progress.different.Add(1)
	}
	f.want, f.got = nil, nil
	if len(f.places) > 0 {
		t.conn.unexplained = append(t.conn.unexplained, *f)
		if len(t.conn.unexplained) <= t.most {
			return
		}
		// There are too many to keep them until the end.
		*f = t.conn.unexplained[0]
		t.conn.unexplained = t.conn.unexplained[1:]
	}
	t.conn.keep(f.Difference, t.most)
}

// keep adds a difference, in the order of turns, if fewer than most are kept or it
// comes before one of them.
func (c *Conn) keep(d Difference, most int) {
	i := len(c.Differences)
	for i > 0 && c.Differences[i-1].Turn > d.Turn {
		i--
	}
	if len(c.Differences) < most {
		c.Differences = append(c.Differences, Difference{})
	} else if i == len(c.Differences) {
		return
	}
	copy(c.Differences[i+1:], c.Differences[i:])
	c.Differences[i] = d
}

// conclude counts the differences that waited for the noise of the whole replay.
func (c *Conn) conclude(places *noisyPlaces, most int) {
	for i := range c.unexplained {
		f := &c.unexplained[i]
		if !places.know(f.places) {
			c.keep(f.Difference, most)
			continue
		}
		c.Noise++
		c.Different--
		if f.late {
			c.Late++
		} else {
			c.Equal++
		}
	}
	c.unexplained = nil
}
