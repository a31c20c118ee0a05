package persistence

import (
	"fmt"
	"runtime/debug"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
)

// flushEvery is how long an entry waits in a batch before its worker swaps it, when
// there is not enough to do to be woken for.
const flushEvery = 50 * time.Millisecond

// worker empties the batches of one live shard. startSession starts its goroutine and
// Session.Close ends it and waits for it.
type worker struct {
	shard    *buffer.Shard
	pipeline *pipeline
}

// run is the worker's goroutine.
func (w *worker) run() {
	session := w.pipeline.session
	defer session.workers.Done()
	debug.SetPanicOnFault(true) // what is in the spool may be gone; see buffer.FaultError
	defer catchPanic(session.store.alert, "a worker")
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.shard.Full():
			w.drain()
		case <-ticker.C:
			session.contents.alive(w.pipeline.clock.Now())
			w.drain()
		case <-session.stop:
			w.pipeline.retry() // the last chance
			w.drain()
			w.finish()
			return
		}
	}
}

// drain writes the shard's active batch.
func (w *worker) drain() {
	b := w.pipeline.source.next()
	if b == nil {
		w.checkFault()
		return
	}
	// After a panic below the batch must be empty at the next swap.
	defer b.Reset()
	w.process(b)
}

// checkFault accounts for what a shard that has failed has lost.
func (w *worker) checkFault() {
	if fault := w.shard.Failed(); fault != nil {
		w.pipeline.session.fail(fault)
		w.shard.LoseRest()
	}
}

// process writes a batch and accounts for it. A fault of ours must not end the
// process: what the batch held stays seen and neither written nor lost, which the
// index then shows.
func (w *worker) process(b *buffer.Batch) {
	defer func() {
		if r := recover(); r != nil {
			session := w.pipeline.session
			if fault := session.spool.Fault(r); fault != nil {
				session.fail(fault) // which checkFault accounts for
				return
			}
			session.store.alert("worker", newPanicError("a worker", fmt.Sprintf("window %s: %v", session.window.ID, r)))
		}
	}()
	w.pipeline.write(b)
	w.pipeline.account(b)
}

// finish writes the gaps and close events that had found no room. The shard is
// closed, so nothing else changes it or its connections' part in it.
func (w *worker) finish() {
	for complete := false; !complete; {
		complete = w.shard.WritePending()
		w.drain()
	}
	w.drain()
	w.pipeline.flush()
	w.checkFault()
}
