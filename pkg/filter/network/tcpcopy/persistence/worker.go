package persistence

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// flushEvery is how long an entry waits in a batch before its worker takes it,
// when there is not enough to do to be woken for.
const flushEvery = 50 * time.Millisecond

// flow is a connection in the worker's table.
type flow struct {
	record.Flow
	opened uint8   // bit i is set when output i has the flow's opening
	begun  [2]bool // an entry of the direction has come
	again  bool    // an earlier batch has introduced it, which a recovery may not see

	// The flow's listener in the pcapng segments.
	iface       uint32
	describedIn uint32 // number of the segment that is known to have its block
}

// worker empties the batches of one shard into the outputs. startSession runs
// it and Session.Close ends it. Only its goroutine uses its fields.
type worker struct {
	session   *Session
	shard     *shard
	state     *shardState // what a recovery knows of the shard
	clock     clock       // of what is not in a batch
	spare     batch
	flows     []*flow // by slot
	outputs   []*output
	live      []*output // one a live stream
	liveKnown *[]*Live  // the live streams that live is for
	current   *flow     // being encoded
	missed    []span    // parts of the batch that an output could not take
	freed     []uint32
	traffic   []logdir.Traffic // by the interface of the segments
	known     uint64           // connections that the batches so far have introduced
}

// span is a range of positions in a batch, at which entries are.
type span struct{ from, to int }

// run is the worker's goroutine.
func (w *worker) run() {
	defer w.session.workers.Done()
	defer recovered(w.session.store.alert, "a worker")
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.shard.full:
			w.drain()
		case <-ticker.C:
			w.drain()
		case <-w.session.stop:
			for _, o := range w.outputs {
				o.files.Retry() // the last chance
			}
			w.drain()
			w.finish()
			return
		}
	}
}

// endsAtOnce is how many ends that found no room are written at a swap, under the
// shard's lock.
const endsAtOnce = 1 << 10

// drain swaps the shard's batches and writes out the full one.
func (w *worker) drain() {
	sh := w.shard
	sh.mu.Lock()
	if sh.active.n == 0 {
		sh.mu.Unlock()
		return
	}
	sh.active, w.spare = w.spare, sh.active
	sh.number++
	sh.active.state.begin(sh.number)
	sh.woken = false
	sh.endWaitingLocked(endsAtOnce, sh.clock.now())
	sh.mu.Unlock()

	w.process(&w.spare)
	w.spare.reset()
}

// finish writes the gaps and ends that had found no room. The shard is closed, so
// nothing else changes it or its connections' part in it.
func (w *worker) finish() {
	sh := w.shard
	for settled := false; !settled; {
		sh.mu.Lock()
		settled = sh.settleLocked(sh.clock.now())
		sh.mu.Unlock()
		w.drain()
	}
	w.drain()
	for _, o := range w.outputs {
		o.finish()
	}
	w.tellTraffic()
}

// process hands the entries of a batch to the outputs and accounts for them.
func (w *worker) process(b *batch) {
	defer func() {
		// A fault of ours must not end the process. What the batch held stays seen
		// and neither written nor lost, which the index then shows.
		if r := recover(); r != nil {
			w.session.store.alert("worker", fmt.Errorf("panicked in window %s: %v\n%s", w.session.window.ID, r, debug.Stack()))
		}
	}()
	w.introduce(b)
	w.missed = w.missed[:0]
	w.syncLive()
	for _, o := range w.live { // first, because they see flows as they were before the batch
		o.write(b, 0)
	}
	for _, o := range w.outputs {
		o.write(b, 0)
	}
	t := w.account(b)
	t.connections = w.known // the others are known by the batches to come
	w.state.settle(b.state.number.Load(), &t)
}

