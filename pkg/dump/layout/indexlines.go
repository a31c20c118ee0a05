package layout

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"mosn.io/tcpcopy/pkg/record"
)

// hasWindow reports whether a line is that of the window, and closes the file.
func (l *indexLines) hasWindow(window, run string) bool {
	defer l.close()
	wanted := []byte(window)
	for !l.ended {
		text, _, err := l.next()
		if err != nil || !bytes.Contains(text, wanted) {
			continue
		}
		w, err := parseWindow(text)
		if err == nil && w != nil && strings.HasPrefix(w.window, window) && w.run == run {
			return true
		}
	}
	return false
}

// indexLines are the lines of one file of an index.
type indexLines struct {
	path   string
	file   io.Closer // nil where there is nothing to close
	r      *bufio.Reader
	long   []byte // the line so far, where it is longer than r's memory
	offset int64  // of the next line
	ended  bool
}

func newIndexLines(path string, r io.Reader, file io.Closer) *indexLines {
	return &indexLines{path: path, file: file, r: bufio.NewReaderSize(r, 64<<10)}
}

func (l *indexLines) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

// next returns the next line without its newline, and where it begins. The text is
// valid until the next call. After the last line the error is io.EOF, and ended is set.
func (l *indexLines) next() (text []byte, at int64, err error) {
	at, l.long = l.offset, l.long[:0]
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		l.offset += int64(len(part))
		full := errors.Is(err, bufio.ErrBufferFull)
		if full || len(l.long) > 0 {
			if tooLong = tooLong || len(l.long)+len(part) > maxLine; !tooLong {
				l.long = append(l.long, part...)
			}
			part = l.long
		}
		if full {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			l.ended = true
			return nil, at, err
		}
		if l.offset == at {
			l.ended = true
			return nil, at, io.EOF
		}
		if tooLong {
			return nil, at, fmt.Errorf("%w: a line of more than %d bytes", record.ErrMalformed, maxLine)
		}
		return bytes.TrimSuffix(part, []byte("\n")), at, nil
	}
}

// each calls f with the lines that can be read, and closes the file.
func (l *indexLines) each(f func(text []byte) error) error {
	defer l.close()
	for {
		text, _, err := l.next()
		if l.ended {
			return nil
		}
		if err != nil {
			continue
		}
		if err := f(text); err != nil {
			return err
		}
	}
}
