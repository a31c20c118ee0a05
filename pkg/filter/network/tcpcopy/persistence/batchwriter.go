package persistence

import (
	"errors"
	"fmt"

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
	filled []*outputFlow // whose pending gaps have been put and not committed
}

func newBatchWriter(o *output, tx logdir.Transaction, b *buffer.Batch, from int) *batchWriter {
	w := &batchWriter{output: o, tx: tx, batch: b, from: from, at: from}
	w.file, _ = tx.(logdir.FileTransaction)
	w.segment, _ = tx.(packetTransaction)
	return w
}

// attempt calls f. A fault of ours must not end the process: a panic is f's error.
func (w *batchWriter) attempt(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if fault := w.pipeline.session.spool.Fault(r); fault != nil {
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
func (w *batchWriter) mark(phase buffer.Phase) {
	if w.batch == nil || w.files == nil {
		return
	}
	inode, size := w.file.Position()
	w.progress(w.batch).Set(phase, buffer.FilePosition{From: uint64(w.from), Inode: inode, Size: size})
	w.pipeline.source.save()
}

// writeEntries encodes the batch's entries from w.from on and commits them. When it
// fails, the entries before w.from are committed and the others are not.
func (w *batchWriter) writeEntries() error {
	if err := w.writePending(); err != nil {
		return err
	}
	for at := w.from; at < w.batch.Len(); {
		next, ok := w.batch.Entry(at, &w.entry)
		if !ok {
			break
		}
		w.at = at
		w.yield(len(w.entry.Payload))
		err := w.writeEntry(&w.entry)
		if errors.Is(err, errEncoder) {
			err = w.skipEntry(next)
		}
		if err != nil {
			return err
		}
		at = next
	}
	return w.commit()
}

// skipEntry makes a pending gap of the entry at w.at and writes it: the gap has its
// place before the flow's next record.
func (w *batchWriter) skipEntry(next int) error {
	if err := w.commit(); err != nil {
		return err
	}
	w.reject(w.batch, w.at, next)
	w.at, w.from = next, next
	w.mark(buffer.PhaseBegun)
	return w.writePending()
}

// writeEntry encodes one entry.
func (w *batchWriter) writeEntry(e *buffer.Entry) error {
	f := w.flow(e.Slot)
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
					dst = w.encoder.Gap(dst, t, &f.Flow, dir, g.from.Of(dir), n, w.reason)
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
	dst, err := w.prepare(bound)
	if err != nil {
		return err
	}
	defer w.catchPanic(f, &err)
	opening := !f.opened
	if opening {
		f.Next = f.source.next
		f.FromStart = f.source.fromStart() && w.pending.beginAt(f, f.Next)
		dst = w.encoder.Open(dst, t, &f.Flow)
	}
	w.tx.Put(render(dst))
	if opening {
		f.opened = true
		w.opening = append(w.opening, f)
	}
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
	if err := w.commit(); err != nil {
		return err
	}
	w.from = w.at
	w.mark(buffer.PhaseBegun)
	if err := w.file.Next(); err != nil {
		return err
	}
	w.mark(buffer.PhaseBegun)
	return nil
}

// commit has the destination keep what has been put.
func (w *batchWriter) commit() error {
	if err := w.tx.Commit(); err != nil {
		return err
	}
	w.opening = w.opening[:0]
	for _, f := range w.filled {
		w.pending.remove(f)
	}
	w.filled = w.filled[:0]
	return nil
}
