package replay

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/internal/clock"
)

// Replayer replays a Recording to a target.
type Replayer struct {
	recording *Recording
	options   Options
	rules     *rules
	limiter   *limiter
	places    noisyPlaces
	progress  counters
	ran       atomic.Bool

	mu       sync.Mutex // held while OnConn is called
	result   *Result    // set by Run before its goroutines start; then guarded by mu
	deferred []*Conn    // reported when the replay has ended; guarded by mu
}

// counters are what Progress returns, while the replay runs.
type counters struct {
	connections, sent, answered, different, failed atomic.Int64
}

// New returns a Replayer, or an error that names every option that makes no
// sense. The Recording stays the caller's and must not be closed before Run
// returns.
func New(r *Recording, o Options) (*Replayer, error) {
	o, err := o.withDefaults()
	rules, errRules := o.Rules.compile()
	if err := errors.Join(err, errRules); err != nil {
		return nil, err
	}
	return &Replayer{recording: r, options: o, rules: rules, limiter: newLimiter(o.Rate)}, nil
}

// Progress is how far a replay has come.
type Progress struct {
	Connections int // that have ended, of Total
	Total       int // those left out included
	Sent        int // pieces of requests
	Answered    int // turns
	Different   int // turns
	Failed      int // connections
}

// Progress returns how far the replay has come. Any goroutine may call it.
func (r *Replayer) Progress() Progress {
	c := &r.progress
	return Progress{
		Connections: int(c.connections.Load()), Total: len(r.recording.Sessions) * r.options.Loops,
		Sent: int(c.sent.Load()), Answered: int(c.answered.Load()), Different: int(c.different.Load()), Failed: int(c.failed.Load()),
	}
}

var errInterrupted = errors.New("interrupted")

var errRanBefore = errors.New("replay: a Replayer runs once")

// Run replays everything. When ctx ends it stops, closes its connections and
// returns the results so far. What goes wrong with a connection is in its
// result; an error means that there is none at all. It may be called once.
func (r *Replayer) Run(ctx context.Context) (*Result, error) {
	if r.ran.Swap(true) {
		return nil, errRanBefore
	}
	o := &r.options
	begin := o.clock.Now()
	r.result = &Result{
		Target: o.Target.String(), Mode: o.Mode, Speed: o.Speed, Loops: o.Loops, Compared: !o.SendOnly, Started: begin,
		Planned: NewPlan(r.recording, r.options).Length,
	}
	if o.Baseline != nil {
		r.result.Baseline = o.Baseline.String()
	}
	var running sync.WaitGroup
	slots := make(chan struct{}, o.Concurrency)
	length := r.recording.length(o.Partial)
loops:
	for loop := range o.Loops {
		start := begin.Add(time.Duration(loop) * o.scaled(length))
		for i, s := range r.recording.Sessions {
			if blocked := s.blocked(o.Partial); len(blocked) > 0 {
				r.add(&Conn{Identity: s.Identity, Loop: loop + 1, Obstacles: blocked, Skipped: true, order: i}, nil, nil)
				continue
			}
			if !sleepUntil(ctx, o.clock, start.Add(o.scaled(s.Start))) {
				break loops
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				break loops
			}
			running.Add(1)
			go func() { // ends with the session, or with ctx
				defer running.Done()
				r.replay(ctx, i, loop+1, start)
				<-slots
			}()
		}
	}
	running.Wait()
	return r.conclude(ctx, begin), nil
}

