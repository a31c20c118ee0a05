package dump

import (
	"os"
	"path/filepath"
	"slices"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// tailer reports what has become of files that are still being written. open is the
// file being read, nil when there is none. It returns the files that come after it; keep
// says that open, or the set of files where there is none, may still grow. With more
// files, keep is false.
type tailer func(open *os.File) (more []string, keep bool)

// tailSegments follows a segment set until its window is in the index or another
// window of the process has begun.
func tailSegments(dir string, set *layout.SegmentSet) tailer {
	last := set.Segments[len(set.Segments)-1].Number
	return func(*os.File) ([]string, bool) {
		now, err := layout.Scan(dir)
		if err != nil {
			return nil, false
		}
		var more []string
		over := true // retention may have removed it
		for i := range now.Sets {
			if now.Sets[i].Name != set.Name {
				continue
			}
			over = false
			for _, s := range now.Sets[i].Segments {
				if s.Number > last {
					more = append(more, s.Path)
					last = s.Number
				}
			}
		}
		if len(more) > 0 || over {
			return more, false
		}
		return nil, !now.Finished(set)
	}
}

// tailLog follows the flow log through its rotation, without end.
func tailLog(d *layout.Directory) tailer {
	dir := d.Path
	known := map[string]bool{}
	for _, path := range d.FlowLog {
		known[layout.TrimGzip(path)] = true
	}
	active := filepath.Join(dir, layout.FlowLog)
	return func(open *os.File) ([]string, bool) {
		now, err := layout.Scan(dir)
		if err != nil {
			return nil, true
		}
		var archives []string
		for _, path := range now.FlowLog {
			if path != active && !known[layout.TrimGzip(path)] {
				archives = append(archives, path)
				known[layout.TrimGzip(path)] = true
			}
		}
		if open != nil {
			if len(archives) == 0 && sameFile(open, active) {
				return nil, true
			}
			archives = without(archives, open)
		}
		if sizeOf(active) < 0 {
			return archives, len(archives) == 0
		}
		return append(archives, active), false
	}
}

// without removes open from the new archives of a log. Where none of them is the same
// file, it was the oldest one, which its compressed form has replaced.
func without(archives []string, open *os.File) []string {
	for i, path := range archives {
		if sameFile(open, path) {
			return slices.Delete(archives, i, i+1)
		}
	}
	if len(archives) > 0 {
		return archives[1:]
	}
	return archives
}

// tailFile follows a single file, and the one that replaces it under its name.
func tailFile(path string) tailer {
	return func(open *os.File) ([]string, bool) {
		if open == nil || sameFile(open, path) || sizeOf(path) < 0 {
			return nil, true
		}
		return []string{path}, false
	}
}

// sameFile reports whether f is what path names now.
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
