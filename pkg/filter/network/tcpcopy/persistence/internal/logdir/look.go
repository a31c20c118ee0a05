package logdir

import (
	"container/heap"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

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
	q.lasted = q.ended.Sub(began)
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