// sleepUntil waits for a moment, and returns false if ctx ends before it.
func sleepUntil(ctx context.Context, c clock.Clock, t time.Time) bool {
	if !t.After(c.Now()) {
		return ctx.Err() == nil
	}
	timer := c.TimerAt(t)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// length returns the time from the recording's begin to the end of the last session
// that is replayed.
func (r *Recording) length(partial bool) time.Duration {
	var end time.Duration
	for _, s := range r.Sessions {
		if len(s.blocked(partial)) == 0 {
			end = max(end, s.Start+s.Length)
		}
	}
	return end
}

// replay replays the session i, to the target and to the baseline beside it.
// start is the moment of the recording's begin on the replay's clock.
func (r *Replayer) replay(ctx context.Context, i, loop int, start time.Time) {
	o := &r.options
	s := r.recording.Sessions[i]
	began := o.clock.Now()
	if o.unpaced() {
		start = began.Add(-s.Start)
	}
	conn := &Conn{Identity: s.Identity, order: i, Loop: loop, Obstacles: s.Obstacles(), Compared: !o.SendOnly && s.comparable()}
	events := s.replayable(o.Partial)
	conn.Sends, _ = requests(events)
	conn.Protocol = Bytes
	if !o.OnlyBytes && conn.Compared {
		conn.Protocol, conn.Err = s.Protocol()
	}
	baseline := o.Baseline != nil && conn.Compared
	t := newTally(judge{r.rules, o.TurnTimeout}, conn, &r.places, o.MaxDifferences, &r.progress, baseline)
	play := func(server *Server, sink func(*pair), progress *counters) (*client, error) {
		match := newMatcher(conn.Protocol, matchOptions{
			limit: o.MaxAnswer, turns: o.Mode == Turns, blind: !conn.Compared, cutOff: !s.facts.closed, headers: r.rules.headers,
		}, func(p *pair) {
			// What the end of ctx left without an answer is nobody's fault.
			if ctx.Err() == nil || p.timed {
				sink(p)
			}
		})
		defer match.finish()
		c := &client{options: o, session: s, events: events, match: match, limiter: r.limiter, start: start, progress: progress}
		if conn.Protocol == HTTP2 {
			c.pings = newPingFilter()
		}
		return c, c.open(ctx, server, conn.Protocol)
	}
	var old sync.WaitGroup
	var oldErr error
	if baseline {
		old.Add(1)
		go func() { // ends with the session, or with ctx
			defer old.Done()
			defer t.baselineDone()
			_, oldErr = play(o.Baseline, t.baseline, new(counters))
		}()
	}
	var target *client
	if conn.Err == nil {
		target, conn.Err = play(&o.Target, t.target, &r.progress)
	}
	old.Wait()
	if oldErr != nil && conn.Err == nil {
		conn.Err = &baselineError{oldErr}
	}
	conn.Elapsed = o.clock.Now().Sub(began)
	r.add(conn, target, t)
}

// baselineError is what went wrong with the baseline's side of a session.
type baselineError struct{ err error }

func (e *baselineError) Error() string { return "baseline: " + e.err.Error() }
func (e *baselineError) Unwrap() error { return e.err }

// add counts the result of a session. target and t are nil where nothing was replayed.
func (r *Replayer) add(c *Conn, target *client, t *tally) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.result
	if c.Skipped {
		all.Skipped++
	} else {
		all.Connections++
	}
	if target != nil {
		c.Sent = target.sent
		c.Bytes = target.bytes
		all.Sent += uint64(target.sent)
		all.Bytes = all.Bytes.Plus(c.Bytes)
		all.Lateness.addAll(&target.lateness)
	}
	if t != nil && c.Compared {
		all.Recorded.addAll(&t.recorded)
		all.Replayed.addAll(&t.replayed)
	}
	if errors.Is(c.Err, context.Canceled) || errors.Is(c.Err, context.DeadlineExceeded) {
		c.Err = errInterrupted
	} else if c.Err != nil {
		all.Failed++
		r.progress.failed.Add(1)
		var unreached *connectError
		if errors.As(c.Err, &unreached) {
			all.Unconnected++
		}
	}
	r.progress.connections.Add(1)
	if len(c.unexplained) > 0 && len(r.deferred) < r.options.MaxConns {
		r.deferred = append(r.deferred, c)
		return
	}
	r.report(c)
}

// report counts a result that is final. The caller holds mu.
func (r *Replayer) report(c *Conn) {
	c.conclude(&r.places, r.options.MaxDifferences)
	if !c.Compared {
		c.Counts = Counts{Turns: c.Counts.Turns}
	}
	r.result.Counts.add(&c.Counts)
	if c.Notable() {
		if len(r.result.Conns) < r.options.MaxConns {
			r.result.Conns = append(r.result.Conns, c)
		} else {
			r.result.MoreConns++
		}
	}
	if r.options.OnConn != nil {
		r.options.OnConn(c)
	}
}

// conclude judges what was left and returns the result.
func (r *Replayer) conclude(ctx context.Context, begin time.Time) *Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.deferred {
		r.report(c)
	}
	r.deferred = nil
	slices.SortFunc(r.result.Conns, func(a, b *Conn) int {
		return cmp.Or(cmp.Compare(a.Loop, b.Loop), cmp.Compare(a.order, b.order))
	})
	r.result.Elapsed = r.options.clock.Now().Sub(begin)
	r.result.Interrupted = ctx.Err() != nil
	return r.result
}
