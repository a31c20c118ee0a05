package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// windowKey names the window of a line.
type windowKey struct{ window, run string }

// windowText is the line of a window with what the marks say of it.
type windowText struct {
	windowKey
	text    []byte
	files   []string // that were written later
	removed []string // those of the window's files that are removed
	calls   map[string]CallCount
}

// add adds what a mark says that concerns the line.
func (w *windowText) add(m *Mark) {
	if m.Calls != nil {
		w.calls = m.Calls
	}
	if len(w.files) < maxMarked {
		w.files = append(w.files, m.Files...)
	}
	for _, name := range m.Removed {
		name = TrimGzip(name)
		quoted, _ := json.Marshal(name) // a string cannot fail
		if bytes.Contains(w.text, quoted) || slices.Contains(w.files, name) {
			w.removed = append(w.removed, name)
		}
	}
}

// maxMarked bounds the files that marks add to a window.
const maxMarked = 1 << 10

// merge returns the line as the marks amend it.
func (w *windowText) merge(archived map[string][]int64) (*WindowLine, error) {
	var line WindowLine
	if err := json.Unmarshal(w.text, &line); err != nil {
		return nil, err
	}
	if w.calls != nil {
		line.Calls = w.calls
	}
	for _, name := range w.files {
		if !line.hasFile(name) {
			line.Files = append(line.Files, name)
		}
	}
	gone := map[string]bool{}
	for _, name := range line.Removed {
		gone[name] = true
	}
	for _, name := range w.removed {
		if !gone[name] && line.hasFile(name) {
			gone[name] = true
			line.Removed = append(line.Removed, name)
		}
	}
	for i, name := range line.Files {
		if at, ok := removedArchive(&line, name, archived); ok {
			line.Files[i] = at
			line.addRemoved(at)
		}
	}
	return &line, nil
}

// removedArchive returns the archive in which w had its lines of a file, a log or an
// archive, when that is among the removed ones.
func removedArchive(w *WindowLine, file string, archived map[string][]int64) (name string, ok bool) {
	for log, moments := range archived {
		if len(moments) == 0 {
			continue
		}
		switch at, isArchive := ParseArchive(file, log); {
		case isArchive:
			_, gone := slices.BinarySearch(moments, at.UnixMilli())
			return file, gone
		case file == log:
			i, _ := slices.BinarySearch(moments, w.Closed.Truncate(ArchiveResolution).UnixMilli())
			if i == len(moments) {
				return "", false
			}
			return Archive(log, time.UnixMilli(moments[i])), true
		}
	}
	return "", false
}

// parseWindow returns the line of a window, nil for an empty line and for a mark. text
// is the caller's.
func parseWindow(text []byte) (*windowText, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if bytes.Contains(text, []byte(`"mark"`)) {
		var mark struct {
			Mark *string `json:"mark"`
		}
		if json.Unmarshal(text, &mark) == nil && mark.Mark != nil {
			return nil, nil // whatever else a later version has in it
		}
	}
	var line WindowLine
	if err := json.Unmarshal(text, &line); err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrMalformed, err)
	}
	if line.Window == "" && isSkip(text) {
		return nil, nil
	}
	if line.Window == "" {
		return nil, fmt.Errorf("%w: a line without a window", record.ErrMalformed)
	}
	return &windowText{windowKey: windowKey{line.Window, line.Run}, text: slices.Clone(text)}, nil
}
