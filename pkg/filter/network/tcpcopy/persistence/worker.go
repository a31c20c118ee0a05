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
	reader   *buffer.Reader
	pipeline *pipeline
}

// run is the worker's goroutine.
func (w *worker) run() {
	session := w.pipeline.session
	defer session.workers.Done()
	debug.SetPanicOnFault(true) // what is in the spool may be gone; see buffer.FaultError
	defer catchPanic(session.store.alert, "a worker")
	session.looking.Do(session.lookFirst) // before the first byte is written
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.reader.Full():
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

// drain writes what the shard has now.
func (w *worker) drain() {
	for {
		b := w.pipeline.source.next()
		if b == nil {
			w.checkFault()
			return
		}
		w.process(b)
	}
}

// checkFault ends the session's recording where a shard has failed.
func (w *worker) checkFault() {
	if fault := w.reader.Shard().Failed(); fault != nil {
		w.pipeline.session.ring.fail(fault)
	}
}

// process writes a batch and accounts for it. A fault of ours must not end the
// process: what the batch held stays seen and neither written nor lost, which the
// index then shows.
func (w *worker) process(b *buffer.Batch) {
	defer w.reader.Done() // after a panic
	defer func() {
		if r := recover(); r != nil {
			session := w.pipeline.session
			if fault := session.spool().Fault(r); fault != nil {
				session.ring.fail(fault) // which checkFault accounts for
				return
			}
			session.store.alert("worker", newPanicError("a worker", fmt.Sprintf("window %s: %v", session.window.ID, r)))
		}
	}()
	w.pipeline.write(b)
	w.pipeline.account(b)
}

// finish writes the gaps and close events that had found no room, where the shard is
// closed: nothing else changes it or its connections' part in it. Another one goes on, and
// what has found no room is in no entry of the session's.
func (w *worker) finish() {
	for complete := !w.pipeline.session.ownsRing(); !complete; {
		complete = w.reader.Shard().WritePending()
		w.drain()
	}
	w.drain()
	w.pipeline.flush()
	w.checkFault()
}
