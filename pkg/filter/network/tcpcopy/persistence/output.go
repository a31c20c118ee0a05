package persistence

import (
	"encoding/binary"
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// sink is a file, or a series of files, that takes whole chunks.
type sink interface {
	// ready tells whether it is worth trying: false for a while after a failure.
	ready() bool
	// append writes all of chunk, or leaves the file as it was and says why. It
	// does not keep chunk.
	append(chunk []byte) error
}

// output is one format of one worker: its encoder, the file, and what the file
// lacks since it failed.
type output struct {
	worker  *worker
	index   int // place among the worker's outputs
	encoder dump.Encoder
	bound   func(e *entry) int // of what the encoder appends for e, opening included
	sink    sink
	buf     []byte  // encoded and not yet appended; never grows
	limit   int     // bytes of buf after which it is appended
	opening []*flow // flows whose opening is in buf

	// behind holds what the sink lacks of each flow since it has failed. It is
	// written as gaps once the sink takes chunks again.
	behind map[*flow]*deficit
}

// deficit is what a sink lacks of one flow.
type deficit struct {
	from, to [2]uint64 // offsets; nothing where they are equal
	end      *ending
}

// newOutput returns the output of one format, which encodes into mem.
func newOutput(w *worker, index int, format Format, mem []byte) *output {
	store := w.session.store
	o := &output{worker: w, index: index, buf: mem[:0], limit: cap(mem), behind: map[*flow]*deficit{}}
	switch format {
	case FormatPcapng:
		segments := w.session.segments
		o.encoder = dump.NewPcapng(segments.interfaceOf)
		o.sink, o.bound = segments, boundPackets
	case FormatHexMeta:
		o.encoder, o.sink, o.bound = dump.NewHexMeta(), store.flowLog, boundText
	default:
		o.encoder, o.sink, o.bound = dump.NewHex(), store.flowLog, boundText
	}
	if size := store.config.Roll.Size; size > 0 {
		o.limit = int(min(int64(o.limit), size))
	}
	return o
}

// boundText bounds the lines of an entry: an opening and the entry's own.
func boundText(e *entry) int {
	n := 2 * lineRoom
	if e.kind == kindData {
		n += 3 * len(e.payload)
	}
	return n
}

// boundPackets bounds the blocks of an entry: an opening, and packets that each
// hold 16 KiB at least.
func boundPackets(e *entry) int {
	const packet = 256
	n := 2*lineRoom + 8*packet
	if e.kind == kindData {
		n += len(e.payload) + len(e.payload)>>14*packet
	}
	return n
}

// write encodes a batch's entries and appends them to the sink.
func (o *output) write(mem []byte) {
	if !o.catchUp() {
		o.miss(mem, 0, len(mem))
		return
	}
	from := 0 // the first entry of the chunk in buf
	for at := 0; at < len(mem); {
		e, rest, ok := readEntry(mem[at:])
		if !ok {
			break
		}
		next := len(mem) - len(rest)
		if len(o.buf)+o.bound(&e) > o.limit {
			if !o.flush() {
				o.miss(mem, from, len(mem))
				return
			}
			from = at
		}
		if !o.encode(&e) {
			if !o.flush() {
				o.miss(mem, from, len(mem))
				return
			}
			o.miss(mem, at, next)
			from = next
		}
		at = next
	}
	if !o.flush() {
		o.miss(mem, from, len(mem))
	}
}

// flush appends what is encoded. When that fails, the sink has nothing of it.
func (o *output) flush() bool {
	if len(o.buf) == 0 {
		return true
	}
	err := o.sink.append(o.buf)
	o.buf = o.buf[:0]
	if err != nil {
		for _, f := range o.opening {
			f.opened &^= 1 << o.index
		}
	}
	o.opening = o.opening[:0]
	return err == nil
}

// encode appends e's text or blocks to buf. It is false, and buf as before, when
// the encoder panics: a fault of ours must not end the worker.
func (o *output) encode(e *entry) (ok bool) {
	n := len(o.buf)
	defer func() {
		if r := recover(); r != nil {
			o.buf = o.buf[:n]
			o.worker.session.store.alert("encode", fmt.Errorf("encoder of %s panicked: %v", o.worker.session.window.ID, r))
			ok = false
		}
	}()
	f := o.worker.flows[e.slot]
	o.open(f, e.time)
	switch e.kind {
	case kindData:
		o.buf = o.encoder.Data(o.buf, e.time, &f.Flow, e.dir, e.offset, e.payload)
	case kindGap:
		o.buf = o.encoder.Gap(o.buf, e.time, &f.Flow, e.dir, e.offset, binary.LittleEndian.Uint64(e.payload), e.reason)
	case kindClose:
		end := readEnding(e)
		o.buf = o.encoder.Close(o.buf, e.time, &f.Flow, end.reason, end.totals[model.In], end.totals[model.Out])
	}
	return true
}

func (o *output) open(f *flow, t int64) {
	if bit := uint8(1) << o.index; f.opened&bit == 0 {
		f.opened |= bit
		o.opening = append(o.opening, f)
		o.buf = o.encoder.Open(o.buf, t, &f.Flow)
	}
}

func readEnding(e *entry) *ending {
	return &ending{
		reason: string(e.payload[16:]),
		totals: [2]uint64{binary.LittleEndian.Uint64(e.payload), binary.LittleEndian.Uint64(e.payload[8:])},
	}
}

// miss notes that the sink lacks the entries that begin in mem[from:to].
func (o *output) miss(mem []byte, from, to int) {
	if from == to {
		return
	}
	o.worker.missed = append(o.worker.missed, span{from, to})
	for at := from; at < to; {
		e, rest, ok := readEntry(mem[at:])
		if !ok {
			return
		}
		at = len(mem) - len(rest)
		f := o.worker.flows[e.slot]
		d := o.behind[f]
		if d == nil {
			d = &deficit{}
			o.behind[f] = d
		}
		switch e.kind {
		case kindData:
			d.extend(e.dir, e.offset, uint64(len(e.payload)))
		case kindGap:
			d.extend(e.dir, e.offset, binary.LittleEndian.Uint64(e.payload))
		case kindClose:
			d.end = readEnding(&e)
		}
	}
}

func (d *deficit) extend(dir model.Direction, offset, n uint64) {
	if d.from[dir] == d.to[dir] {
		d.from[dir] = offset
	}
	d.to[dir] = offset + n
}

// catchUp tells whether the sink may be given more. After a failure it writes
// first what the sink lacks: openings, gaps and ends.
func (o *output) catchUp() bool {
	if !o.sink.ready() {
		return false
	}
	t := o.worker.session.clock()
	var done []*flow
	settle := func() bool {
		if !o.flush() {
			return false
		}
		for _, f := range done {
			delete(o.behind, f)
		}
		done = done[:0]
		return true
	}
	for f, d := range o.behind {
		if len(o.buf)+4*lineRoom > o.limit && !settle() {
			return false
		}
		o.open(f, t)
		for _, dir := range []model.Direction{model.In, model.Out} {
			if n := d.to[dir] - d.from[dir]; n > 0 {
				o.buf = o.encoder.Gap(o.buf, t, &f.Flow, dir, d.from[dir], n, model.ReasonWriteError)
			}
		}
		if d.end != nil {
			o.buf = o.encoder.Close(o.buf, t, &f.Flow, d.end.reason, d.end.totals[model.In], d.end.totals[model.Out])
		}
		done = append(done, f)
	}
	return settle()
}

// backoff spaces the tries of a sink that fails. It is guarded by the sink's lock.
type backoff struct {
	next time.Time
	wait time.Duration
}

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

func (b *backoff) ready(now time.Time) bool { return b.wait == 0 || !now.Before(b.next) }

// failed notes a failure and tells whether it is the first in a row.
func (b *backoff) failed(now time.Time) (first bool) {
	first = b.wait == 0
	b.wait = min(max(2*b.wait, firstRetry), lastRetry)
	b.next = now.Add(b.wait)
	return first
}

// worked notes a success and tells whether it ends a row of failures.
func (b *backoff) worked() (recovered bool) {
	recovered = b.wait > 0
	*b = backoff{}
	return recovered
}
