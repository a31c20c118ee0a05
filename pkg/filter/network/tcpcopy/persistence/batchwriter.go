package persistence

import (
	"errors"
	"fmt"
	"runtime/debug"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// batchWriter is one transaction of an output: it encodes the entries of a batch,
// after the pending gaps.
type batchWriter struct {
	*output
	tx      logdir.Transaction
	file    logdir.FileTransaction // tx; nil for a live stream
	segment packetTransaction      // tx; nil for text

	batch  *buffer.Batch // nil where there are only pending gaps to write
	from   int           // position in the batch before which all entries are committed
	at     int           // position of the entry that is being encoded
	entry  buffer.Entry
	behind bool          // the worker has fallen behind, now or in the last second
	early  []int         // positions of entries from at on that were encoded before their turn, ascending
	filled []*outputFlow // whose pending gaps have been put and not committed

	started logdir.Started // what start has started; nil before, and for a live stream
	inode   uint64         // of the file
	size    uint64         // of the file without what start has started, bytes
	fault   error          // of written
}

func newBatchWriter(o *output, tx logdir.Transaction, b *buffer.Batch, from int) *batchWriter {
	w := &batchWriter{output: o, tx: tx, batch: b, from: from, at: from}
	w.file, _ = tx.(logdir.FileTransaction)
	w.segment, _ = tx.(packetTransaction)
	w.behind = o.fallsBehind(o.pipeline.behind())
	return w
}

// attempt calls f. A fault of ours must not end the process: a panic is f's error.
func (w *batchWriter) attempt(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if fault := w.pipeline.session.spool().Fault(r); fault != nil {
				err = fault
				return
			}
			err = newPanicError("writing a batch", fmt.Sprintf("%T in window %s: %v", w.destination, w.pipeline.session.window.ID, r))
		}
	}()
	return f()
}

// mark stores for a recovery how far the batch has got: the entries from w.from on are
// not in the file as it was at the last commit.
func (w *batchWriter) mark() {
	if w.batch == nil || w.files == nil {
		return
	}
	inode, size := w.file.Position()
	w.batch.Mark(w.index, buffer.PhaseBegun, w.from, inode, size)
	w.pipeline.source.save()
}

// writeEntries encodes the batch's entries from w.from on and has them written; see
// finish. When it fails, the entries before w.from are committed and the others are not.
func (w *batchWriter) writeEntries() error {
	if err := w.writePending(); err != nil {
		return err
	}
	if err := w.writeEarly(); err != nil {
		return err
	}
	selected := w.pipeline.flows.selected
	for s, ok := selected.find(w.from, w.batch.Len()); ok; {
		next, _ := w.batch.Entry(s.from, &w.entry)
		w.at = s.from
		if len(w.early) > 0 && w.early[0] == w.at {
			w.early = w.early[1:]
		} else if err := w.writeSelected(s, next); err != nil {
			return err
		}
		s, ok = selected.find(next, w.batch.Len())
	}
	return w.start()
}

// start has what has been put written. finish waits for it.
func (w *batchWriter) start() (err error) {
	if w.file == nil {
		return w.commit()
	}
	w.inode, w.size = w.file.Position() // of no use behind the batch
	w.started, err = w.file.Start(w.written)
	return err
}

