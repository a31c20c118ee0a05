package dump

import (
	"container/heap"
	"errors"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// Dump reads the records of one or more directories and files in order of time.
// The records of one connection keep the order in which they were written. It
// implements Reader. Except for Progress it belongs to one goroutine.
type Dump struct {
	options Options
	paths   []string // what Open was called with

	// Each sequence of files is in one of these, or has been read to its end.
	active  sequenceHeap    // that have a record
	pending []*fileSequence // not opened yet, by the earliest time of their records
	waiting []*fileSequence // at the end of what is there
	damaged *fileSequence   // nil, or the one that continues after the damage being reported

	last   *fileSequence   // whose record Next has returned, the first of active; nil when there is none
	damage []error         // to be reported before the next record
	sets   map[string]bool // segment sets that have a sequence, by directory and name
	serial int             // of the last sequence

	read  atomic.Int64 // bytes of files that have been read
	total atomic.Int64 // bytes of files that are to be read
}

var _ Reader = (*Dump)(nil)

// Next implements Reader.
func (d *Dump) Next() (*record.Record, error) {
	for {
		switch s := d.last; {
		case len(d.damage) > 0:
			err := d.damage[0]
			d.damage = d.damage[1:]
			return nil, err
		case s != nil:
			d.last = nil
			if d.advance(s) {
				if len(d.active) > 1 {
					heap.Fix(&d.active, 0)
				}
			} else {
				heap.Pop(&d.active)
			}
		case d.damaged != nil:
			s, d.damaged = d.damaged, nil
			d.activate(s)
		case len(d.pending) > 0 && (len(d.active) == 0 || !d.pending[0].begins.After(d.active[0].head.Time)):
			s, d.pending = d.pending[0], d.pending[1:]
			d.activate(s)
		case len(d.active) > 0:
			d.last = d.active[0]
			return d.last.head, nil
		case d.options.Wait == nil:
			return nil, io.EOF
		default:
			if err := d.wait(); err != nil {
				return nil, err
			}
		}
	}
}

// activate adds a sequence to the active ones, if it has a record.
func (d *Dump) activate(s *fileSequence) {
	if d.advance(s) {
		heap.Push(&d.active, s)
	}
}

// advance reads a sequence's next record. When there is none, it returns false and
// the sequence is waiting, damaged or at its end.
func (d *Dump) advance(s *fileSequence) bool {
	rec, err := s.next()
	if err == nil {
		s.head = rec
		return true
	}
	var damage *record.DamageError
	switch {
	case errors.Is(err, record.ErrNoMoreYet):
		d.waiting = append(d.waiting, s)
	case errors.Is(err, io.EOF):
		s.closeFile()
	case errors.As(err, &damage):
		d.damage = append(d.damage, err)
		d.damaged = s
	default:
		s.closeFile()
		d.damage = append(d.damage, err)
	}
	return false
}

// postpone adds a sequence to the pending ones: it is opened when its records may be
// the next ones.
func (d *Dump) postpone(s *fileSequence) {
	at, _ := slices.BinarySearchFunc(d.pending, s, func(a, b *fileSequence) int {
		if n := a.begins.Compare(b.begins); n != 0 {
			return n
		}
		return a.serial - b.serial
	})
	d.pending = slices.Insert(d.pending, at, s)
}

// wait waits for more to read and looks for new segment sets.
func (d *Dump) wait() error {
	if err := d.options.Wait(); err != nil {
		return err
	}
	waiting := d.waiting
	d.waiting = nil
	for _, s := range waiting {
		d.postpone(s)
	}
	for _, path := range d.paths {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			continue
		}
		found, err := layout.Scan(path)
		if err != nil {
			return err
		}
		d.addSegments(found)
	}
	return nil
}

// Close implements Reader.
func (d *Dump) Close() error {
	for _, sequences := range [][]*fileSequence{d.active, d.pending, d.waiting, {d.damaged}} {
		for _, s := range sequences {
			if s != nil {
				s.closeFile()
			}
		}
	}
	d.active, d.pending, d.waiting, d.last, d.damaged = nil, nil, nil, nil, nil
	d.options.Wait = nil
	return nil
}

// Progress returns how many bytes of files have been read, and how many there are.
// Standard input counts as nothing. It may be called from any goroutine.
func (d *Dump) Progress() (read, total int64) { return d.read.Load(), d.total.Load() }

// sequenceHeap orders sequences by the time of their records, and those with records
// of the same time by their serial numbers.
type sequenceHeap []*fileSequence

func (h sequenceHeap) Len() int { return len(h) }
func (h sequenceHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if n := a.head.Time.Compare(b.head.Time); n != 0 {
		return n < 0
	}
	return a.serial < b.serial
}
func (h sequenceHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *sequenceHeap) Push(x any)   { *h = append(*h, x.(*fileSequence)) }
func (h *sequenceHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}
