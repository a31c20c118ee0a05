package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/lanrat/extsort"

	"mosn.io/tcpcopy/pkg/calls"
)

// sortedCalls prints rows in an order that is known at the end only. It keeps all but a
// bounded number of rows in temporary files.
type sortedCalls struct {
	rows *callRows
	key  func(*calls.Call) (int64, bool)
	top  int // 0 means all
	n    uint64

	input  chan sortedRow // to the sorter, which newSortedCalls starts and end waits for
	output <-chan sortedRow
	failed <-chan error
	ctx    context.Context
}

// sortedRow is a row with what it is sorted by.
type sortedRow struct {
	Key   int64
	N     uint64 // the order in which rows of the same key came
	Cells []sortedCell
	JSON  []byte
}

// sortedCell is a cell in a temporary file.
type sortedCell struct {
	Text, Colour string
	At           time.Time
}

// sortedRows is how many rows are sorted at a time.
const sortedRows = 20_000

func newSortedCalls(ctx context.Context, rows *callRows, key func(*calls.Call) (int64, bool), top int) *sortedCalls {
	s := &sortedCalls{rows: rows, key: key, top: top, input: make(chan sortedRow, 64), ctx: ctx}
	sorter, output, failed := extsort.Generic(s.input, decodeRow, encodeRow, func(a, b sortedRow) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.N, b.N))
	}, &extsort.Config{ChunkSize: sortedRows, NumWorkers: 1, TempFilesDir: os.TempDir()})
	s.output, s.failed = output, failed
	go sorter.Sort(ctx)
	return s
}

func encodeRow(r sortedRow) ([]byte, error) { return json.Marshal(&r) }

func decodeRow(b []byte) (r sortedRow, err error) {
	err = json.Unmarshal(b, &r)
	return r, err
}

func (s *sortedCalls) add(c *calls.Call) error {
	key, ok := s.key(c)
	if !ok {
		key = math.MaxInt64
	}
	row := s.rows.row(c)
	sorted := sortedRow{Key: key, N: s.n, JSON: bytes.Clone(row.json)}
	for _, cell := range row.cells {
		sorted.Cells = append(sorted.Cells, sortedCell{cell.text, cell.colour, cell.at})
	}
	s.n++
	select {
	case s.input <- sorted:
		return nil
	case err := <-s.failed:
		return sortError(err)
	case <-s.ctx.Done():
		return s.ctx.Err()
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
	close(s.input)
	printed := 0
	var failed error
	for row := range s.output {
		if failed != nil || s.top > 0 && printed == s.top {
			continue // the sorter ends when all rows are taken
		}
		printed++
		cells := make([]cell, 0, len(row.Cells))
		for _, c := range row.Cells {
			cells = append(cells, cell{text: c.Text, colour: c.Colour, at: c.At})
		}
		failed = s.rows.put(callRow{cells, row.JSON})
	}
	if err := <-s.failed; failed == nil {
		failed = sortError(err)
	}
	if err := s.rows.end(); failed == nil {
		failed = err
	}
	return failed
}
