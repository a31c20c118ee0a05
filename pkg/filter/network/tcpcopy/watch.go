package tcpcopy

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

const (
	// watchQuiet is how long after the last event the file is read: editors and the
	// kubelet cause several at once.
	watchQuiet = 50 * time.Millisecond
	// watchPoll is how often the file is read without an event: not all file systems
	// report changes, and the folder may be created later.
	watchPoll = 500 * time.Millisecond
	// maxWatched bounds the file, bytes: two dump configurations are far shorter.
	maxWatched = 64 << 10
	// watchTimeout is how long the file may take to be read. After that it is reported, and
	// the reading goes on.
	watchTimeout = 5 * time.Second
	// watchStart is how long the start of the process waits for the first look.
	watchStart = 500 * time.Millisecond
)

// watch follows a file with the layers' dump configurations,
//
//	{"app": {…}, "global": {…}}
//
// and puts it into force at the start and at each change, whole or not at all. A
// file that is missing or bad changes nothing. It looks at the content and not at
// the file, so that it does not matter how the file is replaced: written in
// place, renamed over, or a Kubernetes ConfigMap whose symbolic links are swapped.
//
// The file may be anything at any time, also on a mount that does not answer: what
// touches it is in the file's Source.
type watch struct {
	recorder *recorder
	path     string
	file     *openfile.Source
	poll     time.Duration     // watchPoll but for tests
	timeout  time.Duration     // watchTimeout but for tests
	events   *fsnotify.Watcher // nil if the system has none

	stopOnce sync.Once
	stop     chan struct{} // closed by close, ends the goroutine
	looked   chan struct{} // closed by the goroutine after its first look
	done     chan struct{} // closed by the goroutine

	// Only the goroutine uses these.
	handled *string // the content, or error, that was handled last, put into force or refused
	suspect *string // the content, or error, that was bad at the last look: it may be half-written
	missing bool    // the log has a warning that the file is missing
	hangs   bool    // the log has an alert that the file does not answer

	mu     sync.Mutex // guards the rest
	status watchStatus
	hang   string // why nothing is known of the file now; "" when it answers
}

// watchStatus is the watched file's part of the status.
type watchStatus struct {
	Path  string     `json:"path"`
	Time  *time.Time `json:"time,omitempty"`  // of the last change that was handled
	Error string     `json:"error,omitempty"` // why it was refused; empty when it is in force
}

// startWatch follows the file in a goroutine until close. It returns when the file has
// been looked at for the first time, or after watchStart if the file does not answer.
func startWatch(r *recorder, path string, poll time.Duration) *watch {
	w := newWatch(r, path, poll)
	w.start()
	return w
}

// newWatch returns a watch that has not been started.
func newWatch(r *recorder, path string, poll time.Duration) *watch {
	w := &watch{
		recorder: r,
		path:     path,
		poll:     poll,
		timeout:  watchTimeout,
		stop:     make(chan struct{}),
		looked:   make(chan struct{}),
		done:     make(chan struct{}),
		status:   watchStatus{Path: path},
	}
	if events, err := fsnotify.NewWatcher(); err == nil {
		w.events = events
	}
	w.file = openfile.NewSource(path, w.read)
	return w
}

func (w *watch) start() {
	go w.follow()
	timer := time.NewTimer(watchStart)
	defer timer.Stop()
	select {
	case <-w.looked:
	case <-timer.C:
	}
}

// read reads the file for its Source.
func (w *watch) read() ([]byte, error) {
	if w.events != nil {
		// Events of the folder include renames and swapped links, those of the file do
		// not. Adding a folder again does nothing; adding one that does not exist fails.
		_ = w.events.Add(filepath.Dir(w.path))
	}
	return openfile.ReadFile(w.path, maxWatched)
}

