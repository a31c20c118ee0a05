package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

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
