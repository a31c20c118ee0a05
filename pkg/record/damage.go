package record

import (
	"errors"
	"fmt"
)

// DamageError is a part of a file that could not be read. Reading goes on
// after it.
type DamageError struct {
	File   string // path, or "-" for standard input
	Offset int64  // where the damage begins, in bytes of the file's content (decompressed, of a .gz file)
	Err    error  // what is wrong there; wraps one of the Err values below
}

func (e *DamageError) Error() string {
	if errors.Is(e.Err, ErrMissing) || errors.Is(e.Err, ErrUnsupported) && e.Offset == 0 {
		return e.File + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s: damaged at byte %d: %v", e.File, e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// What is wrong with a damaged part, as the Err of a DamageError.
var (
	ErrTruncated = errors.New("cut short")
	ErrMalformed = errors.New("not a record")
	ErrChecksum  = errors.New("checksum does not match")
	ErrMissing   = errors.New("file is missing")

	// ErrUnsupported is of what is intact, and not what the readers read.
	ErrUnsupported = errors.New("cannot be read")
)

// ErrNoMoreYet is the error of a source that is still being written and has
// nothing more to read now. It is not damage: a later read may give more.
var ErrNoMoreYet = errors.New("no more yet")
