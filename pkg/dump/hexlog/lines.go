package hexlog

import (
	"bytes"
	"errors"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// lineBuffer is how much of a line is held at once. Longer lines come in parts,
// so that memory does not depend on what a file contains.
const lineBuffer = 256 << 10

// lineReader cuts a stream into lines.
type lineReader struct {
	src        io.Reader
	buf        []byte // of lineBuffer bytes; buf[start:end] is read and not yet returned
	start, end int
	searched   int   // bytes of buf[start:end] known to hold no newline
	offset     int64 // of buf[start] in the stream
	within     bool  // the part returned last did not end its line
	err        error // what ended the stream
}

// linePart is a line, or a part of a long one.
type linePart struct {
	text   []byte // without the newline; valid until the next call
	offset int64  // of text in the stream
	first  bool   // text begins the line
	last   bool   // text ends the line
	cut    bool   // the stream ended before the line did
}

func (l *lineReader) reset(src io.Reader) {
	if l.buf == nil {
		l.buf = make([]byte, lineBuffer)
	}
	*l = lineReader{src: src, buf: l.buf}
}

// next returns the next part. record.ErrNoMoreYet means that a later call may give more; any
// other error is final.
func (l *lineReader) next() (linePart, error) {
	for {
		held := l.buf[l.start:l.end]
		if i := bytes.IndexByte(held[l.searched:], '\n'); i >= 0 {
			return l.cutPart(l.searched+i, 1, true), nil
		}
		l.searched = len(held)
		if len(held) == len(l.buf) {
			return l.cutPart(len(held), 0, false), nil
		}
		if l.err != nil {
			if len(held) == 0 && !l.within {
				return linePart{}, l.err
			}
			p := l.cutPart(len(held), 0, true)
			p.cut = true
			return p, nil
		}
		if err := l.fill(); err != nil {
			return linePart{}, err
		}
	}
}

// cutPart returns the next n bytes and passes over skip more.
func (l *lineReader) cutPart(n, skip int, last bool) linePart {
	p := linePart{text: l.buf[l.start : l.start+n], offset: l.offset, first: !l.within, last: last}
	l.start += n + skip
	l.offset += int64(n + skip)
	l.searched = 0
	l.within = !last
	return p
}

// unread makes the last n bytes of the part that next returned, which was not the
// last of its line, the first of the next part.
func (l *lineReader) unread(n int) {
	l.start -= n
	l.offset -= int64(n)
}

// fill reads more, once.
func (l *lineReader) fill() error {
	if l.start > 0 && len(l.buf)-l.end < len(l.buf)/4 {
		copy(l.buf, l.buf[l.start:l.end])
		l.end -= l.start
		l.start = 0
	}
	n, err := l.src.Read(l.buf[l.end:])
	l.end += n
	if errors.Is(err, record.ErrNoMoreYet) {
		if n > 0 {
			return nil
		}
		return err
	}
	l.err = err
	return nil
}