// introduce enters the batch's new connections into the table.
func (w *worker) introduce(b *batch) {
	var e entry
	for at := 0; at < b.n; {
		next, ok := b.entry(at, &e)
		if !ok {
			return // a shard writes whole entries only; recovery checks before
		}
		at = next
		switch e.kind {
		case kindIntro:
			w.introduceOne(&e)
		case kindData, kindGap:
			w.flows[e.slot].begin(e.dir, e.offset)
		}
	}
}

func (w *worker) introduceOne(e *entry) {
	for int(e.slot) >= len(w.flows) {
		w.flows = append(w.flows, nil)
	}
	if w.flows[e.slot] != nil {
		return
	}
	f := &flow{Flow: record.Flow{}}
	f.Window = w.session.window.ID
	f.Next = record.PerDirection{In: e.offset, Out: binary.LittleEndian.Uint64(e.payload)}
	if f.again = e.flags&flagRepeat != 0; !f.again {
		w.known++
	}
	f.FromStart = !f.again && f.Next == (record.PerDirection{})
	if !decodeEndpoint(e.payload[8:], &f.Flow) {
		f.Conn = "?"
	}
	w.flows[e.slot] = f
	w.session.addPort(f.Port)
}

// begin says that the first entry of a direction is at offset. The intro knows
// that of one direction exactly: the other one's bytes may have been counted and
// not yet offered when it was written.
func (f *flow) begin(dir record.Direction, offset uint64) {
	if f.begun[dir] {
		return
	}
	f.begun[dir] = true
	if f.opened == 0 {
		f.Next.Set(dir, offset)
		f.FromStart = !f.again && f.Next == (record.PerDirection{})
	}
}

// account takes each byte of the batch to written or lost, and frees the slots
// of the connections that have ended. It returns what the shard has counted.
func (w *worker) account(b *batch) tally {
	var t tally
	w.freed = w.freed[:0]
	var e entry
	for at := 0; at < b.n; {
		next, ok := b.entry(at, &e)
		if !ok {
			break
		}
		switch e.kind {
		case kindData:
			n := uint64(len(e.payload))
			if w.isMissed(at) {
				t.lost[e.dir][record.ReasonWriteError] += n
				w.count(w.flows[e.slot], record.ReasonWriteError, n)
			} else {
				w.count(w.flows[e.slot], record.ReasonNone, n)
				t.written[e.dir] += n
				if e.flags&flagMore == 0 {
					t.records[e.dir]++
				}
			}
			w.flows[e.slot].Next.Set(e.dir, e.offset+n)
		case kindGap:
			n := binary.LittleEndian.Uint64(e.payload)
			w.flows[e.slot].Next.Set(e.dir, e.offset+n)
			w.count(w.flows[e.slot], e.reason, n)
		case kindClose:
			for _, o := range w.live {
				if o.behind[w.flows[e.slot]] == nil {
					delete(o.liveFlows, w.flows[e.slot])
				}
			}
			w.flows[e.slot] = nil
			w.freed = append(w.freed, e.slot)
		}
		at = next
	}
	sh := w.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.tally.add(&t)
	sh.free = append(sh.free, w.freed...)
	return sh.tally
}

// count counts one record of f, or its loss, for the statistics of the segments.
func (w *worker) count(f *flow, reason record.Reason, n uint64) {
	if f.describedIn == 0 {
		return // no segment has the listener
	}
	for int(f.iface) >= len(w.traffic) {
		w.traffic = append(w.traffic, logdir.Traffic{})
	}
	c := &w.traffic[f.iface]
	c.Records++
	if reason != record.ReasonNone {
		c.Dropped++
		c.LostBy[reason] += n
	}
}

// tellTraffic hands what was counted to the segments.
func (w *worker) tellTraffic() {
	for iface := range w.traffic {
		w.session.segments.Count(uint32(iface), &w.traffic[iface])
	}
}

// isMissed tells whether an output lacks the entry at that position.
func (w *worker) isMissed(at int) bool {
	for _, m := range w.missed {
		if at >= m.from && at < m.to {
			return true
		}
	}
	return false
}
