package persistence

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	maxLive = 4 // subscribers at a time
	// liveQueue is how many bytes may wait for a subscriber; more are lost to it.
	liveQueue = 8 << 20
)

// errTooManyLive says that no further subscriber is accepted.
var errTooManyLive = errors.New("there are as many live streams as may be")

// Live is one subscriber's stream: pcapng blocks of what is recorded while it is
// subscribed, over all windows, or of a live-only window. Each pipeline encodes for it as for a file. While
// its reader is slow, records are lost to it and become gaps later: the files and
// the proxy do not notice.
type Live struct {
	store *Store
	ready chan struct{} // has an element when there may be something to read
	lost  atomic.Uint64 // bytes of payload that the reader was too slow for

	mu     sync.Mutex // guards the rest; held between Begin and End of a liveDestination
	mem    []byte     // encoded and not yet queued
	queue  [][]byte
	queued int
	closed bool
}

// Subscribe begins a live stream, which the caller closes. The error is an ErrNoRoom where
// what may wait for a slow reader does not fit into the memory.
func (s *Store) Subscribe() (*Live, error) {
	if reserve := s.room(&record.Window{}).reserve(0, "a live stream"); reserve != nil {
		if err := reserve(2 * liveQueue); err != nil { // the collector lets it grow to twice the size
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("the store is closed")
	}
	all := s.subscribers()
	if len(all)+s.livesLocked() >= maxLive {
		return nil, errTooManyLive
	}
	l := newLive(s)
	all = append(slices.Clone(all), l)
	s.live.Store(&all)
	return l, nil
}

// newLive returns a stream with the head of pcapng.
func newLive(s *Store) *Live {
	l := &Live{store: s, ready: make(chan struct{}, 1)}
	l.mem = pcapng.AppendHead(nil, logdir.Application)
	l.pushLocked()
	return l
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

// lose counts n bytes of payload that there was no room for.
func (l *Live) lose(n int) {
	l.lost.Add(uint64(n))
	l.store.liveLost.Add(uint64(n))
}

// Lost returns how many bytes of payload the stream does not have so far, because
// its reader was too slow.
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
	default: // it has been woken
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

// liveDestination is a live stream as the pipelines write to it: a destination and its
// transaction. It is never full, and nothing of it outlives the process.
type liveDestination struct {
	live *Live
	last bool // nothing comes after it, so that it does not wait for a slow reader
}

// Begin implements logdir.Destination. It returns logdir.ErrWaiting while the reader
// is slow.
func (d liveDestination) Begin() (logdir.Transaction, error) {
	l := d.live
	l.mu.Lock()
	if l.closed || l.queued > liveQueue && !d.last {
		l.mu.Unlock()
		return nil, logdir.ErrWaiting
	}
	return d, nil
}

// Segment implements packetTransaction: there is one stream.
func (d liveDestination) Segment() uint32 { return 1 }

// Room implements logdir.Transaction.
func (d liveDestination) Room(n int) ([]byte, error) {
	l := d.live
	if len(l.mem)+n > liveQueue/8 {
		l.pushLocked()
	}
	return slices.Grow(l.mem, n), nil
}

// Put implements logdir.Transaction.
func (d liveDestination) Put(extended []byte) { d.live.mem = extended }

// Commit implements logdir.Transaction.
func (d liveDestination) Commit() error {
	d.live.pushLocked()
	return nil
}

// Abort implements logdir.Transaction. Only an encoder's fault comes to it.
func (d liveDestination) Abort(error) { d.live.mem = d.live.mem[:0] }

// End implements logdir.Transaction.
func (d liveDestination) End() { d.live.mu.Unlock() }

// newLiveOutput returns the output of a pipeline for a live stream.
func newLiveOutput(p *pipeline, l *Live) *output {
	o := &output{pipeline: p, destination: liveDestination{live: l}, reason: record.ReasonBufferFull, lose: l.lose}
	o.encodePackets()
	return o
}

// followStreams gives the pipeline an output for each live stream that there is now.
func (p *pipeline) followStreams() {
	all := p.session.store.live.Load()
	if all == p.streams || p.session.stream != nil { // that of a live-only window has no others
		return
	}
	p.streams = all
	var outputs []*output
	for _, l := range *all {
		i := slices.IndexFunc(p.live, func(o *output) bool { return o.destination == liveDestination{live: l} })
		if i >= 0 {
			outputs = append(outputs, p.live[i])
		} else {
			outputs = append(outputs, newLiveOutput(p, l))
		}
	}
	p.live = outputs
}
