package logdir

import (
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// quota keeps the files of the dump directory together below Options.MaxTotal: it
// removes the oldest before a chunk is written that would not fit. Files that
// are being written stay.
//
// It looks at the directory now and then, and keeps the account of what is written and
// removed in between. The keeper, a goroutine that runs when there is something to do,
// looks and removes ahead of the writers: they wait for it only when they are faster.
type quota struct {
	folder  *folder
	max     int64
	limit   string // what errors call max
	run     string // this process's part of the segments' names
	alert   func(what string, err error)
	index   *Index
	windows windowIDs
	// panicked reports a panic in the background that was caught.
	panicked func(where string, value any, stack []byte)
	keeper   sync.WaitGroup

	making sync.Mutex // held while the directory is looked at and files are removed; locked before mu
	// Guarded by making.
	lasted time.Duration        // of the last look
	ended  time.Time            // when it was over
	stuck  map[string]time.Time // files that could not be removed, and since when

	mu      sync.Mutex // guards the rest
	known   bool       // there was a look
	used    int64      // bytes of all files, as far as this process knows
	pending int64      // of them, those that are reserved and perhaps not written yet
	since   int64      // bytes reserved since the last look
	writing map[string]int
	later   map[string]bool // in a look: files whose sizes count at its end; nil otherwise
	oldest  []dumpFile      // files that may be removed, the one changed longest ago first
	barren  bool            // the last look has found none, and none of ours has been finished since
	keeping bool            // the keeper runs
	rest    time.Time       // the keeper does not run again before
	closed  bool
}

const (
	// maxOldest is how many files a look finds that may be removed.
	maxOldest = 1 << 14
	// maxStuck bounds the files that are known not to be removable, and stuckFor is
	// how long they are left alone.
	maxStuck = 1 << 10
	stuckFor = time.Minute
	// A look that takes longer than cheapLook is not repeated before restAfter times as
	// long has passed.
	cheapLook = 2 * time.Millisecond
	restAfter = 20
	// fruitless is how long the keeper rests when it could not do what it should.
	fruitless = 100 * time.Millisecond
)

func newQuota(o Options, f *folder) *quota {
	return &quota{folder: f, max: o.MaxTotal, limit: o.LimitName, run: o.Run, alert: o.Alert, writing: map[string]int{}, stuck: map[string]time.Time{}}
}

// headroom is how many bytes the keeper tries to keep free.
func (q *quota) headroom() int64 { return q.max / 64 }

// startWriting says that the file of that name is being written, stopWriting that it
// is not any more.
func (q *quota) startWriting(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing[name]++
	q.changesLocked(name)
}

func (q *quota) stopWriting(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing[name]--; q.writing[name] == 0 {
		delete(q.writing, name)
		q.barren = false
	}
}

// changesLocked says that the file of that name changes, or comes to be.
func (q *quota) changesLocked(name string) {
	if q.later != nil {
		q.later[name] = true
	}
}

// Reserve implements blockfile.Space: it removes files until there is room for n
// bytes, which the caller releases. It returns an error when everything that may be
// removed is gone and there is no room yet. A nil quota has room for all.
func (q *quota) Reserve(n int) error {
	if q == nil || q.max == 0 || q.reserve(int64(n)) {
		return nil
	}
	q.making.Lock()
	defer q.making.Unlock()
	for looked := false; !q.reserve(int64(n)); {
		if q.removeOldest(int64(n)) {
			looked = false
			continue
		}
		if looked || q.resting(time.Now()) {
			return fmt.Errorf("%s of %d bytes is reached and nothing older can be removed", q.limit, q.max)
		}
		if err := q.look(); err != nil {
			return err
		}
		looked = true
	}
	return nil
}

// reserve reserves n bytes if there is room for them now.
func (q *quota) reserve(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.known || q.used+n > q.max {
		return false
	}
	q.used += n
	q.pending += n
	q.since += n
	q.keepLocked()
	return true
}

// Release implements blockfile.Space: n bytes that were reserved are in their file,
// or never will be.
func (q *quota) Release(n int) {
	if q == nil || q.max == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending -= int64(n)
}

// keepLocked starts the keeper if there is something to do.
func (q *quota) keepLocked() {
	if q.max == 0 || q.keeping || q.closed {
		return
	}
	if excess, stale := q.stateLocked(); excess > 0 && len(q.oldest) > 0 || stale {
		q.keeping = true
		q.keeper.Add(1)
		go q.keep()
	}
}

// lookAhead starts the keeper, which looks at the directory for the first time.
func (q *quota) lookAhead() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.keepLocked()
}

// close ends the keeper and waits for it.
func (q *quota) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.keeper.Wait()
}

// keep is the keeper.
func (q *quota) keep() {
	defer q.keeper.Done()
	q.making.Lock()
	defer q.making.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.keeping = false
		// A fault of ours must not end the process.
		if p := recover(); p != nil {
			q.later, q.rest = nil, time.Now().Add(stuckFor)
			q.panicked("the keeper of the dump directory", p, debug.Stack())
		}
	}()
	var err error
	looked := false
	for {
		excess, stale := q.state()
		if stale && !looked {
			err = q.look()
			looked = true
			continue
		}
		if excess <= 0 || err != nil || !q.removeOldest(q.headroom()) {
			break
		}
	}
	rest := q.restTime()
	excess, _ := q.state()
	if excess > 0 || err != nil {
		rest = max(rest, fruitless)
	}
	if looked {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.rest = time.Now().Add(rest)
	}
}

// state returns by how many bytes the files have less than the headroom, and whether a
// look is due. When the keeper is to end, neither is.
func (q *quota) state() (excess int64, stale bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, false
	}
	return q.stateLocked()
}

func (q *quota) stateLocked() (excess int64, stale bool) {
	excess = max(0, q.used-(q.max-q.headroom()))
	// Another process may write to the directory too, during a hot upgrade.
	stale = !q.known || q.since > q.max/64 || excess > 0 && len(q.oldest) == 0
	return excess, stale && !time.Now().Before(q.rest)
}

// restTime returns for how long there is no further look when one is not needed
// urgently.
func (q *quota) restTime() time.Duration {
	if q.lasted < cheapLook {
		return 0
	}
	return restAfter * q.lasted
}

// resting reports whether the last look was in vain, and so expensive and so short ago
// that another one is not worth it. The caller holds making.
func (q *quota) resting(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.barren && now.Sub(q.ended).Abs() < q.restTime()
}

// whileUnseen calls f, which renames a file to that name, while nobody looks at the
// directory: it would see the file under neither name.
func (q *quota) whileUnseen(name string, f func() error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changesLocked(name)
	q.barren = false
	return f()
}

// adjust says that the files have grown by n bytes without a reservation, or shrunk
// when n is negative.
func (q *quota) adjust(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used += n
}

// quotaWriter writes to a file what the quota has room for.
type quotaWriter struct {
	quota *quota
	file  *os.File
}

func (w *quotaWriter) Write(p []byte) (int, error) {
	if err := w.quota.Reserve(len(p)); err != nil {
		return 0, err
	}
	defer w.quota.Release(len(p))
	return w.file.Write(p)
}
