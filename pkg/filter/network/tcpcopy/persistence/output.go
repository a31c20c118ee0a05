package persistence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// sink is a file, or a series of files, that takes batches of records from
// several workers. Between begin and end it belongs to one of them. What has been
// put is in the file after commit, entirely; when room or commit fails, abort
// makes the file end where it did at the last commit.
type sink interface {
	// begin fails, too, while it is not worth trying after a failure.
	begin() error
	// retry makes the next begin try even so.
	retry()
	// room returns memory to append up to n bytes to. full says that the file is
	// to be ended first: the caller commits and calls next.
	room(n int) (dst []byte, full bool, err error)
	// next begins another file. All is committed.
	next() error
	// place tells which file it is and how large at the last commit.
	place() (inode, size uint64)
	// put takes what has been appended to room's slice.
	put(dst []byte)
	commit() error
	abort(err error)
	end()
	// takeBack makes the file of that inode, if there is one, no longer than size:
	// a killed process has not committed what lies behind.
	// The file stays as it is when there is anything of another window.
	takeBack(inode, size uint64, window string) error
}

// output is one format of one worker: its encoder, the file, and what the file
// lacks since it failed.
type output struct {
	worker  *worker
	state   *outputState // of the batch that is being written; nil without one
	at      int          // position in it of the entry that is being encoded
	current entry        // that one
	turn    int          // bytes of payload that it encodes before others may run
	since   int          // bytes of payload since then
	index   int          // place among the worker's outputs
	encoder record.Encoder
	bound   func(e *entry) int // of what the encoder appends for e, opening included
	sink    sink
	lender  *segments       // the sink, where it takes blocks from the batches; nil elsewhere
	packets *pcapng.Encoder // the encoder, where there is a lender
	opening []*flow         // flows whose opening has been put and not committed
	// prepare is called before anything of a flow is encoded. It is false when it
	// has put something itself.
	prepare func(*flow) (ready bool, err error)

	// behind holds what the sink lacks of each flow since it has failed. It is
	// written as gaps once the sink takes records again.
	behind map[*flow]*deficit
	ended  int           // of them, how many have ended
	reason record.Reason // why the sink lacks it

	live      *Live // nil for files
	liveFlows map[*flow]*liveFlow
}

// maxEnded is how many connections that have ended a worker remembers while a
// sink fails. The log does not mention what the sink lacks of more; the accounts
// do.
const maxEnded = 1 << 14

// deficit is what a sink lacks of one flow.
type deficit struct {
	from, to [2]uint64 // offsets; nothing where they are equal
	end      *ending
}

