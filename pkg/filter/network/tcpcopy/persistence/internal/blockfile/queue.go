package blockfile

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A queue has the writes of a File carried out in their order. Whoever hands them on does
// not wait for the disk. While somebody waits for something, goroutines look now and then
// at what has become of the writes. A timer wakes them before all other goroutines that could
// run, which nothing does that a write itself could end with.
type queue struct {
	file   *os.File
	writer writer
	space  Space

	mu        sync.Mutex // guards the rest, and the writer
	direct    *os.File   // the same file, opened for direct I/O; nil where that cannot be
	refused   bool       // direct cannot be written to
	items     []item     // not done, in their order
	begun     int        // of items, from the first one: those that the writer has, and commits between them
	err       error      // of the first write that failed; none is begun after it
	committed int64      // size of the file, in bytes, at the last commit that is done
	watching  int        // goroutines that run watch
	waiters   []waiter   // in the order in which they came
}

// item is a write, or a commit of the writes before it.
type item struct {
	parts    [][]byte // what a write writes, one after the other; nil of a commit
	offset   int64    // of a write: in the file; a multiple of PageSize where it is direct
	direct   bool     // of a write: its parts are aligned, and whole pages
	from, to int      // of a write: the part of the File's memory that some of its parts are in
	reserved int      // of a write: bytes, of the Space

	commit func(error) // of a commit: called with nil, or with why the file does not have it
	size   int64       // of a commit: the file's with it, in bytes
}

// writer carries out writes in the order of the calls. It has one user at a time.
type writer interface {
	// write has parts written to fd from offset on, and reports false, having done
	// nothing, when it cannot now. Neither parts nor what they point to may change, nor
	// may fd be closed, before result has returned what has become of it.
	write(fd uintptr, parts [][]byte, offset int64) bool
	// result returns what has become of the oldest write that it has not returned yet.
	// ok is false while that is under way, and when there is none.
	result() (r written, ok bool)
}

// add has an item carried out.
func (q *queue) add(i item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, i)
	q.advanceLocked()
}

// advanceLocked hands on what the writer accepts, and ends what is done.
func (q *queue) advanceLocked() {
	for {
		q.beginLocked()
		if len(q.items) == 0 {
			return
		}
		i := &q.items[0]
		switch {
		case i.commit != nil:
			if q.err == nil {
				q.committed = i.size
			}
			i.commit(q.err)
		case q.begun > 0:
			r, ok := q.writer.result()
			if !ok {
				return
			}
			if err := q.complete(i, r.n, r.err); err != nil && q.err == nil {
				q.err = fmt.Errorf("write %s: %w", q.file.Name(), err)
			}
			q.space.Release(i.reserved)
		case q.err == nil:
			return // the writer does not accept it
		default:
			q.space.Release(i.reserved)
		}
		q.items[0] = item{}
		q.items = q.items[1:]
		q.begun = max(q.begun-1, 0)
	}
}

// beginLocked hands on what the writer accepts.
func (q *queue) beginLocked() {
	for ; q.err == nil && q.begun < len(q.items); q.begun++ {
		i := &q.items[q.begun]
		if i.commit == nil && !q.writer.write(q.fd(i.direct), i.parts, i.offset) {
			return
		}
	}
}

// fd returns the descriptor that a write goes to.
func (q *queue) fd(direct bool) uintptr {
	if direct && !q.refused && q.direct != nil {
		return q.direct.Fd()
	}
	return q.file.Fd()
}

// complete completes a write of which n bytes are written, or none because of err. That it
// waits is rare: the disk is full, or the file system refuses direct writes.
func (q *queue) complete(i *item, n int, err error) error {
	rest := 0
	for _, p := range i.parts {
		rest += len(p)
	}
	switch {
	case err == nil && n == rest:
		return nil
	case errors.Is(err, unix.EINVAL) && i.direct && q.direct != nil:
		q.refused = true // this file system accepts the flag but not the write
		return writeAll(q.file.Fd(), i.offset, i.parts)
	case err != nil && !errors.Is(err, unix.EINTR):
		return err
	}
	parts := i.parts
	for ; len(parts) > 0 && n >= len(parts[0]); parts = parts[1:] {
		n -= len(parts[0])
		i.offset += int64(len(parts[0]))
	}
	if n > 0 {
		parts[0] = parts[0][n:]
		i.offset += int64(n)
	}
	// A direct write that was cut short may go on where none can.
	return writeAll(q.file.Fd(), i.offset, parts)
}

