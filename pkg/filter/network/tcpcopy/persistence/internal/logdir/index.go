package logdir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// Index is the index of windows: a log of one line per window, which is never rolled
// and whose lines are marked when files of their windows are gone.
type Index struct {
	folder *folder
	log    *AppendLog // has no quota: that would wait for itself
	quota  *quota
}

// Append writes lines of windows, even after a failure. Where nothing can be removed to
// make room, the lines are written even so: they are the account.
func (x *Index) Append(lines []byte) error {
	x.log.Retry()
	if n := len(lines); x.quota.Reserve(n) == nil {
		defer x.quota.Release(n)
	}
	return x.log.Append(lines)
}

// MarkMissing marks those of a window's files that retention has removed while the
// window's line was on its way to the index, and that the line does not have among
// the removed ones yet. files and marked are base names.
func (x *Index) MarkMissing(files, marked []string) error {
	var late []dumpFile
	for _, name := range x.folder.missing(files) {
		if !layout.IsLog(name) && !slices.Contains(marked, name) {
			late = append(late, dumpFile{name: name})
		}
	}
	if len(late) == 0 {
		return nil
	}
	return x.markRemoved(late)
}

// markRemoved marks in the index which of the windows' files are gone. A log that
// was rolled later had another name when the line was written: a window that
// closed before then had its lines there, or in a file rolled earlier.
func (x *Index) markRemoved(removed []dumpFile) error {
	return x.log.rewrite(func(text []byte) []byte {
		var out []byte
		for _, line := range bytes.SplitAfter(text, []byte("\n")) {
			var w layout.WindowLine
			if json.Unmarshal(line, &w) != nil || !markLine(&w, removed) {
				out = append(out, line...)
				continue
			}
			out = w.AppendJSON(out)
		}
		return out
	})
}

// markLine marks those of the removed files that were w's. changed reports whether
// there were any that w did not have yet.
func markLine(w *layout.WindowLine, removed []dumpFile) (changed bool) {
	for _, f := range removed {
		name := layout.TrimGzip(f.name)
		for i, own := range w.Files {
			named := own == f.name || own == name
			if !named && !archivedSince(name, own, w.Closed) {
				continue
			}
			if !named {
				w.Files[i] = name
			}
			if !slices.Contains(w.Removed, name) {
				w.Removed = append(w.Removed, name)
				changed = true
			}
		}
	}
	return changed
}

// archivedSince reports whether name is an archive of the log from t or later.
func archivedSince(name, log string, t time.Time) bool {
	at, ok := layout.ParseArchive(name, log)
	return ok && !at.Before(t.Truncate(layout.ArchiveResolution)) // the name is no finer
}

// rewrite replaces the file by what change makes of its text. The file is locked
// meanwhile; readers see the old or the new one.
func (a *AppendLog) rewrite(change func(text []byte) []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.folder.Has(a.name) {
		return nil
	}
	size, err := a.lockLocked(a.clock.Now())
	if err != nil {
		return err
	}
	defer a.closeLocked()
	text := make([]byte, size)
	if _, err := a.file.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	changed := change(text)
	if bytes.Equal(changed, text) {
		return nil
	}
	partial := a.name + layout.TemporaryExtension
	f, err := a.folder.CreateAnew(partial) // what has the name is a killed process's: ours is locked
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", a.Path(), err)
	}
	_, err = f.Write(changed)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("rewrite %s: %w", a.Path(), errors.Join(err, a.folder.Remove(partial)))
	}
	return a.folder.Rename(partial, a.name)
}
