package persistence

import (
	"fmt"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
)

const (
	// hangAfter is how long something waits for the disk before there is an alert.
	hangAfter = 5 * time.Second
	hangLook  = time.Second // how often the watch looks
)

// hangWatch alerts when the disk does not answer: a write that hangs is no error, so
// that nothing else would report it. There is one per window, from before its first
// file until after its index line. It touches no file itself.
// While the window is open, a worker hangs that leaves entries in its shard: it
// comes for them every flushEvery. A nil hangWatch watches nothing.
type hangWatch struct {
	store  *Store
	window string
	stop   chan struct{} // closed by end, ends the goroutine
	done   chan struct{} // closed by the goroutine

	mu       sync.Mutex      // guards the rest, and is locked before a shard's
	shards   []*buffer.Shard // nil while the window is being opened
	busy     string          // what waits for the disk beside the workers; "" for nothing
	steps    uint64          // of that, how many are done
	waits    []wait          // one per shard, and one for busy
	reported bool            // there was an alert, and the hang is not over
}

// wait is for how long something has not got on.
type wait struct {
	at    uint64    // how far it has got
	since time.Time // when it was first seen to be there, or had nothing to do
}

// watchHangs begins to watch over a window that is being opened. The caller calls
// end.
func (s *Store) watchHangs(window string) *hangWatch {
	h := &hangWatch{store: s, window: window, stop: make(chan struct{}), done: make(chan struct{}), busy: "opening"}
	h.look(time.Now())
	go h.run()
	return h
}

// run is the watch's goroutine; end ends it.
func (h *hangWatch) run() {
	defer close(h.done)
	ticker := time.NewTicker(hangLook)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.look(time.Now())
		case <-h.stop:
			return
		}
	}
}

// opened says that the window is open, with those shards.
func (h *hangWatch) opened(shards []*buffer.Shard) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shards, h.busy, h.waits = shards, "", nil
}

// step says that the closing of the window, or another part of it, begins.
func (h *hangWatch) step() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = "closing"
	h.steps++
}

// end ends the watch.
func (h *hangWatch) end() {
	if h == nil {
		return
	}
	close(h.stop)
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy, h.shards = "", nil
	h.overLocked()
}

// look judges what it sees at a moment.
func (h *hangWatch) look(now time.Time) {
	defer catchPanic(h.store.alert, "looking for a disk that hangs")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waits == nil {
		h.waits = make([]wait, len(h.shards)+1)
	}
	all := h.steps
	for i, sh := range h.shards {
		number, waiting := sh.Progress()
		all += number
		h.waits[i].observe(number, waiting, now)
	}
	h.waits[len(h.shards)].observe(all, h.busy != "", now)
	since := now
	for _, w := range h.waits {
		if w.since.Before(since) {
			since = w.since
		}
	}
	if now.Sub(since) < hangAfter {
		h.overLocked()
		return
	}
	if h.reported {
		return
	}
	h.reported = true
	doing := h.busy
	if doing == "" {
		doing = "writing"
	}
	h.store.alert("hang", fmt.Errorf("%s window %s has not got on since %s: the disk of %s does not answer; the traffic goes on, and of its records what the buffer has no room for is lost",
		doing, h.window, since.Format(time.TimeOnly), h.store.config.Dir))
}

// observe records how far something has got; atWork says that it has something to do.
func (w *wait) observe(at uint64, atWork bool, now time.Time) {
	if !atWork || w.at != at || w.since.IsZero() {
		w.at, w.since = at, now
	}
}

// overLocked says that nothing hangs.
func (h *hangWatch) overLocked() {
	if h.reported {
		h.reported = false
		h.store.info("the disk of %s answers again, window %s goes on", h.store.config.Dir, h.window)
	}
}
