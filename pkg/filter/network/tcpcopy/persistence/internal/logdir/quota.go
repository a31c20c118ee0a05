package logdir

import (
	"container/heap"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
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
	took  time.Duration        // of the last look
	ended time.Time            // when it was over
	stuck map[string]time.Time // files that could not be removed, and since when

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
	if q.took < cheapLook {
		return 0
	}
	return restAfter * q.took
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

// dumpFile is a file of the directory.
type dumpFile struct {
	name     string
	size     int64
	modified time.Time
}

// newestFirst is a heap of files with the one changed last on top.
type newestFirst []dumpFile

func (h newestFirst) Len() int           { return len(h) }
func (h newestFirst) Less(i, j int) bool { return h[i].modified.After(h[j].modified) }
func (h newestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *newestFirst) Push(x any)        { *h = append(*h, x.(dumpFile)) }
func (h *newestFirst) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// add adds f, and drops the file changed last when there are more than most.
func (h *newestFirst) add(f dumpFile, most int) {
	if len(*h) == most && !f.modified.Before((*h)[0].modified) {
		return
	}
	heap.Push(h, f)
	if len(*h) > most {
		heap.Pop(h)
	}
}

// look reads the directory: it finds out how much the files take, and which of them
// are to be removed first. The caller holds making. Others may write, begin and rename
// files meanwhile: those count at the end.
func (q *quota) look() error {
	began := time.Now()
	q.mu.Lock()
	q.later = map[string]bool{}
	for _, name := range layout.Logs() {
		q.later[name] = true
	}
	for name := range q.writing {
		q.later[name] = true
	}
	q.mu.Unlock()
	var total, indexed int64
	var oldest, indexes newestFirst
	err := q.folder.eachFile(layout.IsOurs, func(files []dumpFile) {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, f := range files {
			if q.later[f.name] {
				continue
			}
			total += f.size
			switch {
			case layout.IsIndex(f.name):
				indexed += f.size
				indexes.add(f, maxOldest)
			case q.mayGo(f, began):
				oldest.add(f, maxOldest)
			}
		}
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	for name := range q.later {
		if info, err := q.folder.Stat(name); err == nil {
			total += info.Size
		}
	}
	q.later = nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The index has an eighth at most: beyond it, its files go as others do.
	slices.SortFunc(indexes, byAge)
	for _, f := range indexes {
		if indexed <= q.max/8 {
			break
		}
		indexed -= f.size
		oldest.add(f, maxOldest)
	}
	slices.SortFunc(oldest, byAge)
	q.oldest, q.used, q.since, q.known = oldest, total+q.pending, 0, true
	q.barren = len(oldest) == 0
	q.ended = time.Now()
	q.took = q.ended.Sub(began)
	return nil
}

// byAge sorts the file that was changed longest ago first.
func byAge(a, b dumpFile) int {
	if n := a.modified.Compare(b.modified); n != 0 {
		return n
	}
	return strings.Compare(a.name, b.name)
}

// eachFile calls visit with the files of the directory whose names are wanted, some at a
// time.
func (f *folder) eachFile(wanted func(name string) bool, visit func([]dumpFile)) error {
	const step = 512
	names, err := f.Names()
	if err != nil {
		return err
	}
	var files []dumpFile
	for i, name := range names {
		if wanted(name) {
			if info, err := f.Stat(name); err == nil && info.Regular { // otherwise gone meanwhile
				files = append(files, dumpFile{name, info.Size, info.Modified})
			}
		}
		if len(files) == step || i == len(names)-1 {
			visit(files)
			files = nil
		}
	}
	return nil
}

// mayGo reports whether a file may be removed at now, as far as its name and its age
// say.
func (q *quota) mayGo(f dumpFile, now time.Time) bool {
	if since, known := q.stuck[f.name]; known && now.Sub(since).Abs() < stuckFor {
		return false
	}
	// In the future after the clock has gone back.
	return !q.nonLocalSegment(f.name) || now.Sub(f.modified).Abs() >= inUse
}

// inUse is how long after its last change a segment may still be another
// process's open one, during a hot upgrade.
const inUse = 2 * time.Second

// nonLocalSegment reports whether a file is a segment of another process.
func (q *quota) nonLocalSegment(name string) bool {
	segment, ok := layout.ParseSegment(name)
	return ok && segment.Run != q.run
}

// removeOldest removes files so that n more bytes fit, those that were found last: some
// of them at a time. It reports whether it has removed any. The caller holds making.
func (q *quota) removeOldest(n int64) bool {
	for {
		files := q.popOldest(n)
		if len(files) == 0 {
			return false
		}
		now := time.Now()
		files = slices.DeleteFunc(files, func(f dumpFile) bool {
			info, err := q.folder.Stat(f.name)
			return err != nil || !info.Regular || !q.mayGo(dumpFile{f.name, info.Size, info.Modified}, now)
		})
		if q.remove(files) > 0 {
			return true
		}
	}
}

// popOldest returns the next files to be removed for n bytes, and forgets them.
func (q *quota) popOldest(n int64) (files []dumpFile) {
	q.mu.Lock()
	defer q.mu.Unlock()
	missing := q.used + n - q.max
	for len(q.oldest) > 0 && len(files) < maxNames && missing > 0 {
		f := q.oldest[0]
		q.oldest = q.oldest[1:]
		if q.writing[f.name] == 0 {
			missing -= f.size
			files = append(files, f)
		}
	}
	return files
}

// removeAll removes files and marks them in the index.
func (q *quota) removeAll(files []dumpFile) {
	q.making.Lock()
	defer q.making.Unlock()
	for len(files) > 0 {
		n := min(len(files), maxNames)
		q.remove(files[:n])
		files = files[n:]
	}
}

// remove marks files in the index and removes them, in that order: where the process is
// killed in between, a file that is marked and there is not removed. It returns how many
// are gone. The caller holds making.
func (q *quota) remove(files []dumpFile) (gone int) {
	if len(files) == 0 {
		return 0
	}
	if err := q.index.markRemoved(files); err != nil {
		q.alert("retention", fmt.Errorf("mark removed files: %w", err)) // it is written later
	}
	for _, f := range files {
		switch err := q.folder.Remove(f.name); {
		case err == nil:
			gone++
			q.adjust(-f.size)
		case !errors.Is(err, fs.ErrNotExist):
			q.alert("retention", err)
			if len(q.stuck) >= maxStuck {
				clear(q.stuck)
			}
			q.stuck[f.name] = time.Now()
		}
	}
	return gone
}

// expire removes the files of that extension, compressed ones included, that have
// not changed since t.
func (q *quota) expire(extension string, t time.Time) error {
	var old []dumpFile
	err := q.folder.eachFile(func(name string) bool {
		return layout.IsOurs(name) && strings.HasSuffix(layout.TrimGzip(name), extension)
	}, func(files []dumpFile) {
		for _, f := range files {
			if f.modified.Before(t) {
				old = append(old, f)
			}
		}
	})
	slices.SortFunc(old, byAge)
	q.removeAll(old)
	return err
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
