package openfile

import (
	"fmt"
	"sync"
	"time"
)

// NoAnswerError says that a file could not be read in time, and that the reading goes on.
type NoAnswerError struct {
	Path  string
	Since time.Duration // how long it has been read
}

func (e *NoAnswerError) Error() string {
	return fmt.Sprintf("%s has not answered for %v", e.Path, e.Since.Round(100*time.Millisecond))
}

// Source reads a small file again and again, for callers that must not wait for its file
// system. At most one reading is under way, whatever the number of callers: callers share
// one, and a file that does not answer costs one goroutine and one thread of the system
// until it does. It is safe for concurrent use.
type Source struct {
	path string
	load func() ([]byte, error)

	mu      sync.Mutex // guards the rest
	running *reading   // nil when none is under way
	next    *reading   // begins when running ends; nil when nobody waits for it
	last    *reading   // the last one that has ended; nil before
}

// reading is one call of load. The fields but done are written before done is closed.
type reading struct {
	begun time.Time // zero before it begins; guarded by Source.mu
	done  chan struct{}
	text  []byte
	err   error
}

// NewSource returns a source of what load returns. path names the file in errors. load
// may take as long as it likes, and is called by one goroutine at a time. It returns text
// that is not changed any more.
func NewSource(path string, load func() ([]byte, error)) *Source {
	return &Source{path: path, load: load}
}

// NewFileSource returns a source of the regular file at path, of at most limit bytes,
// which may be a symbolic link.
func NewFileSource(path string, limit int64) *Source {
	return NewSource(path, func() ([]byte, error) { return ReadFile(path, limit) })
}

// Path returns the path of the file.
func (s *Source) Path() string { return s.path }

// Read returns the content of the file, as a reading finds it that begins not before
// the call. It waits for that no longer than timeout, and no longer than until stop is
// closed; stop may be nil. Then, and at once when a reading has been under way for that long
// already, the error is a *NoAnswerError. The caller does not change the text.
func (s *Source) Read(timeout time.Duration, stop <-chan struct{}) ([]byte, error) {
	r, since := s.join(timeout)
	if r == nil {
		return nil, &NoAnswerError{Path: s.path, Since: since}
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-r.done:
		return r.text, r.err
	case <-timer.C:
	case <-stop:
	}
	return nil, &NoAnswerError{Path: s.path, Since: s.runningFor()}
}

// Last returns what the last reading found that has ended. ok is false before the first.
func (s *Source) Last() (text []byte, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return nil, false, nil
	}
	return s.last.text, true, s.last.err
}

// join returns a reading that begins now or later, nil when the one under way has not
// answered for timeout or longer: since says for how long.
func (s *Source) join(timeout time.Duration) (r *reading, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = &reading{begun: time.Now(), done: make(chan struct{})}
		go s.run(s.running)
		return s.running, 0
	}
	if since = time.Since(s.running.begun); since >= timeout {
		return nil, since
	}
	if s.next == nil {
		s.next = &reading{done: make(chan struct{})}
	}
	return s.next, 0
}

func (s *Source) runningFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return 0
	}
	return time.Since(s.running.begun)
}

// run is the goroutine of the readings. It ends when nobody waits for another one.
func (s *Source) run(r *reading) {
	for r != nil {
		r.text, r.err = s.loadSafely()
		r = s.finish(r)
	}
}

// loadSafely calls load and returns a panic of it as its error.
func (s *Source) loadSafely() (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = nil, fmt.Errorf("read %s: panic: %v", s.path, p)
		}
	}()
	return s.load()
}

// finish ends a reading and returns the next one, nil when nobody waits for one.
func (s *Source) finish(r *reading) *reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = r
	s.running, s.next = s.next, nil
	if s.running != nil {
		s.running.begun = time.Now()
	}
	close(r.done)
	return s.running
}
