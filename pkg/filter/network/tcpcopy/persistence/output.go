package persistence

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// output is one format of one pipeline: an encoder and a destination, with what it
// keeps of each flow. Records that the destination does not accept become pending gaps.
type output struct {
	pipeline    *pipeline
	encoder     record.Encoder
	packets     *packets                  // the encoder, where it is pcapng's; nil for text
	bound       func(e *buffer.Entry) int // of what the encoder appends for e, opening included
	destination logdir.Destination
	files       logdir.FileDestination // the destination; nil for a live stream
	index       int                    // of the files, in the state of a batch
	reason      record.Reason          // of pending gaps
	lose        func(bytes int)        // counts payload that the destination does not have; nil for files

	slice       int       // bytes of payload that it encodes before others may run, while there is room
	since       int       // bytes of payload since then
	yieldAfter  time.Time // before it, others do not run
	behindUntil time.Time // see fallsBehind

	batches uint64        // that writeEarly has gone through
	flows   []*outputFlow // by slot
	opening []*outputFlow // whose opening has been put and not committed
	pending pendingGaps

	rejected spans // parts of the current batch that the destination did not accept
}

// outputFlow is what an output keeps of one connection.
type outputFlow struct {
	record.Flow
	source *flow
	opened bool   // the destination has its opening
	dataIn uint64 // number of the last batch in which writeEarly has found data of it
}

// flow returns what the output keeps of the connection in a slot, until forget.
func (o *output) flow(slot uint32) *outputFlow {
	for int(slot) >= len(o.flows) {
		o.flows = append(o.flows, nil)
	}
	f, source := o.flows[slot], o.pipeline.flows.flows[slot]
	if f == nil || f.source != source {
		f = &outputFlow{source: source}
		f.Endpoint = source.Endpoint
		// A log that goes on has the opening from before.
		f.opened = source.earlier && o.packets == nil
		o.flows[slot] = f
	}
	return f
}

// forget drops what the output keeps of the connections in those slots, which have
// ended. Their pending gaps stay.
func (o *output) forget(slots []uint32) {
	for _, slot := range slots {
		if int(slot) < len(o.flows) {
			o.flows[slot] = nil
		}
	}
}

// A worker's slice, bytes of payload: about 30 microseconds of encoding. The proxy's
// goroutines wait for a processor meanwhile, and their clients with them.
const (
	sliceText    = 32 << 10
	slicePackets = 256 << 10
)

// newFileOutput returns the output of a format, the index-th of the configuration.
func newFileOutput(p *pipeline, index int, format Format) *output {
	s := p.session
	o := &output{pipeline: p, index: index, reason: record.ReasonWriteError, slice: sliceText, bound: boundText}
	switch format {
	case FormatPcapng:
		o.encodePackets()
		o.packets.inPlace = s.sizes.InPlace && !s.shares
		o.files = s.segments
	case FormatHexMeta:
		o.encoder, o.files = hexlog.NewMetaEncoder(), s.flowLog
	default:
		o.encoder, o.files = hexlog.NewEncoder(), s.flowLog
	}
	o.destination = o.files
	return o
}

// boundText returns a bound for the lines of an entry: an opening and the entry's own.
func boundText(e *buffer.Entry) int {
	n := 2 * logdir.MaxFields
	if e.Kind == buffer.KindData {
		n += 3 * len(e.Payload)
	}
	return n
}

// boundPackets returns a bound for the blocks of an entry: an opening, and packets
// that each hold 16 KiB at least.
func boundPackets(e *buffer.Entry) int {
	if e.Kind == buffer.KindData {
		return longestPackets(len(e.Payload))
	}
	return longestPackets(0)
}

// longestPackets is boundPackets for an entry of n bytes of data.
func longestPackets(n int) int {
	const packet = 256
	return 2*logdir.MaxFields + 8*packet + n + n>>14*packet
}

// write encodes a batch's entries and has them written, those that the destination
// does not have yet. It returns the parts of the batch that the destination did not
// accept, whose bytes are pending gaps then. The result is valid until the next call.
func (o *output) write(b *buffer.Batch) (rejected spans) {
	o.rejected = o.rejected[:0]
	from := b.Start()
	if o.files != nil {
		from = b.Resume(o.index)
		o.skip(b, from)
		if from == b.Len() {
			return nil
		}
	}
	w, err := o.begin(b, from)
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		if w != nil {
			from = w.from
		}
		o.reject(b, from, b.Len())
	}
	return o.rejected
}

