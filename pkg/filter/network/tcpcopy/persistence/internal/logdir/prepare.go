package logdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// UnfitError says why a directory cannot be the dump directory.
type UnfitError struct {
	Path  string
	Valid string // what it has to be, such as "an absolute path"
	Err   error  // the system's error; nil when there is none
}

func (e *UnfitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s is not %s", e.Path, e.Valid)
	}
	return fmt.Sprintf("%s is not %s: %v", e.Path, e.Valid, e.Err)
}

// Unwrap returns the system's error.
func (e *UnfitError) Unwrap() error { return e.Err }

// Prepare creates the dump directory. It returns an *UnfitError unless this process
// may write it and others may not: who may write to it could put a link in the place
// of a file that payload is written to.
func Prepare(dir string) error {
	unfit := func(valid string, err error) error { return &UnfitError{Path: dir, Valid: valid, Err: err} }
	if !filepath.IsAbs(dir) {
		return unfit("an absolute path", nil)
	}
	if err := os.MkdirAll(dir, DirMode); err != nil {
		return unfit("a directory that this process may create", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return unfit("a directory that this process may read", err)
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(dir)
		return unfit(fmt.Sprintf("a directory and not a symbolic link to one; name %s itself", target), err)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return unfit(fmt.Sprintf("a directory that only its owner may write (it has mode %#o); chmod go-w it, or name a folder in it, which is created with mode %#o", perm, DirMode), nil)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return unfit("a directory that this process may write", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
