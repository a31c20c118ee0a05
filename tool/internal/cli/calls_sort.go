package cli

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/lanrat/extsort"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/query"
)

// sortKey is what calls are sorted by: the smallest Key first, and of equal ones the one
// that came first.
type sortKey struct {
	Key    int64
	N      uint64
	Offset int64 // of the row in the file of rows
	Length int64
}

func (a sortKey) compare(b sortKey) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.N, b.N))
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

// sortedCalls prints all calls in an order that is known at the end only. The rows are in
// a temporary file, their keys are sorted with others.
type sortedCalls struct {
	rows *callRows
	key  func(*calls.Call) (int64, bool)
	top  int // 0 means all
	n    uint64

	file   *os.File // has the rows; it has no name
	out    *offsetWriter
	sorter sorter
}

// sorter sorts keys. Its goroutines end when all keys were received from output, or with
// the context.
type sorter struct {
	ctx    context.Context
	input  chan sortKey
	output <-chan sortKey
	failed <-chan error
}

// sortedKeys is how many keys are sorted in memory at a time.
const sortedKeys = 200_000

func newSorter(ctx context.Context) sorter {
	s := sorter{ctx: ctx, input: make(chan sortKey, 1024)}
	sort, output, failed := extsort.Generic(s.input, decodeKey, encodeKey, sortKey.compare, &extsort.Config{ChunkSize: sortedKeys, NumWorkers: 1, TempFilesDir: os.TempDir()})
	s.output, s.failed = output, failed
	go sort.Sort(ctx)
	return s
}

func encodeKey(k sortKey) ([]byte, error) {
	return binary.Append(make([]byte, 0, 32), binary.BigEndian, k)
}

func decodeKey(b []byte) (k sortKey, err error) {
	_, err = binary.Decode(b, binary.BigEndian, &k)
	return k, err
}

func newSortedCalls(ctx context.Context, rows *callRows, key func(*calls.Call) (int64, bool), top int) (*sortedCalls, error) {
	f, err := os.CreateTemp("", "tcpcopyctl-sort-")
	if err != nil {
		return nil, fmt.Errorf("sort calls: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("sort calls: %w", err), f.Close())
	}
	return &sortedCalls{rows: rows, key: key, top: top, file: f, out: &offsetWriter{f: f}, sorter: newSorter(ctx)}, nil
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
			return sortError(err)
		}
	}
	key.Offset, key.Length = s.out.offset, int64(len(data))
	if _, err := s.out.Write(data); err != nil {
		return sortError(err)
	}
	select {
	case s.sorter.input <- key:
		return nil
	case err := <-s.sorter.failed:
		return sortError(err)
	case <-s.sorter.ctx.Done():
		return s.sorter.ctx.Err()
	}
}

func sortError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sort calls: %w", err)
}

// end prints the rows.
func (s *sortedCalls) end() error {
	defer s.file.Close()
	close(s.sorter.input)
	failed := sortError(s.out.flush())
	printed := 0
	for key := range s.sorter.output {
		if failed != nil || s.top > 0 && printed == s.top {
			continue // the sorter ends when all keys are received
		}
		printed++
		failed = s.print(key)
	}
	if err := <-s.sorter.failed; failed == nil {
		failed = sortError(err)
	}
	return errors.Join(failed, s.rows.end())
}

// print prints the row of a key.
func (s *sortedCalls) print(key sortKey) error {
	data := make([]byte, key.Length)
	if _, err := s.file.ReadAt(data, key.Offset); err != nil {
		return sortError(err)
	}
	if s.rows.table == nil {
		return s.rows.put(callRow{json: data})
	}
	var stored []storedCell
	if err := json.Unmarshal(data, &stored); err != nil {
		return sortError(err)
	}
	cells := make([]cell, len(stored))
	for i, c := range stored {
		cells[i] = cell{text: c.Text, colour: c.Colour, at: c.At}
	}
	return s.rows.put(callRow{cells: cells})
}

// offsetWriter writes to a file in large pieces, and knows where it is.
type offsetWriter struct {
	f      io.Writer
	buf    []byte
	offset int64 // of the next byte
}

func (w *offsetWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	w.offset += int64(len(b))
	if len(w.buf) > 256<<10 {
		return len(b), w.flush()
	}
	return len(b), nil
}

func (w *offsetWriter) flush() error {
	_, err := w.f.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}
