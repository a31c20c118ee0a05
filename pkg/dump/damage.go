package dump

import (
	"errors"
	"fmt"
)

// DamageError is a part of a file that could not be read.
type DamageError struct {
	File   string // path, or "-" for standard input
	Offset int64  // where the damage begins, in bytes of the file's content (decompressed, of a .gz file)
	Err    error  // what is wrong there
}

func (e *DamageError) Error() string {
	if errors.Is(e.Err, ErrMissing) {
		return e.File + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s: damaged at byte %d: %v", e.File, e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// What is wrong with damaged parts, as the Err of a DamageError.
var (
	ErrTruncated = errors.New("cut short")
	ErrMalformed = errors.New("not a record")
	ErrChecksum  = errors.New("checksum does not match")
	ErrMissing   = errors.New("file is missing")
)

// errIdle says that a file that is still being written has no more to read yet.
var errIdle = errors.New("no more yet")
