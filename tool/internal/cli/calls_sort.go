package cli

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/query"
)

// sortKey is what calls are sorted by: the smallest Key first, and of equal ones the one
// that came first. A row may have parts behind it.
type sortKey struct {
	Key    int64
	N      uint64
	Part   uint64 // 0 for the row itself
	Offset int64  // of the row in the file of rows
	Length int64
}

func (a sortKey) compare(b sortKey) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.N, b.N), cmp.Compare(a.Part, b.Part))
}

// keyOf returns the key of the n-th call.
func keyOf(key func(*calls.Call) (int64, bool), c *calls.Call, n uint64) sortKey {
	k, ok := key(c)
	if !ok {
		k = math.MaxInt64
	}
	return sortKey{Key: k, N: n}
}

// topCalls prints the first calls of an order. It holds so many in memory.
type topCalls struct {
	rows *callRows
	key  func(*calls.Call) (int64, bool)
	top  int
	n    uint64
	best topHeap
}

// maxTop is how many calls topCalls may hold.
const maxTop = 10_000

type topRow struct {
	key sortKey
	row callRow
}

// topHeap has the last row of the order first.
type topHeap []topRow

func (h topHeap) Len() int           { return len(h) }
func (h topHeap) Less(i, k int) bool { return h[i].key.compare(h[k].key) > 0 }
func (h topHeap) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *topHeap) Push(r any)        { *h = append(*h, r.(topRow)) } //nolint:forcetypeassert // only topCalls pushes

func (h *topHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (t *topCalls) add(call *query.Call, c *calls.Call) error {
	key := keyOf(t.key, c, t.n)
	t.n++
	if len(t.best) == t.top && key.compare(t.best[0].key) > 0 {
		return nil
	}
	row := t.rows.row(call, c)
	row.json = slices.Clone(row.json)
	heap.Push(&t.best, topRow{key, row})
	if len(t.best) > t.top {
		heap.Pop(&t.best)
	}
	return nil
}

func (t *topCalls) end() error {
	slices.SortFunc(t.best, func(a, b topRow) int { return a.key.compare(b.key) })
	for i := range t.best {
		if err := t.rows.put(t.best[i].row); err != nil {
			return err
		}
	}
	return t.rows.end()
}

// sortedCalls prints all calls in an order that is known at the end only.
type sortedCalls struct {
	rows  *callRows
	key   func(*calls.Call) (int64, bool)
	top   int // 0 means all
	n     uint64
	store *rowStore
}

func newSortedCalls(ctx context.Context, rows *callRows, key func(*calls.Call) (int64, bool), top int) (*sortedCalls, error) {
	store, err := newRowStore(ctx, "sort calls")
	if err != nil {
		return nil, err
	}
	return &sortedCalls{rows: rows, key: key, top: top, store: store}, nil
}

// storedCell is a cell in the file of rows.
type storedCell struct {
	Text, Colour string
	At           time.Time
}

func (s *sortedCalls) add(call *query.Call, c *calls.Call) error {
	key := keyOf(s.key, c, s.n)
	s.n++
	row := s.rows.row(call, c)
	data := row.json
	if s.rows.table != nil {
		cells := make([]storedCell, len(row.cells))
		for i, c := range row.cells {
			cells[i] = storedCell{c.text, c.colour, c.at}
		}
		var err error
		if data, err = json.Marshal(cells); err != nil {
			return err
		}
	}
	return s.store.add(key, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// end prints the rows.
func (s *sortedCalls) end() error {
	printed := 0
	err := s.store.each(func(_ sortKey, row *io.SectionReader) error {
		if s.top > 0 && printed == s.top {
			return nil
		}
		printed++
		return s.print(row)
	})
	return errors.Join(err, s.rows.end())
}

// print prints a row of the store.
func (s *sortedCalls) print(row *io.SectionReader) error {
	data := make([]byte, row.Size())
	if _, err := io.ReadFull(row, data); err != nil {
		return err
	}
	if s.rows.table == nil {
		return s.rows.put(callRow{json: data})
	}
	var stored []storedCell
	if err := json.Unmarshal(data, &stored); err != nil {
		return err
	}
	cells := make([]cell, len(stored))
	for i, c := range stored {
		cells[i] = cell{text: c.Text, colour: c.Colour, at: c.At}
	}
	return s.rows.put(callRow{cells: cells})
}