// written marks that the file has the batch, unless err says why it has not. It is called
// in the order in which batches are in the file, whoever has started them: what a recovery
// finds done is not behind anything that it cuts off.
func (w *batchWriter) written(err error) {
	if err != nil {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	w.fault = w.attempt(func() error {
		w.batch.Mark(w.index, buffer.PhaseDone, w.batch.Len(), w.inode, w.size)
		w.pipeline.source.save()
		return nil
	})
}

// finish waits until the file has what start has started. After an error it has only the
// entries before w.from.
func (w *batchWriter) finish() error {
	if w.started == nil {
		return nil
	}
	if err := w.started.Wait(); err != nil {
		w.aborted(err)
		return err
	}
	w.committed()
	if w.fault != nil { // the file has it, and nobody will know
		w.aborted(w.fault)
	}
	return w.fault
}

// writeEarly encodes the entries that are no data and come before their connection's
// first data in the batch, all before the data: what is written from where it lies is cut
// at each block that does not lie there. It does so where the worker has fallen behind, when
// many connections have a gap. Otherwise the entries of a batch are in the file in the
// order of time.
func (w *batchWriter) writeEarly() error {
	if !w.behind || w.packets == nil || !w.packets.inPlace || !w.tx.(*logdir.SegmentTransaction).Fits(earlyRoom*w.pipeline.session.sizes.Batch) {
		return nil
	}
	w.batches++
	selected := w.pipeline.flows.selected
	for s, ok := selected.find(w.from, w.batch.Len()); ok; {
		if s.lost != record.ReasonNone {
			break // what follows it is committed after its gap
		}
		at := s.from
		next, _ := w.batch.Entry(at, &w.entry)
		if f := w.flow(w.entry.Slot); w.entry.Kind == buffer.KindData {
			f.dataIn = w.batches
		} else if f.dataIn != w.batches {
			err := w.writeEntry(&w.entry)
			switch {
			case errors.Is(err, errEncoder):
				f.dataIn = w.batches // nothing of it is encoded before its turn any more
			case err != nil:
				return err
			default:
				w.early = append(w.early, at)
			}
		}
		s, ok = selected.find(next, w.batch.Len())
	}
	return nil
}

// earlyRoom is how many times the size of a batch a segment must have room for, so that
// what is encoded of a batch fits: entries that are no data become longer.
const earlyRoom = 8

// errEarly says that a batch cannot be committed before its end, because entries behind it
// are encoded already.
var errEarly = errors.New("entries were encoded before their turn")

// writeSelected encodes what the session keeps of the entry at w.at, and makes a pending
// gap of the rest.
func (w *batchWriter) writeSelected(s span, next int) error {
	if s.lost == record.ReasonNone {
		return w.writeOrSkip(next)
	}
	lost := w.entry
	lost.Payload, lost.Offset = lost.Payload[s.keep:], lost.Offset+uint64(s.keep)
	if s.keep > 0 {
		w.entry.Payload, w.entry.Block, w.entry.Flags = w.entry.Payload[:s.keep], nil, w.entry.Flags&^buffer.FlagMore
		if err := w.writeOrSkip(next); err != nil || w.from == next {
			return err
		}
	}
	if len(lost.Payload) == 0 {
		return nil
	}
	f := w.flow(lost.Slot)
	if g := w.pending.flows[f]; g != nil && g.reason != s.lost { // a gap has one reason
		if err := w.writeBefore(); err != nil {
			return err
		}
	}
	w.pending.add(f, &lost, s.lost)
	return nil
}

// writeOrSkip encodes the entry at w.at, or makes a gap of it where the encoder fails.
func (w *batchWriter) writeOrSkip(next int) error {
	w.yield(len(w.entry.Payload), w.behind)
	err := w.writeAfterGap(&w.entry)
	if errors.Is(err, errEncoder) {
		return w.skipEntry(next)
	}
	return err
}

// writeAfterGap encodes one entry, after what its connection has lost in this batch.
func (w *batchWriter) writeAfterGap(e *buffer.Entry) error {
	if _, lost := w.pending.flows[w.flow(e.Slot)]; lost {
		if err := w.writeBefore(); err != nil {
			return err
		}
	}
	return w.writeEntry(e)
}

// writeBefore writes the pending gaps before the entry at w.at. What comes before that is
// committed then: it is not to be rejected any more.
func (w *batchWriter) writeBefore() error {
	if err := w.writePending(); err != nil {
		return err
	}
	w.from = w.at
	w.mark()
	return nil
}

// skipEntry makes a pending gap of the entry at w.at and writes it: the gap has its
// place before the flow's next record.
func (w *batchWriter) skipEntry(next int) error {
	if len(w.early) > 0 {
		return errEarly
	}
	if err := w.commit(); err != nil {
		return err
	}
	w.reject(w.batch, w.at, next)
	w.at, w.from = next, next
	w.mark()
	return w.writePending()
}

// writeEntry encodes one entry.
func (w *batchWriter) writeEntry(e *buffer.Entry) error {
	f := w.flow(e.Slot)
	if e.Kind == buffer.KindHeader && f.opened {
		return nil // there is nothing to put, and what has been put goes on
	}
	if framed, err := w.frameInPlace(f, e); framed || err != nil {
		return err
	}
	return w.encode(f, e.Time, w.bound(e), func(dst []byte) []byte {
		switch e.Kind {
		case buffer.KindData:
			return w.encoder.Data(dst, e.Time, &f.Flow, e.Dir, e.Offset, e.Payload)
		case buffer.KindGap:
			return w.encoder.Gap(dst, e.Time, &f.Flow, e.Dir, e.Offset, e.Length(), e.Reason)
		case buffer.KindClose:
			c := e.CloseEvent()
			return w.encoder.Close(dst, e.Time, &f.Flow, c.Reason, c.Totals)
		}
		return dst // a connection header is all in the opening
	})
}

// writePending encodes the pending gaps and close events, with openings where they
// are missing, and commits them.
func (w *batchWriter) writePending() error {
	if len(w.pending.flows) == 0 {
		return nil
	}
	t := w.pipeline.clock.Now()
	for f, g := range w.pending.flows {
		err := w.encode(f, t, boundPackets(&buffer.Entry{}), func(dst []byte) []byte {
			for _, dir := range record.Directions() {
				if n := g.length(dir); n > 0 {
					dst = w.encoder.Gap(dst, t, &f.Flow, dir, g.from.Of(dir), n, g.reason)
				}
			}
			if g.close != nil {
				dst = w.encoder.Close(dst, t, &f.Flow, g.close.Reason, g.close.Totals)
			}
			return dst
		})
		if err != nil && !errors.Is(err, errEncoder) {
			return err
		}
		w.filled = append(w.filled, f) // what cannot be encoded stays out of the file
	}
	return w.commit()
}

// encode puts what render appends for f, at most bound bytes, and f's opening before
// it where the destination does not have that.
func (w *batchWriter) encode(f *outputFlow, t int64, bound int, render func(dst []byte) []byte) (err error) {
	if err := w.openWithState(f, t); err != nil {
		return err
	}
	dst, err := w.prepare(bound)
	if err != nil {
		return err
	}
	defer w.catchPanic(f, &err)
	opening := !f.opened
	if opening {
		dst = w.open(dst, f, t)
	}
	w.tx.Put(render(dst))
	if opening {
		f.opened = true
		w.opening = append(w.opening, f)
	}
	return nil
}

// open appends the opening of f.
func (w *batchWriter) open(dst []byte, f *outputFlow, t int64) []byte {
	f.Next = f.source.next
	f.FromStart = f.source.fromStart() && w.pending.beginAt(f, f.Next)
	return w.encoder.Open(dst, t, &f.Flow)
}

// openWithState puts the opening of f, where it is missing and the state of the
// connection's decoder there is known: one entry alone may need all of the memory. A
// format without openings has no states either.
func (w *batchWriter) openWithState(f *outputFlow, t int64) (err error) {
	s := &f.source.resumed
	if f.opened || s.state == nil || s.at != f.source.next {
		return nil
	}
	bound := longestPackets(len(s.state) / 3 * 4)
	if bound > longestPackets(w.pipeline.session.sizes.Record) {
		return nil // there is never room for it
	}
	dst, err := w.prepare(bound)
	if err != nil {
		return err
	}
	defer w.catchPanic(f, &err)
	f.Checkpoint = s.state
	defer func() { f.Checkpoint = nil }()
	w.tx.Put(w.open(dst, f, t))
	f.opened = true
	w.opening = append(w.opening, f)
	return nil
}

// prepare returns memory for bound bytes, in another file where this one is full.
func (w *batchWriter) prepare(bound int) (dst []byte, err error) {
	dst, err = w.tx.Room(bound)
	for errors.Is(err, logdir.ErrFull) {
		if err := w.nextFile(); err != nil {
			return nil, err
		}
		dst, err = w.tx.Room(bound)
	}
	if err == nil && w.packets != nil {
		w.packets.follow(w.segment)
	}
	return dst, err
}

// nextFile ends the file, with all that has been put, and begins another one.
func (w *batchWriter) nextFile() error {
	if len(w.early) > 0 {
		return errEarly
	}
	if err := w.commit(); err != nil {
		return err
	}
	w.from = w.at
	w.mark()
	if err := w.file.Next(); err != nil {
		return err
	}
	w.mark()
	return nil
}

// commit has the destination keep what has been put.
func (w *batchWriter) commit() error {
	if err := w.tx.Commit(); err != nil {
		return err
	}
	w.committed()
	return nil
}

// committed says that the destination has what has been put.
func (w *batchWriter) committed() {
	w.opening = w.opening[:0]
	for _, f := range w.filled {
		w.pending.remove(f)
	}
	w.filled = w.filled[:0]
}
