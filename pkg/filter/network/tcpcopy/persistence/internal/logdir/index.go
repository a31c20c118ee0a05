package logdir

import (
	"encoding/json"
	"sync"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// Index is the index of windows: a log of lines that never change, one per window, and
// marks, which amend them. It is rolled like other logs; what is appended costs the
// same however long it is.
type Index struct {
	log     *AppendLog // has no quota: that would wait for itself
	quota   *quota
	maxLine int

	mu    sync.Mutex // guards the rest, and is held while marks are written
	marks []byte     // those that could not be written yet, maxMarks at most
}

const (
	// maxIndexFile is the size in bytes at which the index is rolled, where no limit of
	// the directory asks for less.
	maxIndexFile = 8 << 20
	// maxIndexLine bounds a line of the index in bytes.
	maxIndexLine = 64 << 10
	// maxMarks bounds the marks that wait for being written, in bytes.
	maxMarks = 256 << 10
	// maxNames bounds the names of files in one mark.
	maxNames = 256
)

// indexFile returns the size at which the index of a directory with that limit is
// rolled.
func indexFile(maxTotal int64) int64 {
	if maxTotal == 0 {
		return maxIndexFile
	}
	return min(maxIndexFile, maxTotal/32)
}

func newIndex(log *AppendLog, q *quota) *Index {
	log.quota = nil                         // it must not wait for itself
	log.wholeLine = json.Valid              // somebody may have edited the file
	log.roll = Roll{Size: indexFile(q.max)} // the quota removes what is too much
	return &Index{log: log, quota: q, maxLine: int(min(maxIndexLine, log.roll.Size))}
}

// MaxLine returns how many bytes a line of a window may have.
func (x *Index) MaxLine() int { return x.maxLine }

// Append writes lines of windows, even after a failure. Where nothing can be removed to
// make room, the lines are written even so: they are the account.
func (x *Index) Append(lines []byte) error {
	x.log.Retry()
	n := len(lines)
	if x.quota.Reserve(n) == nil {
		defer x.quota.Release(n)
	} else {
		x.quota.adjust(int64(n))
	}
	return x.log.Append(lines)
}

// Mark writes marks. Those that cannot be written are written with later ones, as far as
// there is memory for them.
func (x *Index) Mark(marks ...layout.Mark) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range marks {
		line := marks[i].AppendJSON(nil)
		if len(x.marks)+len(line) <= maxMarks {
			x.marks = append(x.marks, line...)
		}
	}
	if len(x.marks) == 0 {
		return nil
	}
	if err := x.log.Append(x.marks); err != nil {
		return err
	}
	x.quota.adjust(int64(len(x.marks)))
	x.marks = nil
	return nil
}

// markRemoved marks files that are about to be removed: those of a window in a mark of
// the window's, archived logs in a mark of all windows.
func (x *Index) markRemoved(files []dumpFile) error {
	var marks []layout.Mark
	last := map[string]int{} // of marks, the last one with that window and run
	for _, f := range files {
		name := layout.TrimGzip(f.name)
		if layout.IsIndex(name) {
			continue // which no window has among its files
		}
		window, run := layout.AllWindows, ""
		if s, ok := layout.ParseSegment(name); ok {
			window, run = x.quota.windows.id(x.quota.folder, f.name, s), s.Run
		}
		key := window + "/" + run
		i, known := last[key]
		if !known || len(marks[i].Removed) == maxNames {
			i = len(marks)
			marks = append(marks, layout.Mark{Window: window, Run: run})
			last[key] = i
		}
		marks[i].Removed = append(marks[i].Removed, name)
	}
	return x.Mark(marks...)
}
