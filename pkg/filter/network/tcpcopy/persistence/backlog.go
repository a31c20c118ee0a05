package persistence

import "sync"

// backlog has what is to be done after windows have ended. It is done in a goroutine of
// its own, with a pace: neither the proxy nor the next window waits for it.
type backlog[T any] struct {
	most int              // how many may wait
	work func([]T, *pace) // does all that waits, in the goroutine

	closing chan struct{}  // closed by close
	working sync.WaitGroup // the goroutine; there is one while something waits

	mu      sync.Mutex // guards the rest
	waiting []T
	running bool
	closed  bool
}

func newBacklog[T any](most int, work func([]T, *pace)) *backlog[T] {
	return &backlog[T]{most: most, work: work, closing: make(chan struct{})}
}

// add has something done. It does not wait. ok is false, and it is not done, where n others
// wait already, or after close.
func (b *backlog[T]) add(t T) (n int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n = len(b.waiting); n >= b.most || b.closed {
		return n, false
	}
	b.waiting = append(b.waiting, t)
	if !b.running {
		b.running = true
		b.working.Add(1)
		go b.run()
	}
	return n, true
}

// run is the goroutine. It ends when nothing waits.
func (b *backlog[T]) run() {
	defer b.working.Done()
	p := &pace{closing: b.closing}
	for {
		b.mu.Lock()
		all := b.waiting
		b.waiting = nil
		b.running = len(all) > 0
		b.mu.Unlock()
		if len(all) == 0 {
			return
		}
		b.work(all, p)
	}
}

// close lets what waits be done for stopGrace; the pace then ends it. It is idempotent.
func (b *backlog[T]) close() {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	b.mu.Unlock()
	if !again {
		close(b.closing)
	}
	b.working.Wait()
}
