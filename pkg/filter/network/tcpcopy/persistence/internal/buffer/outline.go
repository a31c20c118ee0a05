package buffer

import (
	"encoding/binary"
	"runtime/debug"

	"mosn.io/tcpcopy/pkg/record"
)

// A reader that does not keep up, because the disk does not, would hold a retaining
// shard's batches until there is none for what is newer. So the oldest ones that it has
// not read yet become outlines: batches with the same entries, in which what was data is a
// gap. An outline is small, and lies on Go's heap. The reader finds it in the batch's place,
// so that what it has lost is counted and written as any other gap.

// maxOutlined bounds the outlines of one reader, bytes. What is given up beyond that is
// counted, and no entry speaks of it.
const maxOutlined = 8 << 20

// Relieve makes outlines of the oldest batches that readers have not read, until enough
// batches are there that nobody needs. It is called when there is Pressure, by one
// goroutine at a time.
func (sh *Shard) Relieve() {
	for {
		r, b, view := sh.chooseOutline()
		if b == nil {
			return
		}
		sh.replace(r, b, view, outlineOf(view))
	}
}

// chooseOutline returns a reader, a batch that is to become an outline for it, and a view of
// that; nil where there is enough room, or nothing to do. The batch stays until replace.
func (sh *Shard) chooseOutline() (r *Reader, b, view *Batch) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	if sh.failed != nil || sh.spareLocked() >= reserve {
		return nil, nil, nil
	}
	for _, b := range sh.held[:len(sh.held)-1] {
		for _, r := range sh.readers {
			if !r.needs(b) || r.held && r.view.number == b.number {
				continue
			}
			view = &Batch{mem: b.mem, n: b.n, number: b.number, joined: r.joined, reader: r.state, seen: b.seen}
			if b.number == r.at.Batch {
				view.start = int(r.at.At)
				view.seen = b.seen.Minus(r.read)
			}
			b.pinned = true
			return r, b, view
		}
	}
	return nil, nil, nil
}

// replace has r find the outline o in the place of b, of whose view it is made, unless r
// has come to b meanwhile.
func (sh *Shard) replace(r *Reader, b, view, o *Batch) {
	sh.mu.Lock()
	defer sh.leave(debug.SetPanicOnFault(true))
	b.pinned = false
	if !r.needs(b) || r.held && r.view.number == b.number {
		return
	}
	if r.outlined+len(o.mem) > maxOutlined {
		for _, dir := range record.Directions() {
			// The reader's beginning is that much earlier: it has lost the rest.
			r.beside.unlose(dir, record.ReasonBufferFull, o.seen.Of(dir))
		}
		o = &Batch{number: b.number, reader: r.state, origin: view}
	}
	r.outlines = append(r.outlines, o)
	r.outlined += len(o.mem)
	r.joined = false
}

// nextOutlineLocked returns the reader's first outline as its view.
func (r *Reader) nextOutlineLocked() *Batch {
	o := r.outlines[0]
	r.outlines = r.outlines[1:]
	r.outlined -= len(o.mem)
	r.view.Batch, r.seen = *o, record.PerDirection{}
	r.held, r.joined = true, false
	r.views++
	return &r.view.Batch
}

// outlineOf returns the outline of a view.
func outlineOf(b *Batch) *Batch {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	o := &Batch{number: b.number, reader: b.reader, seen: b.seen, origin: b}
	type key struct {
		slot uint32
		dir  record.Direction
	}
	type gap struct {
		header Header
		length uint64
	}
	var entries []func(*Batch)
	size := 0
	gaps := map[key]*gap{}
	add := func(h Header, payload []byte) {
		size += eventSize(len(payload))
		entries = append(entries, func(o *Batch) {
			o.event(&h, len(payload), func(p []byte) { copy(p, payload) })
		})
	}
	var e Entry
	for at := 0; at < b.n; {
		next, ok := b.Entry(at, &e)
		if !ok {
			break
		}
		isNew := at >= b.start
		at = next
		k := key{e.Slot, e.Dir}
		switch e.Kind {
		case KindHeader:
			if isNew || b.joined {
				add(e.Header, append([]byte(nil), e.Payload...))
			}
		case KindClose:
			if isNew {
				add(e.Header, append([]byte(nil), e.Payload...))
			}
		case KindData, KindGap:
			if !isNew {
				continue
			}
			if g := gaps[k]; g != nil && (e.Kind == KindData || g.header.Reason == e.Reason) && g.header.Offset+g.length == e.Offset {
				g.length += e.Length()
				continue
			}
			g := &gap{header: e.Header, length: e.Length()}
			g.header.Kind = KindGap
			g.header.Flags = 0
			if e.Kind == KindData {
				g.header.Reason = record.ReasonBufferFull
			}
			gaps[k] = g
			size += eventSize(8)
			entries = append(entries, func(o *Batch) {
				o.event(&g.header, 8, func(p []byte) { binary.LittleEndian.PutUint64(p, g.length) })
			})
		}
	}
	o.mem = make([]byte, size)
	for _, put := range entries {
		put(o)
	}
	o.seen = b.seen // the events of gaps are not counted twice
	return o
}

// IsOutline reports whether b has gaps where the shard had data.
func (b *Batch) IsOutline() bool { return b.origin != nil }

// Origin returns the place that a recovery goes on from when the entries before a position
// of a view are done. The entries of an outline are done together.
func (b *Batch) Origin(at int) Place {
	switch {
	case b.origin == nil:
		return b.Place(at)
	case at >= b.n:
		return b.Place(b.origin.n)
	default:
		return b.Place(b.origin.start)
	}
}