// begin encodes the entries of b from from on, in one transaction, and has them written:
// finish waits for that, when others may use the destination. After an error, those before
// the writer's from are written and the others are not; the writer is nil where there was
// no transaction.
func (o *output) begin(b *buffer.Batch, from int) (*batchWriter, error) {
	tx, err := o.destination.Begin()
	if err != nil {
		return nil, err
	}
	defer tx.End()
	w := newBatchWriter(o, tx, b, from)
	w.mark()
	if err := w.attempt(w.writeEntries); err != nil {
		tx.Abort(err)
		o.aborted(err)
		return w, err
	}
	return w, nil
}

// skip says that the files have the entries of b before to already, which a killed
// process has written. So a log has the openings of their connections; a segment that
// is begun now needs its own.
func (o *output) skip(b *buffer.Batch, to int) {
	if o.packets != nil {
		return
	}
	var e buffer.Entry
	selected := o.pipeline.flows.selected
	for s, ok := selected.find(b.Start(), to); ok; {
		next, _ := b.Entry(s.from, &e)
		o.flow(e.Slot).opened = true
		s, ok = selected.find(next, to)
	}
}

// flush makes a last try to write the pending gaps.
func (o *output) flush() {
	if len(o.pending.flows) == 0 {
		return
	}
	tx, err := o.destination.Begin()
	if err != nil {
		return
	}
	defer tx.End()
	w := newBatchWriter(o, tx, nil, 0)
	if err := w.attempt(w.writePending); err != nil {
		tx.Abort(err)
		o.aborted(err)
	}
}

// reject makes pending gaps of the entries of b between those positions.
func (o *output) reject(b *buffer.Batch, from, to int) {
	if from >= to {
		return
	}
	o.rejected = append(o.rejected, span{from: from, to: to})
	var e buffer.Entry
	selected := o.pipeline.flows.selected
	for s, ok := selected.find(from, to); ok; {
		next, _ := b.Entry(s.from, &e)
		lost := s.lost
		if lost == record.ReasonNone || s.keep > 0 {
			lost = o.reason
		}
		o.pending.add(o.flow(e.Slot), &e, lost)
		if e.Kind == buffer.KindData && o.lose != nil {
			o.lose(len(e.Payload))
		}
		s, ok = selected.find(next, to)
	}
}

// aborted says that what has been put since the last commit is in no file, because of err.
func (o *output) aborted(err error) {
	for _, f := range o.opening {
		f.opened = false
	}
	o.opening = o.opening[:0]
	if fault := o.pipeline.session.spool().Fault(err); fault != nil {
		panic(fault) // nothing more can be done with the batch: for worker.process
	}
}

// yield lets others run when n more bytes make the worker's slice too long. The proxy may
// have many goroutines, and all of them have their turns first: after a yield that lasted
// long there is none for a while. A worker that has fallen behind does not yield.
func (o *output) yield(n int, fallenBehind bool) {
	if o.since += n; o.since < o.slice {
		return
	}
	o.since = 0
	begun := time.Now()
	if fallenBehind || begun.Before(o.yieldAfter) || o.pipeline.behind() {
		return
	}
	runtime.Gosched()
	if time.Since(begun) > longYield {
		o.yieldAfter = begun.Add(noYield)
	}
}

// fallsBehind reports whether the worker has fallen behind, now or in the last second.
func (o *output) fallsBehind(behind bool) bool {
	now := time.Now()
	if behind {
		o.behindUntil = now.Add(noYield)
	}
	return now.Before(o.behindUntil)
}

const (
	// longYield is how long a yield lasts where more than a few wait for a processor.
	longYield = 10 * time.Millisecond
	// noYield is how long after such a yield, or after a worker has fallen behind, there is none.
	noYield = time.Second
)

// behind reports whether the pipeline has fallen behind: more than half of its shard's
// memory is full of what it has not written yet.
func (p *pipeline) behind() bool {
	s, ok := p.source.(*liveShard)
	if !ok {
		return false
	}
	var t buffer.Tally
	s.reader.Unread(&t)
	unread := t.Seen.In + t.Seen.Out
	for _, dir := range record.Directions() {
		for _, n := range t.Lost[dir] {
			unread -= n
		}
	}
	g := &p.session.sizes
	return unread > uint64(g.Batches*g.Batch/2)
}

// errEncoder is an encoder's fault with one entry.
var errEncoder = errors.New("encoder failed")

// catchPanic is deferred around the encoding of f. It turns a panic into errEncoder.
func (o *output) catchPanic(f *outputFlow, err *error) {
	if r := recover(); r != nil {
		if fault := o.pipeline.session.spool().Fault(r); fault != nil {
			*err = fault
			return
		}
		*err = errEncoder
		o.pipeline.session.store.alert("encode", newPanicError("an encoder", fmt.Sprintf("%T in window %s: %v", o.encoder, f.Window, r)))
	}
}
