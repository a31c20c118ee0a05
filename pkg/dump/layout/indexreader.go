package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	maxLine   = 4 << 20 // bytes of an index line that is read, its newline included
	maxFaults = 100     // faults of one index that are reported one by one

	// What is in memory at a time of an index of any size.
	maxBlock    = 8 << 20 // bytes of the lines of windows, whose marks are looked for together
	maxArchived = 1 << 18 // moments at which a log's archives were rotated that are removed
	maxRecent   = 1 << 16 // windows that are known, so that a line which comes twice is read once
)

// ReadIndex returns the windows of an index, as EachWindow does, in one slice.
func ReadIndex(path string) (lines []WindowLine, err error) {
	err = EachWindow(path, func(w *WindowLine) error {
		lines = append(lines, *w)
		return nil
	})
	return lines, err
}

// EachWindow calls f with each window of the index at path, as the marks amend it, in
// the order of the lines: first those of the index's archives beside it. The line is
// f's. Where a window is in the index twice, f has the first line. The memory does not
// grow with the index.
//
// EachWindow stops at the first error of f and returns it. It passes over lines that it
// cannot read and reports them as *record.DamageError values joined by errors.Join.
func EachWindow(path string, f func(*WindowLine) error) error {
	x, err := openIndex(path)
	if err != nil {
		return err
	}
	defer x.close()
	for block := x.nextBlock(); len(block) > 0; block = x.nextBlock() {
		if err := x.amend(block); err != nil {
			return errors.Join(append(x.faults, err)...)
		}
		for _, w := range block {
			line, err := w.merge(x.archived)
			if err != nil {
				continue // it was parsed before
			}
			if err := f(line); err != nil {
				return err
			}
		}
	}
	return errors.Join(x.faults...)
}

// EachMark calls f with each mark of the index at path, in the order of the lines. What
// it cannot read it passes over: EachWindow reports it. It stops at the first error of f
// and returns it.
func EachMark(path string, f func(*Mark) error) error {
	return eachIndexLine(path, func(text []byte) error {
		if m := parseMark(text); m != nil {
			return f(m)
		}
		return nil
	})
}

// eachIndexLine calls f with each line of the index at path, whatever is in it, and without
// its newline. The text is valid until f returns. Lines that are too long are passed
// over. It stops at the first error of f and returns it.
func eachIndexLine(path string, f func(text []byte) error) error {
	x, err := openIndex(path)
	if err != nil {
		return err
	}
	defer x.close()
	return x.eachLine(f)
}

// IndexHas reports whether the index at path has the line of a window of a process,
// which was opened then; window may be the beginning of its id. Damage says nothing.
func IndexHas(path, window, run string, opened time.Time) bool {
	x, err := openIndex(path)
	if err != nil {
		return false
	}
	defer x.close()
	// The last lines first: what is asked for has closed not long ago. An archive from
	// long before its opening does not have it, whatever has been done to the clock.
	const margin = 24 * time.Hour
	for i := len(x.archives); i >= 0; i-- {
		if i < len(x.archives) {
			if at, ok := ParseArchive(filepath.Base(x.archives[i]), Index); ok && at.Add(margin).Before(opened) {
				break
			}
		}
		lines, err := x.open(i)
		if err == nil && lines != nil && lines.hasWindow(window, run) {
			return true
		}
	}
	return false
}

// indexArchives returns the paths of the archives of the index at path, the oldest
// first. A file with another name than an index's stands alone.
func indexArchives(path string) ([]string, error) {
	if filepath.Base(path) != Index {
		return nil, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var all []archive
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if r, ok := parseRotation(name, Index); ok {
				all = append(all, archive{path: filepath.Join(filepath.Dir(path), name), rotation: r})
			}
		}
		if errors.Is(err, io.EOF) {
			return inOrder(all), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// indexReader reads an index as it was at one moment. What is appended later is not in
// it, and what is removed meanwhile goes.
type indexReader struct {
	path     string
	archives []string
	active   *os.File // nil where there are archives alone
	size     int64    // of active, at that moment

	lines    *indexLines // where nextBlock goes on; nil before the first block
	file     int         // of archives and active, the one that lines reads
	recent   map[windowKey]bool
	order    []windowKey // of recent, a ring
	archived map[string][]int64
	faults   []error
}

func openIndex(path string) (*indexReader, error) {
	x := &indexReader{path: path, recent: map[windowKey]bool{}}
	// First the file that may be rotated now: its archive is passed over then.
	f, err := openfile.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	missing := err
	if missing == nil {
		x.active = f
	}
	if err := x.look(); err != nil {
		x.close()
		return nil, err
	}
	if x.active == nil && len(x.archives) == 0 {
		return nil, missing
	}
	return x, nil
}

// look finds what there is to be read.
func (x *indexReader) look() error {
	archives, err := indexArchives(x.path)
	if err != nil {
		return err
	}
	x.archives = archives
	if x.active == nil {
		return nil
	}
	info, err := x.active.Stat()
	if err != nil {
		return err
	}
	x.size = info.Size()
	x.archives = slices.DeleteFunc(archives, func(path string) bool {
		there, err := os.Stat(path)
		return err == nil && os.SameFile(info, there)
	})
	return nil
}

func (x *indexReader) close() {
	if x.lines != nil {
		x.lines.close()
	}
	if x.active != nil {
		_ = x.active.Close()
	}
}

// open returns the lines of the i-th file, nil where there are no more. An archive that
// is removed meanwhile has none.
func (x *indexReader) open(i int) (*indexLines, error) {
	switch {
	case i < len(x.archives):
		f, err := openfile.Open(x.archives[i])
		if errors.Is(err, fs.ErrNotExist) {
			return newIndexLines(x.archives[i], strings.NewReader(""), nil), nil
		}
		if err != nil {
			return nil, err
		}
		return newIndexLines(x.archives[i], f, f), nil
	case i == len(x.archives) && x.active != nil:
		return newIndexLines(x.path, io.NewSectionReader(x.active, 0, x.size), nil), nil
	default:
		return nil, nil
	}
}

// nextBlock returns the next lines of windows. It is empty at the end.
func (x *indexReader) nextBlock() (block []*windowText) {
	for size := 0; size < maxBlock; {
		if x.lines == nil {
			lines, err := x.open(x.file)
			if err != nil {
				x.fault(x.archives[x.file], 0, err)
				x.file++
				continue
			}
			if lines == nil {
				return block
			}
			x.lines = lines
		}
		text, at, err := x.lines.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				x.fault(x.lines.path, at, err)
			}
			if x.lines.ended {
				x.lines.close()
				x.lines, x.file = nil, x.file+1
			}
			continue
		}
		w, err := parseWindow(text)
		switch {
		case err != nil:
			x.fault(x.lines.path, at, err)
		case w != nil && x.isNew(w.windowKey):
			block = append(block, w)
			size += len(w.text)
		}
	}
	return block
}

