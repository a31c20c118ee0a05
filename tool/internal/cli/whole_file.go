package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writeWhole has write fill a new file beside path and renames it when it is
// whole: only the owner may read it, because it holds payload. What is at path and
// is no regular file, such as a device or a pipe, is written to as it is, and never
// replaced. The errors of the file begin with what.
func writeWhole(what, path string, write func(io.Writer) error) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeInto(what, path, write)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // the mode is 0600
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	return write(f)
}

// writeInto has write fill what is at path already.
func writeInto(what, path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}
