package blockfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// slowWriter is a writer whose writes are done when the test says so.
type slowWriter struct {
	mu      sync.Mutex
	waiting []func() written
	over    []written
}

func (w *slowWriter) write(fd uintptr, parts [][]byte, offset int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, func() (r written) {
		r.n, r.err = writeOnce(fd, parts, offset)
		return r
	})
	return true
}

func (w *slowWriter) result() (r written, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.over) == 0 {
		return written{}, false
	}
	r = w.over[0]
	w.over = w.over[1:]
	return r, true
}

// next carries out the oldest write, or has it fail with err.
func (w *slowWriter) next(t *testing.T, err error) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		t.Fatal("no write is under way")
	}
	r := written{err: err}
	if err == nil {
		r = w.waiting[0]()
	}
	w.waiting, w.over = w.waiting[1:], append(w.over, r)
}

// newSlowFile returns a File that a slowWriter writes, and its content so far.
func newSlowFile(t *testing.T) (f *File, w *slowWriter, path string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	f, err = Open(file, pages(t, 4<<20), Options{Longest: 1 << 20, MinPadding: 12, Padding: func(dst []byte, n int) []byte {
		return append(dst, bytes.Repeat([]byte{paddingByte}, n)...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	w = &slowWriter{}
	f.queue.writer = w
	f.queue.refused = true // tmpfs, too
	return f, w, file.Name()
}

// putAndStart puts n bytes and starts them. What becomes of them is added to outcomes.
func putAndStart(t *testing.T, f *File, b byte, n int, outcomes *[]error) *Started {
	t.Helper()
	dst, err := f.Room(n)
	if err != nil {
		t.Fatal(err)
	}
	f.Put(append(dst, bytes.Repeat([]byte{b}, n)...))
	s, err := f.Start(func(err error) { *outcomes = append(*outcomes, err) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// occupy has the queue not be idle: what is small would be written at once.
func occupy(f *File) { f.queue.add(item{parts: [][]byte{{'x'}}, offset: 0}) }

func TestCommitsAreDoneInOrder(t *testing.T) {
	f, w, path := newSlowFile(t)
	occupy(f)
	var outcomes []error
	first := putAndStart(t, f, 'a', 5000, &outcomes)
	second := putAndStart(t, f, 'b', 7000, &outcomes)
	waited := make(chan error)
	go func() { waited <- second.Wait() }() // ends with the second write
	if len(outcomes) > 0 || f.Committed() > 0 || f.Started() != 12000 {
		t.Errorf("before the disk: %v, %d committed, %d started", outcomes, f.Committed(), f.Started())
	}
	w.next(t, nil) // occupy's
	w.next(t, nil)
	if err := first.Wait(); err != nil || f.Committed() != 5000 {
		t.Errorf("the first: %v, %d bytes are committed", err, f.Committed())
	}
	w.next(t, nil)
	if err := <-waited; err != nil || !slices.Equal(outcomes, []error{nil, nil}) || f.Committed() != 12000 {
		t.Errorf("the second: %v, outcomes %v, %d bytes are committed", err, outcomes, f.Committed())
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, append(bytes.Repeat([]byte{'a'}, 5000), bytes.Repeat([]byte{'b'}, 7000)...)) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
}

// After a failure nothing that follows is written or committed, and the file ends as it was.
func TestAFailedWriteFailsAllThatFollow(t *testing.T) {
	f, w, path := newSlowFile(t)
	occupy(f)
	var outcomes []error
	first := putAndStart(t, f, 'a', 5000, &outcomes)
	second := putAndStart(t, f, 'b', 7000, &outcomes)
	third := putAndStart(t, f, 'c', 9000, &outcomes)
	w.next(t, nil)
	w.next(t, nil)
	w.next(t, unix.EIO)
	w.next(t, nil) // under way already
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	for _, s := range []*Started{second, third} {
		if err := s.Wait(); !errors.Is(err, unix.EIO) {
			t.Errorf("after a failure: %v", err)
		}
	}
	if !errors.Is(f.Failed(), unix.EIO) || len(outcomes) != 3 || outcomes[0] != nil || outcomes[1] == nil || outcomes[2] == nil {
		t.Errorf("failed with %v, outcomes %v", f.Failed(), outcomes)
	}
	if err := f.Rollback(); err != nil || f.Failed() != nil || f.Committed() != 5000 {
		t.Errorf("rolled back: %v, then %v, %d bytes", err, f.Failed(), f.Committed())
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{'a'}, 5000)) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	// It can be used again.
	again := putAndStart(t, f, 'd', 100, &outcomes)
	if err := again.Wait(); err != nil || f.Committed() != 5100 {
		t.Errorf("afterwards: %v, %d bytes", err, f.Committed())
	}
}

// A write that the system cuts short is completed.
func TestAShortWriteIsCompleted(t *testing.T) {
	f, w, path := newSlowFile(t)
	occupy(f)
	var outcomes []error
	s := putAndStart(t, f, 'a', 5000, &outcomes)
	w.next(t, nil)
	w.mu.Lock()
	whole := w.waiting[0]
	w.waiting[0] = func() written {
		r := whole()
		r.n -= 1234
		if err := os.Truncate(path, int64(r.n)); err != nil {
			t.Error(err)
		}
		return r
	}
	w.mu.Unlock()
	w.next(t, nil)
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{'a'}, 5000)) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
}
