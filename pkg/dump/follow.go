package dump

import (
	"os"
	"path/filepath"
	"slices"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// growth tells what has become of a set of files that is still being written.
// open is the file being read, nil when there is none. It returns the files that
// come after it, and keep while open, or the set where there is none, may still
// grow; with more files, keep is false.
type growth func(open *os.File) (more []string, keep bool)

// followCapture follows the segments of a capture: it grows until its window is
// in the index or another window of the process has begun.
func followCapture(dir string, c *layout.SegmentSet) growth {
	last := c.Segments[len(c.Segments)-1].Number
	return func(*os.File) ([]string, bool) {
		l, err := layout.Scan(dir)
		if err != nil {
			return nil, false
		}
		var more []string
		over := true // retention may have removed it
		for i := range l.Sets {
			if l.Sets[i].Name != c.Name {
				continue
			}
			over = false
			for _, s := range l.Sets[i].Segments {
				if s.Number > last {
					more = append(more, s.Path)
					last = s.Number
				}
			}
		}
		if len(more) > 0 || over {
			return more, false
		}
		return nil, !l.Finished(c)
	}
}

// followLog follows the flow log through its rolls, without end.
func followLog(l *layout.Directory) growth {
	dir := l.Path
	known := map[string]bool{}
	for _, path := range l.FlowLog {
		known[layout.TrimGzip(path)] = true
	}
	active := filepath.Join(dir, layout.FlowLog)
	return func(open *os.File) ([]string, bool) {
		now, err := layout.Scan(dir)
		if err != nil {
			return nil, true
		}
		var rolled []string
		for _, path := range now.FlowLog {
			if path != active && !known[layout.TrimGzip(path)] {
				rolled = append(rolled, path)
				known[layout.TrimGzip(path)] = true
			}
		}
		if open != nil {
			if len(rolled) == 0 && sameFile(open, active) {
				return nil, true
			}
			rolled = without(rolled, open)
		}
		if sizeOf(active) < 0 {
			return rolled, len(rolled) == 0
		}
		return append(rolled, active), false
	}
}

// without removes from the paths that a log was newly rolled to the one that
// open is: the oldest, if it has been replaced by its compressed form.
func without(rolled []string, open *os.File) []string {
	for i, path := range rolled {
		if sameFile(open, path) {
			return slices.Delete(rolled, i, i+1)
		}
	}
	if len(rolled) > 0 {
		return rolled[1:]
	}
	return rolled
}

// followFile follows a single file, and the one that takes its name.
func followFile(path string) growth {
	return func(open *os.File) ([]string, bool) {
		if open == nil || sameFile(open, path) || sizeOf(path) < 0 {
			return nil, true
		}
		return []string{path}, false
	}
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// sizeOf returns the size of a file in bytes, or -1 where there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}
