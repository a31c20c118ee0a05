package layout

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Directory is what a dump directory holds of records.
type Directory struct {
	Path     string
	FlowLog  []string     // paths: the archives, oldest first by their names, then the log being written
	Unread   []Unread     // files that were the recorder's and are in no form that is read
	Sets     []SegmentSet // by name, that is by the opening of their windows
	HasIndex bool
}

// Unread is a file that is not read.
type Unread struct {
	Path string
	Hint string // how it can be read
}

// Scan reads the names in dir. Of a file that is there in both forms while it is
// being compressed, it returns one.
func Scan(dir string) (*Directory, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	d := &Directory{Path: dir}
	active := ""
	var archives []archive
	sets := map[string]*SegmentSet{}
	for _, e := range entries {
		name := e.Name()
		path, plain := filepath.Join(dir, name), TrimGzip(name)
		if !isFile(e, path) {
			continue
		}
		switch {
		case isIndexFile(name):
			d.HasIndex = true
		case name == FlowLog:
			active = path
		default:
			if s, ok := ParseSegment(plain); ok {
				addSegment(sets, s, path)
			} else if a, ok := parseRotation(plain, FlowLog); ok {
				archives = append(archives, archive{path: path, rotation: a})
			} else if hint := unread(name); hint != "" {
				d.Unread = append(d.Unread, Unread{Path: path, Hint: hint})
			}
		}
	}
	d.FlowLog = inOrder(archives)
	if active != "" {
		d.FlowLog = append(d.FlowLog, active)
	}
	for _, s := range sets {
		s.sort()
		d.Sets = append(d.Sets, *s)
	}
	slices.SortFunc(d.Sets, func(a, b SegmentSet) int { return strings.Compare(a.Name, b.Name) })
	return d, nil
}

// isFile reports whether an entry is a regular file, or a link to one: a pipe under the
// name of a file would keep its reader waiting.
func isFile(e fs.DirEntry, path string) bool {
	if e.Type()&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		return err != nil || info.Mode().IsRegular() // opening it returns the error
	}
	return e.Type().IsRegular()
}

// Finished reports whether nothing is written to s any more: its window is in the
// index, or another window of its process has begun.
func (d *Directory) Finished(s *SegmentSet) bool {
	if slices.ContainsFunc(d.Sets, func(o SegmentSet) bool { return o.Run == s.Run && o.Opened.After(s.Opened) }) {
		return true
	}
	if !d.HasIndex {
		return false
	}
	return IndexHas(filepath.Join(d.Path, Index), s.Window, s.Run, s.Opened)
}

// archive is a file that a log was rotated to.
type archive struct {
	path string
	rotation
}

// inOrder returns the paths of archives by time, without one of the two forms that a
// file has while it is being compressed.
func inOrder(archives []archive) []string {
	slices.SortFunc(archives, func(a, b archive) int {
		if n := a.compare(b.rotation); n != 0 {
			return n
		}
		return strings.Compare(a.path, b.path)
	})
	var paths []string
	for i, a := range archives {
		if i > 0 && a.path == archives[i-1].path+GzipExtension {
			continue
		}
		paths = append(paths, a.path)
	}
	return paths
}
