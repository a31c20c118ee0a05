package dump

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"mosn.io/tcpcopy/pkg/record"
)

// ReadIndex reads the lines of an index file, in their order. Lines that cannot
// be read are passed over and reported, as *record.DamageError values joined by
// errors.Join; what was read is returned with them.
func ReadIndex(path string) ([]WindowLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []WindowLine
	var errs []error
	var r lineReader
	r.reset(f)
	for {
		p, err := r.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				errs = append(errs, &record.DamageError{File: path, Offset: r.offset, Err: err})
			}
			return lines, errors.Join(errs...)
		}
		if !p.first || len(p.text) == 0 {
			continue
		}
		var w WindowLine
		switch err := json.Unmarshal(p.text, &w); {
		case !p.last:
			err = fmt.Errorf("%w: a line of more than %d bytes", record.ErrMalformed, lineBuffer)
			errs = appendDamage(errs, &record.DamageError{File: path, Offset: p.offset, Err: err})
		case err != nil:
			errs = appendDamage(errs, &record.DamageError{File: path, Offset: p.offset, Err: fmt.Errorf("%w: %w", record.ErrMalformed, err)})
		case w.Window == "":
			errs = appendDamage(errs, &record.DamageError{File: path, Offset: p.offset, Err: fmt.Errorf("%w: a line without a window", record.ErrMalformed)})
		default:
			lines = append(lines, w)
		}
	}
}

// maxIndexDamage bounds the faults of one index that are told apart.
const maxIndexDamage = 100

func appendDamage(errs []error, err error) []error {
	if len(errs) >= maxIndexDamage {
		return errs
	}
	return append(errs, err)
}
