package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Present answers which files of windows a dump directory has now. Make it with NewPresent.
type Present struct {
	dir      string
	archived map[string][]int64 // by log, when its archives that are there were rotated, in order
	logs     map[string]bool    // logs that are there
}

// NewPresent looks at the directory.
func NewPresent(dir string) (*Present, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &Present{dir: dir, archived: map[string][]int64{}, logs: map[string]bool{}}
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			p.add(TrimGzip(name))
		}
		if err != nil || len(names) == 0 {
			break // what cannot be listed is looked for by name
		}
	}
	for _, moments := range p.archived {
		slices.Sort(moments)
	}
	return p, nil
}

func (p *Present) add(name string) {
	for _, log := range Logs() {
		if name == log {
			p.logs[log] = true
		} else if at, ok := ParseArchive(name, log); ok {
			p.archived[log] = append(p.archived[log], at.UnixMilli())
		}
	}
}

// Amend makes w's removed files those of its files that are not there: a process may
// have been killed between removing a file and its mark, or the other way round.
func (p *Present) Amend(w *WindowLine) {
	w.Removed = nil
	for _, name := range w.Files {
		if !p.has(w, name) {
			w.Removed = append(w.Removed, name)
		}
	}
}

// has reports whether the file of w is there, by that name, compressed, or as an archive.
func (p *Present) has(w *WindowLine, name string) bool {
	if IsLog(name) {
		archives := p.archived[name]
		i, _ := slices.BinarySearch(archives, w.Closed.Truncate(ArchiveResolution).UnixMilli())
		return p.logs[name] || i < len(archives)
	}
	for _, n := range []string{name, name + GzipExtension} {
		if _, err := os.Lstat(filepath.Join(p.dir, filepath.Base(n))); !errors.Is(err, fs.ErrNotExist) {
			return true // also where it cannot be known
		}
	}
	return false
}
