package persistence

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	maxLive = 4 // subscribers at a time
	// liveQueue is how many bytes may wait for a subscriber; more are lost to it.
	liveQueue = 8 << 20
)

// ErrTooManyLive says that no further subscriber is taken.
var ErrTooManyLive = errors.New("there are as many live streams as may be")

// Live is one subscriber's stream: pcapng blocks of what is recorded while it is
// subscribed, over all windows. Each worker encodes for it as for a file. While
// its reader is slow, the workers miss it, and tell of that with gaps later: the
// files and the proxy do not notice. It implements sink.
type Live struct {
	store *Store
	ready chan struct{} // has an element when there may be something to read
	lost  atomic.Uint64 // bytes of payload that it has missed

	mu         sync.Mutex // guards the rest; held between begin and end
	mem        []byte     // encoded and not yet queued
	queue      [][]byte
	queued     int
	interfaces []string
	closed     bool
}

// Subscribe begins a live stream, which the caller closes.
func (s *Store) Subscribe() (*Live, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("the store is closed")
	}
	all := s.subscribers()
	if len(all) >= maxLive {
		return nil, ErrTooManyLive
	}
	l := &Live{store: s, ready: make(chan struct{}, 1)}
	l.mem = pcapng.AppendSectionHeader(nil, application)
	l.pushLocked()
	all = append(slices.Clone(all), l)
	s.live.Store(&all)
	return l, nil
}

// subscribers returns the live streams. The slice is not changed any more.
func (s *Store) subscribers() []*Live {
	if all := s.live.Load(); all != nil {
		return *all
	}
	return nil
}

// Next returns the next blocks, which are the caller's, when there are some. It
// ends with io.EOF when the store closes, or with ctx.
func (l *Live) Next(ctx context.Context) ([]byte, error) {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			chunk := l.queue[0]
			l.queue = l.queue[1:]
			l.queued -= len(chunk)
			l.mu.Unlock()
			return chunk, nil
		}
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return nil, io.EOF
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// miss counts n bytes of payload that there was no room for.
func (l *Live) miss(n int) {
	l.lost.Add(uint64(n))
	l.store.liveLost.Add(uint64(n))
}

// Lost returns how many bytes of payload the stream has missed so far.
func (l *Live) Lost() uint64 { return l.lost.Load() }

// Close ends the stream. It is idempotent.
func (l *Live) Close() {
	s := l.store
	s.mu.Lock()
	all := slices.DeleteFunc(slices.Clone(s.subscribers()), func(o *Live) bool { return o == l })
	s.live.Store(&all)
	s.mu.Unlock()
	l.finish()
}

// finish makes Next end when all is read.
func (l *Live) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

func (l *Live) wake() {
	select {
	case l.ready <- struct{}{}:
	default: // it has been told
	}
}

// pushLocked queues what is encoded.
func (l *Live) pushLocked() {
	if len(l.mem) == 0 {
		return
	}
	l.queue = append(l.queue, slices.Clone(l.mem))
	l.queued += len(l.mem)
	l.mem = l.mem[:0]
	l.wake()
}

// describe returns the number of the interface for f's listener, and puts its
// block where that is new. The caller is between begin and end.
func (l *Live) describe(f *record.Flow) (number int, had bool) {
	name, description := f.ListenerName, f.Network+" "+f.Port
	key := name + "\x00" + description
	if i := slices.Index(l.interfaces, key); i >= 0 {
		return i, true
	}
	l.interfaces = append(l.interfaces, key)
	l.mem = pcapng.AppendInterface(l.mem, name, description)
	return len(l.interfaces) - 1, false
}

// begin implements sink.
func (l *Live) begin() error {
	l.mu.Lock()
	if l.closed || l.queued > liveQueue {
		l.mu.Unlock()
		return errWaiting
	}
	return nil
}

// room implements sink.
func (l *Live) room(n int) (dst []byte, full bool, err error) {
	if len(l.mem)+n > liveQueue/8 {
		l.pushLocked()
	}
	return slices.Grow(l.mem, n), false, nil
}

// put implements sink.
func (l *Live) put(dst []byte) { l.mem = dst }

// commit implements sink.
func (l *Live) commit() error {
	l.pushLocked()
	return nil
}

// end implements sink.
func (l *Live) end() { l.mu.Unlock() }

// next implements sink: there is one stream.
func (l *Live) next() error { return nil }

// place implements sink: a recovery has no use for it.
func (l *Live) place() (inode, size uint64) { return 0, 0 }

// takeBack implements sink: nothing outlives the process.
func (l *Live) takeBack(uint64, uint64, string) error { return nil }

// retry implements sink: what it waits for is its reader.
func (l *Live) retry() {}

// abort implements sink: nothing of it fails.
func (l *Live) abort(error) { l.mem = l.mem[:0] }

// liveFlow is a flow as a live stream sees it. The stream has its own, because it
// may begin and miss at other times than the files.
type liveFlow struct {
	record.Flow
	opened    bool
	described bool // iface is known
	iface     int
}

// newLiveOutput returns the output of a worker for a live stream.
func newLiveOutput(w *worker, l *Live) *output {
	o := &output{worker: w, live: l, liveFlows: map[*flow]*liveFlow{}, behind: map[*flow]*deficit{}, reason: record.ReasonBufferFull, turn: turnPackets}
	var current *liveFlow
	o.encoder = pcapng.NewEncoder(func(*record.Flow) uint32 { return uint32(current.iface) })
	o.sink, o.bound = l, boundPackets
	o.prepare = func(f *flow) (had bool, err error) {
		current = o.liveFlow(f)
		if had = current.described; !had {
			current.iface, had = l.describe(&current.Flow)
			current.described = true
		}
		return had, nil
	}
	return o
}

// liveFlow returns the stream's own view of f.
func (o *output) liveFlow(f *flow) *liveFlow {
	v := o.liveFlows[f]
	if v == nil {
		// Its encoder starts where the batches have got; see worker.account.
		v = &liveFlow{Flow: f.Flow}
		v.FromStart = f.FromStart && f.Next == (record.PerDirection{})
		o.liveFlows[f] = v
	}
	return v
}

// syncLive gives the worker an output for each live stream that there is now.
func (w *worker) syncLive() {
	all := w.session.store.live.Load()
	if all == w.liveKnown {
		return
	}
	w.liveKnown = all
	var outputs []*output
	for _, l := range *all {
		i := slices.IndexFunc(w.live, func(o *output) bool { return o.live == l })
		if i >= 0 {
			outputs = append(outputs, w.live[i])
		} else {
			outputs = append(outputs, newLiveOutput(w, l))
		}
	}
	w.live = outputs
}
