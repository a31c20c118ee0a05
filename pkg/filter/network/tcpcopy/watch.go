package tcpcopy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

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
)

// watch follows a file with the layers' dump configurations,
//
//	{"app": {…}, "global": {…}}
//
// and puts it into force at the start and at each change, whole or not at all. A
// file that is missing or bad changes nothing. It looks at the content and not at
// the file, so that it does not matter how the file is replaced: written in
// place, renamed over, or a Kubernetes ConfigMap whose symbolic links are swapped.
type watch struct {
	recorder *recorder
	path     string
	poll     time.Duration     // watchPoll but for tests
	events   *fsnotify.Watcher // nil if the system has none

	stopOnce sync.Once
	stop     chan struct{} // closed by close, ends the goroutine
	done     chan struct{} // closed by the goroutine

	// Only the goroutine uses these.
	handled *string // the content, or error, that was handled last, put into force or refused
	suspect *string // the content, or error, that was bad at the last look: it may be half-written
	missing bool    // the log has a warning that the file is missing

	mu     sync.Mutex // guards the rest
	status watchStatus
}

// watchStatus is the watched file's part of the status.
type watchStatus struct {
	Path  string     `json:"path"`
	Time  *time.Time `json:"time,omitempty"`  // of the last change that was handled
	Error string     `json:"error,omitempty"` // why it was refused; empty when it is in force
}

// startWatch puts the file into force and follows it in a goroutine until close.
func startWatch(r *recorder, path string, poll time.Duration) *watch {
	w := &watch{
		recorder: r,
		path:     path,
		poll:     poll,
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		status:   watchStatus{Path: path},
	}
	if events, err := fsnotify.NewWatcher(); err == nil {
		w.events = events
	}
	w.look()
	go w.follow()
	return w
}

// follow is the watch's goroutine.
func (w *watch) follow() {
	defer close(w.done)
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	var events <-chan fsnotify.Event
	var faults <-chan error
	if w.events != nil {
		defer func() { _ = w.events.Close() }() // nothing is written to it
		events, faults = w.events.Events, w.events.Errors
	}
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
	if w.events != nil {
		// Events of the folder include renames and swapped links, those of the file do
		// not. Adding a folder again does nothing; adding one that does not exist fails.
		_ = w.events.Add(filepath.Dir(w.path))
	}
	text, err := readSmall(w.path, maxWatched)
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
		found = err.Error()
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
	return w.status
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

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return text, err
}
