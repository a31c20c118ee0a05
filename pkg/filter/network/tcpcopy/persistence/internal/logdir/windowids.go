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

	reading sync.Mutex     // guards the rest, and is held while a file is read
	text    [16 << 10]byte // what was read of it
	gzip    gzip.Reader
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
	if id = w.read(dir, name, s.Window); id == "" {
		id = s.Window
	}
	w.add(s.Set(), id)
	return id
}

// windowWord begins the comment word of a segment that has the window's id.
const windowWord = "window="

// read returns the id that begins with prefix from the first packets of the segment in
// the file of that name, "" where they do not have it. Thousands of files a second may
// be read, so the memory for it is used again.
func (w *windowIDs) read(dir *folder, name, prefix string) string {
	const uuid = 36
	in, err := dir.OpenToRead(name)
	if err != nil {
		return ""
	}
	defer in.Close()
	w.reading.Lock()
	defer w.reading.Unlock()
	var r io.Reader = in
	if layout.TrimGzip(name) != name {
		if err = w.gzip.Reset(in); err != nil {
			return ""
		}
		r = &w.gzip
	}
	n, err := io.ReadFull(r, w.text[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	text := w.text[:n]
	at := bytes.Index(text, []byte(windowWord+prefix))
	if at < 0 || len(text) < at+len(windowWord)+uuid {
		return ""
	}
	return string(text[at+len(windowWord) : at+len(windowWord)+uuid])
}
