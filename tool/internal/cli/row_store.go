package cli

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/lanrat/extsort"
)

// rowStore keeps rows and returns them in the order of their keys, which is known at the end
// only. The rows are in a temporary file, their keys are sorted with others.
type rowStore struct {
	what   string   // what errors begin with
	file   *os.File // has the rows; it has no name
	out    *offsetWriter
	sorter sorter
}

// newRowStore returns a store. each frees it, or the end of ctx does.
func newRowStore(ctx context.Context, what string) (*rowStore, error) {
	f, err := os.CreateTemp("", "tcpcopyctl-sort-")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // nothing is in it
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return &rowStore{what: what, file: f, out: &offsetWriter{f: f}, sorter: newSorter(ctx)}, nil
}

func (s *rowStore) error(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", s.what, err)
}

// add adds the row that write writes. Offset and Length of the key are the store's to set.
func (s *rowStore) add(key sortKey, write func(io.Writer) error) error {
	key.Offset = s.out.offset
	if err := write(s.out); err != nil {
		return s.error(err)
	}
	key.Length = s.out.offset - key.Offset
	select {
	case s.sorter.input <- key:
		return nil
	case err := <-s.sorter.failed:
		return s.error(err)
	case <-s.sorter.ctx.Done():
		return s.sorter.ctx.Err()
	}
}

// each calls f with every row, in order, and frees the store. It returns the first error.
func (s *rowStore) each(f func(sortKey, *io.SectionReader) error) error {
	defer s.file.Close()
	close(s.sorter.input)
	failed := s.error(s.out.flush())
	for key := range s.sorter.output {
		if failed == nil { // the sorter ends when all keys are received
			failed = f(key, io.NewSectionReader(s.file, key.Offset, key.Length))
		}
	}
	if err := <-s.sorter.failed; failed == nil {
		failed = s.error(err)
	}
	return failed
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
const sortedKeys = 100_000

func newSorter(ctx context.Context) sorter {
	s := sorter{ctx: ctx, input: make(chan sortKey, 1024)}
	sort, output, failed := extsort.Generic(s.input, decodeKey, encodeKey, sortKey.compare, &extsort.Config{ChunkSize: sortedKeys, NumWorkers: 1, TempFilesDir: os.TempDir()})
	s.output, s.failed = output, failed
	go sort.Sort(ctx)
	return s
}

func encodeKey(k sortKey) ([]byte, error) {
	return binary.Append(make([]byte, 0, 40), binary.BigEndian, k)
}

func decodeKey(b []byte) (k sortKey, err error) {
	_, err = binary.Decode(b, binary.BigEndian, &k)
	return k, err
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
