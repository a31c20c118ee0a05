package persistence

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

const (
	// maxUnindexed bounds the lines of the index that wait for being written, in bytes.
	maxUnindexed = 1 << 20
	// maxKeptSpools bounds the spools that are kept because the index does not have
	// their windows' lines.
	maxKeptSpools = 16
	// indexAgain is how often lines that wait are tried again.
	indexAgain = logdir.MaxWait
)

// unindexed are the lines of windows that the index does not have yet, because it could
// not be written. They are tried again with each new line, now and then, and when the
// store closes. The spools of the first ones are kept, so that the next start writes the
// lines of a process that cannot.
type unindexed struct {
	store *Store

	writing sync.Mutex // held while lines are written; locked before mu

	mu      sync.Mutex // guards the rest
	lines   []unindexedLine
	size    int // bytes of the lines
	kept    int // spools
	waiting *time.Timer
	closed  bool
}

// unindexedLine is the line of one window.
type unindexedLine struct {
	text      []byte
	recovered bool          // the spool that it was recovered from is kept elsewhere
	spool     *buffer.Spool // that is kept; nil when there is none
}

// add writes the line of a window, after those that wait, and reports whether it is in
// the index. If it is not, the window's spool may be kept: it is empty then. In a
// recovery spool is nil, and the caller keeps the one that there is.
func (u *unindexed) add(text []byte, spool *buffer.Spool) (written bool) {
	u.mu.Lock()
	full := u.size+len(text) > maxUnindexed
	if !full {
		u.lines = append(u.lines, unindexedLine{text: text, recovered: spool == nil})
		u.size += len(text)
	}
	u.mu.Unlock()
	if u.flush() && !full {
		return true
	}
	if full {
		u.store.noIndex.Add(1)
		u.store.alert("index", fmt.Errorf("the line of a window is lost: %d bytes of lines wait for being written already", maxUnindexed))
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if last := len(u.lines) - 1; last >= 0 && spool != nil && u.kept < maxKeptSpools {
		if kept := spool.Keep(); kept != nil {
			u.lines[last].spool = kept
			u.kept++
		}
	}
	return false
}

// flush writes the lines that wait, and reports whether none waits any more. Where it
// fails, it is tried again later.
func (u *unindexed) flush() bool {
	u.writing.Lock()
	defer u.writing.Unlock()
	u.mu.Lock()
	var all []byte
	n := len(u.lines)
	for _, l := range u.lines {
		all = append(all, l.text...)
	}
	u.mu.Unlock()
	if n == 0 {
		return true
	}
	err := u.store.dir.Index().Append(all)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.store.alert("index", err)
		if u.waiting == nil && !u.closed {
			u.waiting = time.AfterFunc(indexAgain, u.again)
		}
		return false
	}
	for _, l := range u.lines[:n] {
		if l.spool != nil {
			l.spool.Remove()
			u.kept--
		}
	}
	u.lines, u.size = u.lines[n:], u.size-len(all)
	return len(u.lines) == 0
}

// again is the timer's function, which close stops.
func (u *unindexed) again() {
	defer catchPanic(u.store.alert, "writing the index")
	u.mu.Lock()
	u.waiting = nil
	closed := u.closed
	u.mu.Unlock()
	if !closed {
		u.flush()
	}
}

// close makes a last try. What cannot be written is lost unless there is its spool, which
// is left for the next start. It is idempotent.
func (u *unindexed) close() {
	u.mu.Lock()
	again := u.closed
	u.closed = true
	if u.waiting != nil {
		u.waiting.Stop()
		u.waiting = nil
	}
	u.mu.Unlock()
	if again || u.flush() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	lost := 0
	for _, l := range u.lines {
		kept := l.recovered || l.spool != nil && l.spool.Whole()
		if l.spool != nil {
			l.spool.Leave()
		}
		if !kept {
			lost++
		}
	}
	u.lines = nil
	if lost > 0 {
		u.store.noIndex.Add(uint64(lost))
		u.store.alert("index", errors.New("lines of windows are lost, because the index could not be written before the end"))
	}
}
