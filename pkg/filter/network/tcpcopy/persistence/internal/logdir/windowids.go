package logdir

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"sync"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// windowIDs knows the ids of the windows whose segments have only the beginning of them
// in their names.
type windowIDs struct {
	mu    sync.Mutex // guards the rest
	known map[string]string
	order []string // of known, the one added first in front
}

// maxWindowIDs bounds the windows that are known without looking.
const maxWindowIDs = 4 << 10

// add adds the window of a set of segments.
func (w *windowIDs) add(set, window string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.known[set]; known {
		return
	}
	if w.known == nil {
		w.known = map[string]string{}
	}
	w.known[set] = window
	if w.order = append(w.order, set); len(w.order) > maxWindowIDs {
		delete(w.known, w.order[0])
		w.order = w.order[1:]
	}
}

// id returns the id of the window of the segment in the file of that name in dir: from
// the file itself where the window is not known. Where the file does not say it, the
// result is what the segment's name has of it.
func (w *windowIDs) id(dir *folder, name string, s layout.Segment) string {
	w.mu.Lock()
	id, known := w.known[s.Set()]
	w.mu.Unlock()
	if known {
		return id
	}
	if id = dir.readWindow(name, s.Window); id == "" {
		id = s.Window
	}
	w.add(s.Set(), id)
	return id
}

// windowWord begins the comment word of a segment that has the window's id.
const windowWord = "window="

// readWindow returns the id that begins with prefix from the first packets of a
// segment, "" where they do not have it.
func (f *folder) readWindow(name, prefix string) string {
	const uuid, most = 36, 16 << 10
	in, err := f.OpenToRead(name)
	if err != nil {
		return ""
	}
	defer in.Close()
	var r io.Reader = in
	if layout.TrimGzip(name) != name {
		if r, err = gzip.NewReader(in); err != nil {
			return ""
		}
	}
	text := make([]byte, most)
	n, err := io.ReadFull(r, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	text = text[:n]
	at := bytes.Index(text, []byte(windowWord+prefix))
	if at < 0 || len(text) < at+len(windowWord)+uuid {
		return ""
	}
	return string(text[at+len(windowWord) : at+len(windowWord)+uuid])
}
