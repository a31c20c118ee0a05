package layout

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/pkg/record"
)

// WindowLine is one line of the index: a finished window and its accounts.
type WindowLine struct {
	Window  string         `json:"window"`
	Trigger record.Trigger `json:"trigger"`
	Opened  time.Time      `json:"opened"`
	Closed  time.Time      `json:"closed"`
	Run     string         `json:"run"`
	Ports   []string       `json:"ports"`
	record.Accounts
	Files     []string `json:"files"`               // base names, in the order of writing
	Removed   []string `json:"removed,omitempty"`   // those of them that retention has removed
	Recovered bool     `json:"recovered,omitempty"` // written from what a killed process left
}

// AppendJSON appends w as a line of the index and returns the extended slice.
func (w *WindowLine) AppendJSON(dst []byte) []byte {
	text, err := json.Marshal(w)
	if err != nil {
		panic(err) // no field of WindowLine can fail
	}
	return append(append(dst, text...), '\n')
}

const (
	maxLine   = 256 << 10 // bytes of an index line that is read, its newline included
	maxFaults = 100       // faults of one index that are reported one by one
)

// ReadIndex returns the lines of an index file, in their order. It passes over
// lines that it cannot read and reports them as *record.DamageError values joined by
// errors.Join; what it could read is returned with them.
func ReadIndex(path string) ([]WindowLine, error) {
	f, err := openfile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []WindowLine
	var errs []error
	fault := func(offset int64, err error) {
		if len(errs) < maxFaults {
			errs = append(errs, &record.DamageError{File: path, Offset: offset, Err: err})
		}
	}
	r := bufio.NewReaderSize(f, maxLine)
	offset, within := int64(0), false // within a line of which a part was too long
	for {
		text, err := r.ReadSlice('\n')
		begins, at := !within, offset
		offset += int64(len(text))
		within = errors.Is(err, bufio.ErrBufferFull)
		if begins {
			w, errLine := parseLine(text, within)
			switch {
			case errLine != nil:
				fault(at, errLine)
			case w != nil:
				lines = append(lines, *w)
			}
		}
		switch {
		case err == nil || within:
		case errors.Is(err, io.EOF):
			return lines, errors.Join(errs...)
		default:
			errs = append(errs, &record.DamageError{File: path, Offset: offset, Err: err})
			return lines, errors.Join(errs...)
		}
	}
}

// parseLine returns what a line says, nil for an empty one. tooLong says that text is
// the beginning of a line that is too long for the buffer.
func parseLine(text []byte, tooLong bool) (*WindowLine, error) {
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	var w WindowLine
	switch {
	case len(text) == 0:
		return nil, nil
	case tooLong:
		return nil, fmt.Errorf("%w: a line of more than %d bytes", record.ErrMalformed, maxLine)
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrMalformed, err)
	}
	if w.Window == "" {
		return nil, fmt.Errorf("%w: a line without a window", record.ErrMalformed)
	}
	return &w, nil
}