// newOutput returns the output of one format.
func newOutput(w *worker, index int, format Format) *output {
	session := w.session
	o := &output{worker: w, index: index, behind: map[*flow]*deficit{}, reason: record.ReasonWriteError, turn: turnText}
	o.prepare = func(*flow) (bool, error) { return true, nil }
	switch format {
	case FormatPcapng:
		encoder := pcapng.NewEncoder(func(*record.Flow) uint32 { return uint32(w.current.iface) })
		segment := uint32(1)
		o.encoder, o.sink, o.bound, o.turn = encoder, session.segments, boundPackets, turnPackets
		if session.layout.placed {
			o.lender, o.packets = session.segments, encoder
		}
		o.prepare = func(f *flow) (bool, error) {
			for ; segment < session.segments.number; segment++ {
				encoder.NewSegment()
			}
			w.current = f
			return session.segments.describe(f)
		}
	case FormatHexMeta:
		o.encoder, o.sink, o.bound = hexlog.NewMetaEncoder(), session.store.flowLog, boundText
	default:
		o.encoder, o.sink, o.bound = hexlog.NewEncoder(), session.store.flowLog, boundText
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

// write encodes a batch's entries and has them written. What the sink does not
// take is noted as missed.
//
// The entries before from are in the sink already. b is nil for what is behind
// alone.
func (o *output) write(b *batch, from int) {
	o.state = nil
	if b == nil {
		b = &batch{}
	} else if o.live == nil {
		o.state = &b.state.outputs[o.index]
	}
	if o.sink.begin() != nil {
		o.miss(b, from, b.n)
		return
	}
	defer o.sink.end()
	o.note(phaseBegun, from)
	from, err := o.pour(b, from)
	if err != nil {
		o.abort(err)
		o.miss(b, from, b.n)
		return
	}
	o.note(phaseDone, b.n)
}

// note stores for a recovery how far the batch has got: the entries from the
// position from on are not in the file as it was at the last commit.
func (o *output) note(phase outputPhase, from int) {
	if o.state != nil {
		inode, size := o.sink.place()
		o.state.set(phase, filePlace{from: uint64(from), inode: inode, size: size})
	}
}

// pour encodes a batch's entries and commits them. When it fails, the entries
// before from are committed and the others are not.
func (o *output) pour(b *batch, start int) (from int, err error) {
	from = start
	defer func() {
		// A fault of ours must not end the process.
		if r := recover(); r != nil {
			err = fmt.Errorf("%T panicked in window %s: %v", o.sink, o.worker.session.window.ID, r)
		}
	}()
	o.at = from
	if err := o.catchUp(); err != nil {
		return from, err
	}
	for at := from; at < b.n; {
		next, ok := b.entry(at, &o.current)
		if !ok {
			break
		}
		o.at = at
		o.yield(len(o.current.payload))
		moved, err := o.entry(&o.current)
		if moved {
			from = at
		}
		if errors.Is(err, errEncoder) {
			// The gap has its place before the flow's next record.
			if err = o.commit(); err == nil {
				o.miss(b, at, next)
				o.at, from = next, next
				o.note(phaseBegun, from)
				err = o.catchUp()
			}
		}
		if err != nil {
			return from, err
		}
		at = next
	}
	return from, o.commit()
}

// A worker's turn, bytes of payload: about 30 microseconds of encoding. The proxy's
// goroutines wait for a processor meanwhile, and their clients with them.
const (
	turnText    = 32 << 10
	turnPackets = 256 << 10
)

// yield lets others run when n more bytes make the worker's turn too long.
func (o *output) yield(n int) {
	if o.since += n; o.since >= o.turn {
		o.since = 0
		runtime.Gosched()
	}
}

// commit has the sink keep what has been put.
func (o *output) commit() error {
	if err := o.sink.commit(); err != nil {
		return err
	}
	o.opening = o.opening[:0]
	return nil
}

// abort gives up what has been put since the last commit.
func (o *output) abort(err error) {
	o.sink.abort(err)
	for _, f := range o.opening {
		f.opened &^= 1 << o.index // only files fail
	}
	o.opening = o.opening[:0]
}

// errEncoder is an encoder's fault with one entry.
var errEncoder = errors.New("encoder failed")

// entry encodes one entry. When moved is true, what was encoded before is
// committed.
func (o *output) entry(e *entry) (moved bool, err error) {
	if lent, err := o.lend(e); lent || err != nil {
		return false, err
	}
	return o.encode(o.worker.flows[e.slot], e.time, o.bound(e), func(dst []byte, f *record.Flow) []byte {
		switch e.kind {
		case kindData:
			return o.encoder.Data(dst, e.time, f, e.dir, e.offset, e.payload)
		case kindGap:
			return o.encoder.Gap(dst, e.time, f, e.dir, e.offset, binary.LittleEndian.Uint64(e.payload), e.reason)
		case kindClose:
			end := readEnding(e)
			return o.encoder.Close(dst, e.time, f, end.reason, record.PerDirection{In: end.totals.In, Out: end.totals.Out})
		}
		return dst // an intro is all in the opening
	})
}

// lend completes the block of e where it lies and has the sink take it from there.
// It is false when e has to be encoded.
func (o *output) lend(e *entry) (lent bool, err error) {
	f := o.worker.flows[e.slot]
	if o.lender == nil || e.kind != kindData || f.opened&(1<<o.index) == 0 || !o.lender.takes(f, e.block) {
		return false, nil
	}
	defer o.caught(f, &err)
	if !o.packets.FrameInPlace(e.block, e.time, &f.Flow, e.dir, e.offset, len(e.payload), e.sum, e.flags&flagMore != 0) {
		return false, nil
	}
	return true, o.lender.lend(e.block)
}

// caught keeps a fault of ours, of encoding f, from ending the worker.
func (o *output) caught(f *flow, err *error) {
	if r := recover(); r != nil {
		*err = errEncoder
		o.worker.session.store.alert("encode", fmt.Errorf("%T panicked in window %s: %v", o.encoder, f.Window, r))
	}
}

// encode has the sink take what render appends for f, at most bound bytes, and
// f's opening before it where the sink does not have that.
func (o *output) encode(f *flow, t int64, bound int, render func(dst []byte, f *record.Flow) []byte) (moved bool, err error) {
	var dst []byte
	for ready := false; !ready; {
		var full bool
		if dst, full, err = o.sink.room(bound); err != nil {
			return moved, err
		}
		if full {
			if err := o.commit(); err != nil {
				return moved, err
			}
			moved = true
			o.note(phaseBegun, o.at)
			if err := o.sink.next(); err != nil {
				return moved, err
			}
			o.note(phaseBegun, o.at)
			continue
		}
		if ready, err = o.prepare(f); err != nil {
			return moved, err
		}
	}
	defer o.caught(f, &err)
	view, opened := o.view(f)
	if !opened {
		dst = o.encoder.Open(dst, t, view)
	}
	o.sink.put(render(dst, view))
	if !opened {
		o.setOpened(f)
		o.opening = append(o.opening, f)
	}
	return moved, nil
}

// view returns f as the output sees it, and whether the output has its opening.
func (o *output) view(f *flow) (view *record.Flow, opened bool) {
	if o.live != nil {
		v := o.liveFlow(f)
		return &v.Flow, v.opened
	}
	return &f.Flow, f.opened&(1<<o.index) != 0
}

func (o *output) setOpened(f *flow) {
	if o.live != nil {
		o.liveFlow(f).opened = true
		return
	}
	f.opened |= 1 << o.index
}

func readEnding(e *entry) *ending {
	return &ending{
		reason: record.CloseReason(e.payload[16:]),
		totals: record.PerDirection{In: binary.LittleEndian.Uint64(e.payload), Out: binary.LittleEndian.Uint64(e.payload[8:])},
	}
}

// miss notes that the sink lacks the entries of b between those positions.
func (o *output) miss(b *batch, from, to int) {
	if from == to {
		return
	}
	if o.live == nil {
		o.worker.missed = append(o.worker.missed, span{from, to})
	}
	var e entry
	for at := from; at < to; {
		next, ok := b.entry(at, &e)
		if !ok {
			return
		}
		at = next
		f := o.worker.flows[e.slot]
		if e.kind == kindClose {
			if o.ended++; o.ended > maxEnded {
				delete(o.behind, f)
				continue
			}
		}
		d := o.behind[f]
		if d == nil {
			d = &deficit{}
			o.behind[f] = d
		}
		switch e.kind {
		case kindData:
			d.extend(e.dir, e.offset, uint64(len(e.payload)))
			if o.live != nil {
				o.live.miss(len(e.payload))
			}
		case kindGap:
			d.extend(e.dir, e.offset, binary.LittleEndian.Uint64(e.payload))
		case kindClose:
			d.end = readEnding(&e)
		}
	}
}

func (d *deficit) extend(dir record.Direction, offset, n uint64) {
	if d.from[dir] == d.to[dir] {
		d.from[dir] = offset
	}
	d.to[dir] = offset + n
}

// catchUp puts what the sink lacks since it has failed, openings, gaps and ends,
// and commits it.
func (o *output) catchUp() error {
	if len(o.behind) == 0 {
		return nil
	}
	t := o.worker.clock.now()
	var put []*flow // and not yet committed
	settle := func() {
		for _, f := range put {
			if o.behind[f].end != nil {
				delete(o.liveFlows, f)
			}
			delete(o.behind, f)
		}
		put = put[:0]
	}
	for f, d := range o.behind {
		moved, err := o.encode(f, t, boundPackets(&entry{}), func(dst []byte, f *record.Flow) []byte {
			for _, dir := range []record.Direction{record.In, record.Out} {
				if n := d.to[dir] - d.from[dir]; n > 0 {
					dst = o.encoder.Gap(dst, t, f, dir, d.from[dir], n, o.reason)
				}
			}
			if d.end != nil {
				dst = o.encoder.Close(dst, t, f, d.end.reason, record.PerDirection{In: d.end.totals.In, Out: d.end.totals.Out})
			}
			return dst
		})
		if moved {
			settle()
		}
		if err != nil && !errors.Is(err, errEncoder) {
			return err
		}
		put = append(put, f) // what cannot be encoded stays out of the file
	}
	if err := o.commit(); err != nil {
		return err
	}
	settle()
	o.ended = 0
	return nil
}

// finish makes a last try to write what the sink lacks.
func (o *output) finish() {
	if len(o.behind) > 0 {
		o.write(nil, 0)
	}
}
