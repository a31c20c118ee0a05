package openfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hangingFile is a file whose reading waits for the test.
type hangingFile struct {
	readings atomic.Int64
	under    atomic.Int64 // readings under way
	most     atomic.Int64 // at a time
	answer   chan string
}

func (f *hangingFile) load() ([]byte, error) {
	f.readings.Add(1)
	if n := f.under.Add(1); n > f.most.Load() {
		f.most.Store(n)
	}
	defer f.under.Add(-1)
	return []byte(<-f.answer), nil
}

const (
	long = time.Minute      // longer than any test waits
	soon = time.Millisecond // for what does not come
)

// A file that does not answer costs one reading, however many want it.
func TestAHangingFileIsReadOnce(t *testing.T) {
	f := &hangingFile{answer: make(chan string)}
	s := NewSource("/the/file", f.load)
	if _, known, _ := s.Last(); known {
		t.Error("it knows something before the first reading")
	}
	var wg sync.WaitGroup
	for range 2000 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var late *NoAnswerError
			if _, err := s.Read(soon, nil); !errors.As(err, &late) || !strings.Contains(err.Error(), "/the/file has not answered for") {
				t.Errorf("%v", err)
			}
		}()
	}
	wg.Wait()
	if n := f.readings.Load(); n != 1 {
		t.Errorf("%d readings", n)
	}
	f.answer <- "first"
	// Those who came while it hung share the next one.
	f.answer <- "second"
	go func() { f.answer <- "third" }()
	if text, err := s.Read(long, nil); err != nil || string(text) != "third" && string(text) != "second" {
		t.Errorf("%q, %v", text, err)
	}
	if f.most.Load() != 1 {
		t.Errorf("%d readings at a time", f.most.Load())
	}
	select {
	case f.answer <- "unread":
	case <-time.After(soon):
	}
}

func TestTheLastAnswerIsKnownWhileAFileHangs(t *testing.T) {
	f := &hangingFile{answer: make(chan string, 1)}
	s := NewSource("/the/file", f.load)
	f.answer <- "good"
	if text, err := s.Read(long, nil); err != nil || string(text) != "good" {
		t.Fatalf("%q, %v", text, err)
	}
	if _, err := s.Read(soon, nil); err == nil {
		t.Error("a hanging file is read")
	}
	if text, known, err := s.Last(); string(text) != "good" || !known || err != nil {
		t.Errorf("%q, %v, %v", text, known, err)
	}
	stop := make(chan struct{})
	close(stop)
	if _, err := s.Read(long, stop); err == nil {
		t.Error("a reader that is stopped has an answer")
	}
	f.answer <- "other"
	f.answer <- "other"
	for text, _, _ := s.Last(); string(text) != "other"; text, _, _ = s.Last() {
		<-time.After(soon)
	}
}

// Whoever asks after a change sees it, also while others are reading.
func TestAReadingBeginsAfterTheCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	s := NewFileSource(path, 100)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = s.Read(long, nil)
				}
			}
		}()
	}
	for i := range 500 {
		want := fmt.Sprint("version ", i)
		if err := os.WriteFile(path+".new", []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if text, err := s.Read(long, nil); err != nil || string(text) != want {
			t.Fatalf("%q, %v, want %q", text, err, want)
		}
	}
	close(stop)
	wg.Wait()
}

func TestAPanicOfAReadingIsAnError(t *testing.T) {
	s := NewSource("/the/file", func() ([]byte, error) { panic("boom") })
	if _, err := s.Read(long, nil); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("%v", err)
	}
}