func (x *indexReader) fault(path string, offset int64, err error) {
	if len(x.faults) < maxFaults {
		x.faults = append(x.faults, &record.DamageError{File: path, Offset: offset, Err: err})
	}
}

// isNew reports whether the window is not among the recent ones, and adds it. A line
// that comes twice does so soon: a process was killed when it had written it.
func (x *indexReader) isNew(key windowKey) bool {
	if x.recent[key] {
		return false
	}
	x.recent[key] = true
	x.order = append(x.order, key)
	if len(x.order) > maxRecent {
		delete(x.recent, x.order[0])
		x.order = x.order[1:]
	}
	return true
}

// amend gives the windows of a block the marks that are theirs, wherever in the index
// they are.
func (x *indexReader) amend(block []*windowText) error {
	exact, short := map[windowKey]*windowText{}, map[windowKey][]*windowText{}
	ids := map[string]bool{}
	for _, w := range block {
		ids[w.window], ids[WindowPrefix(w.window)] = true, true
		exact[w.windowKey] = w
		prefix := windowKey{WindowPrefix(w.window), w.run}
		short[prefix] = append(short[prefix], w)
	}
	archived := x.archived == nil // not known yet
	if archived {
		x.archived = map[string][]int64{}
	}
	ids[AllWindows] = archived
	err := x.eachLine(func(text []byte) error {
		// The index is read once for each block, so most marks are others'.
		if id := markedWindow(text); id != nil && !ids[string(id)] {
			return nil
		}
		m := parseMark(text)
		if m == nil {
			return nil
		}
		key := windowKey{m.Window, m.Run}
		switch {
		case m.Window == AllWindows:
			if archived {
				x.addArchived(m.Removed)
			}
		case exact[key] != nil:
			exact[key].add(m)
		case len(m.Window) == windowPrefix:
			for _, w := range short[key] {
				w.add(m)
			}
		}
		return nil
	})
	if archived {
		for log := range x.archived {
			x.shortenArchived(log)
		}
	}
	return err
}

// addArchived remembers when archives that are removed were rotated.
func (x *indexReader) addArchived(names []string) {
	for _, name := range names {
		for _, log := range Logs() {
			if at, ok := ParseArchive(TrimGzip(name), log); ok {
				x.archived[log] = append(x.archived[log], at.UnixMilli())
				if len(x.archived[log]) >= 2*maxArchived {
					x.shortenArchived(log)
				}
			}
		}
	}
}

// shortenArchived sorts what is known of a log and keeps the latest.
func (x *indexReader) shortenArchived(log string) {
	all := x.archived[log]
	slices.Sort(all)
	all = slices.Compact(all)
	x.archived[log] = slices.Clone(all[max(0, len(all)-maxArchived):])
}

// eachLine calls f with each line of the index that can be read.
func (x *indexReader) eachLine(f func(text []byte) error) error {
	for i := 0; ; i++ {
		lines, err := x.open(i)
		if err != nil {
			continue // reported where windows are read
		}
		if lines == nil {
			return nil
		}
		if err := lines.each(f); err != nil {
			return err
		}
	}
}

// markedWindow returns the window of a mark as the recorder writes it, without parsing
// the line. It returns nil for other lines.
func markedWindow(text []byte) []byte {
	rest, ok := bytes.CutPrefix(text, []byte(`{"mark":"`))
	end := bytes.IndexAny(rest, `"\\`)
	if !ok || end < 0 || rest[end] != '"' {
		return nil
	}
	return rest[:end]
}

// parseMark returns the mark that a line is, nil if it is none that can be read.
func parseMark(text []byte) *Mark {
	if !bytes.Contains(text, []byte(`"mark"`)) {
		return nil
	}
	var m Mark
	if json.Unmarshal(text, &m) != nil || m.Window == "" {
		return nil
	}
	return &m
}
