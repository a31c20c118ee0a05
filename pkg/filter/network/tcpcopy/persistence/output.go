package persistence

import (
	"errors"
	"fmt"
	"runtime"

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

	slice int // bytes of payload that it encodes before others may run
	since int // bytes of payload since then

	flows   []*outputFlow // by slot
	opening []*outputFlow // whose opening has been put and not committed
	pending pendingGaps

	rejected spans // parts of the current batch that the destination did not accept
}

// outputFlow is what an output keeps of one connection.
type outputFlow struct {
	record.Flow
	source *flow
	opened bool // the destination has its opening
}

// flow returns what the output keeps of the connection in a slot, until forget.
func (o *output) flow(slot uint32) *outputFlow {
	for int(slot) >= len(o.flows) {
		o.flows = append(o.flows, nil)
	}
	f := o.flows[slot]
	if f == nil {
		source := o.pipeline.flows.flows[slot]
		f = &outputFlow{source: source}
		f.Endpoint = source.Endpoint
		// A log that goes on has the opening from before.
		f.opened = source.repeated && o.packets == nil
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
		o.packets.inPlace = s.sizes.InPlace
		o.files = s.segments
	case FormatHexMeta:
		o.encoder, o.files = hexlog.NewMetaEncoder(), s.store.flowLog
	default:
		o.encoder, o.files = hexlog.NewEncoder(), s.store.flowLog
	}
	o.destination = o.files
	return o
}

// progress returns how far a batch has got into the files, as a recovery reads it.
func (o *output) progress(b *buffer.Batch) *buffer.OutputState { return b.State().Output(o.index) }

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
	const packet = 256
	n := 2*logdir.MaxFields + 8*packet
	if e.Kind == buffer.KindData {
		n += len(e.Payload) + len(e.Payload)>>14*packet
	}
	return n
}

// write encodes a batch's entries and has them written, those that the destination
// does not have yet. It returns the parts of the batch that the destination did not
// accept, whose bytes are pending gaps then. The result is valid until the next call.
func (o *output) write(b *buffer.Batch) (rejected spans) {
	o.rejected = o.rejected[:0]
	from := 0
	if o.files != nil {
		phase, position := o.progress(b).Get()
		from = int(min(position.From, uint64(b.Len())))
		o.skip(b, from)
		if phase == buffer.PhaseDone {
			return nil
		}
	}
	tx, err := o.destination.Begin()
	if err != nil {
		o.reject(b, from, b.Len())
		return o.rejected
	}
	defer tx.End()
	w := newBatchWriter(o, tx, b, from)
	w.mark(buffer.PhaseBegun)
	if err := w.attempt(w.writeEntries); err != nil {
		o.abort(tx, err)
		o.reject(b, w.from, b.Len())
		return o.rejected
	}
	w.from = b.Len()
	w.mark(buffer.PhaseDone)
	return o.rejected
}

// skip says that the files have the entries of b before to already, which a killed
// process has written. So a log has the openings of their connections; a segment that
// is begun now needs its own.
func (o *output) skip(b *buffer.Batch, to int) {
	if o.packets != nil {
		return
	}
	var e buffer.Entry
	for at := 0; at < to; {
		next, ok := b.Entry(at, &e)
		if !ok {
			return
		}
		at = next
		o.flow(e.Slot).opened = true
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
		o.abort(tx, err)
	}
}

// reject makes pending gaps of the entries of b between those positions.
func (o *output) reject(b *buffer.Batch, from, to int) {
	if from >= to {
		return
	}
	o.rejected = append(o.rejected, span{from, to})
	var e buffer.Entry
	for at := from; at < to; {
		next, ok := b.Entry(at, &e)
		if !ok {
			return
		}
		at = next
		o.pending.add(o.flow(e.Slot), &e)
		if e.Kind == buffer.KindData && o.lose != nil {
			o.lose(len(e.Payload))
		}
	}
}

// abort gives up what has been put since the last commit.
func (o *output) abort(tx logdir.Transaction, err error) {
	tx.Abort(err)
	for _, f := range o.opening {
		f.opened = false
	}
	o.opening = o.opening[:0]
	if fault := o.pipeline.session.spool.Fault(err); fault != nil {
		panic(fault) // nothing more can be done with the batch: for worker.process
	}
}

// yield lets others run when n more bytes make the worker's slice too long.
func (o *output) yield(n int) {
	if o.since += n; o.since >= o.slice {
		o.since = 0
		runtime.Gosched()
	}
}

// errEncoder is an encoder's fault with one entry.
var errEncoder = errors.New("encoder failed")

// catchPanic is deferred around the encoding of f. It turns a panic into errEncoder.
func (o *output) catchPanic(f *outputFlow, err *error) {
	if r := recover(); r != nil {
		if fault := o.pipeline.session.spool.Fault(r); fault != nil {
			*err = fault
			return
		}
		*err = errEncoder
		o.pipeline.session.store.alert("encode", newPanicError("an encoder", fmt.Sprintf("%T in window %s: %v", o.encoder, f.Window, r)))
	}
}