// When somebody looks at what has become of the writes.
const (
	firstLook = 500 * time.Microsecond // after something has been found, or began
	lookEvery = time.Millisecond
	hangLook  = 10 * time.Millisecond // after so many looks in vain:
	mayHang   = 200
)

// watchers is how many goroutines look. One that is woken at the same time as another one
// has to wait for its turn behind all that can run, and the other one looks on.
const watchers = 2

// waiter waits for something that writes bring about.
type waiter struct {
	over func() bool   // called under the queue's lock
	done chan struct{} // closed when over has reported true
}

// await returns when over reports true, which is called under mu.
func (q *queue) await(over func() bool) {
	q.mu.Lock()
	q.advanceLocked()
	if over() {
		q.mu.Unlock()
		return
	}
	w := waiter{over: over, done: make(chan struct{})}
	q.waiters = append(q.waiters, w)
	for ; q.watching < watchers; q.watching++ {
		go q.watch()
	}
	q.mu.Unlock()
	<-w.done
}

// watch looks for all who wait, in a goroutine that ends when nobody does. It ends one wait
// at a time: of several goroutines that become runnable, only the last one runs next.
func (q *queue) watch() {
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	for looks := 0; ; looks++ {
		<-timer.C
		found, left := q.endOneWait()
		switch {
		case !left:
			return
		case found:
			looks = 0
			timer.Reset(firstLook)
		case looks < mayHang:
			timer.Reset(lookEvery)
		default:
			timer.Reset(hangLook)
		}
	}
}

// endOneWait ends the first wait that is over, if one is. It reports whether there are
// others; where there are none, the caller ends.
func (q *queue) endOneWait() (found, left bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advanceLocked()
	i := slices.IndexFunc(q.waiters, func(w waiter) bool { return w.over() })
	if i >= 0 {
		close(q.waiters[i].done)
		q.waiters = slices.Delete(q.waiters, i, i+1)
	}
	if len(q.waiters) == 0 {
		q.watching--
		return i >= 0, false
	}
	return i >= 0, true
}

// wait returns when nothing is under way.
func (q *queue) wait() { q.await(func() bool { return len(q.items) == 0 }) }

// waitFor returns when no write needs the part of the memory from from to to, with the
// position after from up to which none does: end where there is none.
func (q *queue) waitFor(from, to, end int) (limit int) {
	q.await(func() bool {
		limit = end
		for i := range q.items {
			if w := &q.items[i]; w.from < w.to && w.to > from {
				limit = min(limit, w.from)
			}
		}
		return limit >= to
	})
	return limit
}

// idle reports whether nothing is under way, and nothing has failed.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advanceLocked()
	return len(q.items) == 0 && q.err == nil
}

// commitIdle makes size the committed one where there is nothing to wait for, which it
// reports.
func (q *queue) commitIdle(size int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) > 0 || q.err != nil {
		return false
	}
	q.committed = size
	return true
}

// reset forgets a failure, and makes size the committed one. Nothing may be under way.
func (q *queue) reset(size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err, q.committed = nil, size
}

// failed returns why nothing is written any more; nil otherwise.
func (q *queue) failed() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

// acceptsDirect reports whether the file can be written to past the page cache, as far as
// is known.
func (q *queue) acceptsDirect() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.direct != nil && !q.refused
}

// closeDirect has everything go through the page cache, when nothing is under way.
func (q *queue) closeDirect() {
	q.wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.direct != nil {
		_ = q.direct.Close() // nothing is buffered
		q.direct = nil
	}
}