// follow is the watch's goroutine.
func (w *watch) follow() {
	defer close(w.done)
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	var events <-chan fsnotify.Event
	var faults <-chan error
	if w.events != nil {
		// Closing waits for an Add under way, which waits for the file system.
		defer func() { go func() { _ = w.events.Close() }() }()
		events, faults = w.events.Events, w.events.Errors
	}
	w.look()
	close(w.looked)
	quiet := time.NewTimer(watchQuiet)
	defer quiet.Stop()
	for {
		select {
		case <-events:
			quiet.Reset(watchQuiet)
		case _, open := <-faults: // an overflow, for example: the next poll finds the change
			if !open {
				faults = nil
			}
		case <-quiet.C:
			w.look()
		case <-poll.C:
			w.look()
		case <-w.stop:
			return
		}
	}
}

// look reads the file, and handles its content if it has changed.
func (w *watch) look() {
	defer w.recorder.recoverPanic("following the watched file")
	text, err := w.file.Read(w.timeout, w.stop)
	if w.noAnswer(err) {
		return
	}
	if errors.Is(err, os.ErrNotExist) {
		if !w.missing {
			w.missing = true
			w.recorder.host.log.Warnf("watched file %s is missing, what is in force stays", w.path)
		}
		return
	}
	w.missing = false
	found := string(text)
	var layers map[model.Layer]model.DumpConfig
	if err != nil {
		found = faultOf(err)
	} else {
		layers, err = parseWatched(text)
	}
	switch {
	case w.handled != nil && *w.handled == found:
		w.suspect = nil
		return
	case err != nil && (w.suspect == nil || *w.suspect != found):
		w.suspect = &found // refused if it is still there at the next look
		return
	}
	w.handled, w.suspect = &found, nil
	w.handle(layers, err)
}

// noAnswer reports whether err says that the file has not answered. The first time in a
// row it alerts.
func (w *watch) noAnswer(err error) bool {
	var late *openfile.NoAnswerError
	hangs := errors.As(err, &late)
	select {
	case <-w.stop:
		return hangs // it has not been waited for
	default:
	}
	if hangs != w.hangs {
		w.hangs = hangs
		if hangs {
			w.recorder.host.log.Alertf(alertKey, "watched file: %v, what is in force stays", err)
		} else {
			w.recorder.host.log.Infof("watched file %s answers again", w.path)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hang = ""
	if hangs {
		w.hang = err.Error()
	}
	return hangs
}

// faultOf returns what an error of reading the file says, without what may differ at
// each look: a file that is too long may be growing. No file that is read has that text.
func faultOf(err error) string {
	var long *openfile.TooLargeError
	if errors.As(err, &long) {
		return "\x00too large"
	}
	return "\x00" + err.Error()
}

// handle puts the layers into force, or refuses them because of err.
func (w *watch) handle(layers map[model.Layer]model.DumpConfig, err error) {
	source := "watched file " + w.path
	if err == nil {
		err = w.recorder.setLayers(layers, source)
	} else {
		w.recorder.countRefusal()
		for _, layer := range []model.Layer{model.LayerApp, model.LayerGlobal} {
			w.recorder.controller.Refuse(layer, source, err)
		}
	}
	w.setStatus(err)
	if err != nil {
		w.recorder.host.log.Alertf(alertKey, "%s is refused, what is in force stays: %v", source, err)
		return
	}
	w.recorder.host.log.Infof("%s is in force", source)
}

// setStatus records a change that was handled, with its error.
func (w *watch) setStatus(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.status.Time, w.status.Error = &now, ""
	if err != nil {
		w.status.Error = err.Error()
	}
}

// report returns the status.
func (w *watch) report() watchStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	status := w.status
	if w.hang != "" {
		status.Error = w.hang
	}
	return status
}

// close ends the goroutine and waits for it. It is idempotent.
func (w *watch) close() {
	w.stopOnce.Do(func() { close(w.stop) })
	<-w.done
}

// parseWatched parses the watched file's text. The error names every fault.
func parseWatched(text []byte) (map[model.Layer]model.DumpConfig, error) {
	var errs []error
	b := newBlock("", text, &errs)
	layers := parseLayers(b)
	b.unknown()
	return layers, errors.Join(errs...)
}
