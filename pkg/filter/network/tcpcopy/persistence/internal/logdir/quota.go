package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// quota keeps the files of the dump directory together below Options.MaxTotal: it
// removes the oldest before a chunk is written that would not fit. Files that
// are being written stay.
type quota struct {
	folder *folder
	max    int64
	limit  string // what errors call max
	run    string // this process's part of the segments' names
	alert  func(what string, err error)
	index  *Index

	mu      sync.Mutex // guards the rest
	used    int64      // bytes of all files, as far as this process knows
	pending int64      // of them, those that are reserved and perhaps not written yet
	trust   int64      // bytes that may be reserved before the next look at the directory
	writing map[string]int
}

func newQuota(o Options, f *folder) *quota {
	return &quota{folder: f, max: o.MaxTotal, limit: o.LimitName, run: o.Run, alert: o.Alert, writing: map[string]int{}}
}

// startWriting says that the file of that name is being written, stopWriting that it
// is not any more.
func (q *quota) startWriting(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing[name]++
}

func (q *quota) stopWriting(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing[name]--; q.writing[name] == 0 {
		delete(q.writing, name)
	}
}

// Reserve implements blockfile.Space: it removes files until there is room for n
// bytes, which the caller releases. It returns an error when everything that may be
// removed is gone and there is no room yet. A nil quota has room for all.
func (q *quota) Reserve(n int) error {
	if q == nil || q.max == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	// Another process may write to the directory too, during a hot upgrade.
	if q.trust < int64(n) || q.used+int64(n) > q.max {
		if err := q.makeRoomLocked(int64(n)); err != nil {
			return err
		}
		q.trust = max(q.max/64, int64(n))
	}
	q.used += int64(n)
	q.pending += int64(n)
	q.trust -= int64(n)
	return nil
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

// whileUnseen calls f, which renames a file, while nobody looks at the directory: it
// would see the file under neither name.
func (q *quota) whileUnseen(f func() error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return f()
}

// adjust says that the files have grown by n bytes without a reservation, or shrunk
// when n is negative.
func (q *quota) adjust(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used += n
}

// removed says that files have been removed and has the index mark them.
func (q *quota) removed(files []dumpFile) error {
	if len(files) == 0 {
		return nil
	}
	err := q.index.markRemoved(files)
	for _, f := range files {
		q.adjust(-f.size) // now, because the index is written anew for a moment beside itself
	}
	return err
}

// expire removes the files of that extension, compressed ones included, that have
// not changed since t.
func (q *quota) expire(extension string, t time.Time) error {
	files, err := q.folder.dumpFiles()
	if err != nil {
		return err
	}
	var errs []error
	var removed []dumpFile
	for _, f := range files {
		if strings.HasSuffix(layout.TrimGzip(f.name), extension) && f.modified.Before(t) {
			if err := q.folder.Remove(f.name); err == nil {
				removed = append(removed, f)
			} else if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(append(errs, q.removed(removed))...)
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

// dumpFile is a file of the directory.
type dumpFile struct {
	name     string
	size     int64
	modified time.Time
}

// makeRoomLocked looks at the directory and removes the oldest files until n
// more bytes fit.
func (q *quota) makeRoomLocked(n int64) error {
	files, err := q.folder.dumpFiles()
	if err != nil {
		return err
	}
	q.used = q.pending
	for _, f := range files {
		q.used += f.size
		if f.name == layout.Index {
			q.used += f.size // to mark lines, it is written anew beside itself
		}
	}
	var removed []dumpFile
	for _, f := range files { // oldest first
		if q.used+n <= q.max {
			break
		}
		if q.writing[f.name] > 0 || layout.IsLog(f.name) || q.nonLocalSegment(f.name) && time.Since(f.modified).Abs() < inUse { // in the future after the clock has gone back
			continue
		}
		if err := q.folder.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			q.alert("retention", err)
			continue
		}
		q.used -= f.size
		removed = append(removed, f)
	}
	if len(removed) > 0 {
		if err := q.index.markRemoved(removed); err != nil {
			q.alert("retention", err)
		}
	}
	if q.used+n > q.max {
		return fmt.Errorf("%s of %d bytes is reached and nothing older can be removed", q.limit, q.max)
	}
	return nil
}

// inUse is how long after its last change a segment may still be another
// process's open one, during a hot upgrade.
const inUse = 2 * time.Second

// nonLocalSegment reports whether a file is a segment of another process.
func (q *quota) nonLocalSegment(name string) bool {
	segment, ok := layout.ParseSegment(name)
	return ok && segment.Run != q.run
}

// dumpFiles returns the recorder's files in the directory, the one changed longest ago
// first. Files that the recorder does not write are not its business.
func (f *folder) dumpFiles() ([]dumpFile, error) {
	found, err := f.List(layout.IsOurs)
	if err != nil {
		return nil, err
	}
	var files []dumpFile
	for _, i := range found {
		if i.Regular {
			files = append(files, dumpFile{i.Name, i.Size, i.Modified})
		}
	}
	slices.SortFunc(files, func(a, b dumpFile) int { return a.modified.Compare(b.modified) })
	return files, nil
}
