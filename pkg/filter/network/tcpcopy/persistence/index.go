package persistence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// markRemoved notes in the index which of the windows' files are gone. A log that
// was rolled later had another name when the line was written: a window that
// closed before then had its lines there, or in a file rolled earlier.
func markRemoved(index *appendFile, removed []dumpFile) error {
	return index.rewrite(func(text []byte) []byte {
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

// markLine tells whether one of the removed files was w's and notes it.
func markLine(w *layout.WindowLine, removed []dumpFile) (changed bool) {
	for _, f := range removed {
		name := layout.TrimGzip(f.name)
		for i, own := range w.Files {
			named := own == f.name || own == name
			if !named && !rolledSince(name, own, w.Closed) {
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

// rolledSince tells whether name is what the log has been rolled to, at t or later.
func rolledSince(name, log string, t time.Time) bool {
	at, ok := layout.ParseArchive(name, log)
	return ok && !at.Before(t.Truncate(layout.ArchiveResolution)) // the name tells no more
}

// rewrite replaces the file by what change makes of its text. The file is locked
// meanwhile; readers see the old or the new one.
func (a *appendFile) rewrite(change func(text []byte) []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !exists(a.path) {
		return nil
	}
	if _, err := a.lockLocked(a.now()); err != nil {
		return err
	}
	defer a.closeLocked()
	text, err := os.ReadFile(a.path)
	if err != nil {
		return err
	}
	changed := change(text)
	if bytes.Equal(changed, text) {
		return nil
	}
	partial := a.path + layout.TemporaryExtension
	if err := os.WriteFile(partial, changed, fileMode); err != nil {
		_ = os.Remove(partial)
		return fmt.Errorf("rewrite %s: %w", a.path, err)
	}
	return os.Rename(partial, a.path)
}
