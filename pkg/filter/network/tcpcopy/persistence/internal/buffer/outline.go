package buffer

import (
	"runtime/debug"

	"mosn.io/tcpcopy/pkg/record"
)

// A reader that does not keep up, because the disk does not, would hold a retaining
// shard's batches until there is none for what is newer. So the oldest ones that it has
// not read yet become outlines: batches with the same entries, in which what was data is a
// gap. An outline is small, and lies on Go's heap. The reader finds it in the batch's place,
// so that what it has lost is counted and written as any other gap.

// maxOutlined is how many bytes of outlines a reader has before they become one. That one
// has a header and some gaps for each connection; of those that have ended, it has none
// that make it longer than half of this: they are counted, and no entry speaks of them.
const maxOutlined = 8 << 20

// Relieve makes outlines of the oldest batches that readers have not read, until enough
// batches are there that nobody needs. It is called when there is Pressure, by one
// goroutine at a time.
func (sh *Shard) Relieve() {
	for sh.relieveOnce() {
	}
}

// relieveOnce makes one outline. It reports whether there was one to make. The reader, which
// waits for it, goes on after a panic too.
func (sh *Shard) relieveOnce() bool {
	r, b, view := sh.chooseOutline()
	if b == nil {
		return false
	}
	var outline *Batch
	defer func() { sh.replace(r, b, outline) }()
	outline = sh.outline(r, view)
	return true
}

// chooseOutline returns a reader, a batch that is to become an outline for it, and a view of
// that; nil where there is enough room, or nothing to do. Until replace, the batch stays and
// the reader has no view.
func (sh *Shard) chooseOutline() (r *Reader, b, view *Batch) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.failed != nil || sh.spareLocked() >= reserve {
		return nil, nil, nil
	}
	for _, b := range sh.held[:len(sh.held)-1] {
		for _, r := range sh.readers {
			if r.starting || !r.needs(b) || r.held && r.view.number == b.number {
				continue
			}
			b.pinned, r.making = true, make(chan struct{})
			view := r.viewOf(b)
			return r, b, &view
		}
	}
	return nil, nil, nil
}

// outline returns the outline of a view of r's, nil where the shard has failed.
func (sh *Shard) outline(r *Reader, view *Batch) (outline *Batch) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			fault := sh.spool.Fault(p)
			if fault == nil {
				panic(p)
			}
			sh.Fail(fault)
		}
	}()
	o := newOutliner(r)
	o.add(view)
	return o.batch(view.Place(view.start), view.Place(view.n))
}

// replace has r find the outline o in the place of b.
func (sh *Shard) replace(r *Reader, b, o *Batch) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b.pinned = false
	if o != nil {
		r.addOutlineLocked(o)
	}
	close(r.making)
	r.making = nil
}

// addOutlineLocked adds an outline to those of r, or makes one of them all.
func (r *Reader) addOutlineLocked(o *Batch) {
	r.outlines = append(r.outlines, o)
	r.outlined += len(o.mem)
	r.joined = false
	limit := r.shard.outlineLimit
	if r.outlined <= limit {
		return
	}
	first := 0
	if r.held && r.view.first != 0 {
		first = 1 // it is being read
	}
	all := newOutliner(r)
	for _, o := range r.outlines[first:] {
		all.add(o)
		r.outlined -= len(o.mem)
	}
	if all.size > limit/2 {
		all.dropEnded()
		r.beside.Add(&all.dropped)
		r.besideFirst.Add(&all.droppedFirst)
	}
	merged := all.batch(r.outlines[first].from, o.to)
	r.outlined += len(merged.mem)
	clear(r.outlines[first:])
	r.outlines = append(r.outlines[:first], merged)
}

// Origin returns the place that a recovery goes on from when the entries before a position
// of a view are done. The entries of an outline are done together.
func (b *Batch) Origin(at int) Place {
	switch {
	case b.first == 0:
		return b.Place(at)
	case at >= b.n:
		return b.to
	default:
		return b.from
	}
}

// First returns what an outline stands for that the reader was the first to count.
func (b *Batch) First() *Tally { return b.firsts }

// IsOutline reports whether a view has gaps where the shard had data.
func (b *Batch) IsOutline() bool { return b.first != 0 }

// lostAs returns the reason for which an outline loses an entry.
func lostAs(e *Entry) record.Reason {
	if e.Kind == KindData {
		return record.ReasonBufferFull
	}
	return e.Reason
}
