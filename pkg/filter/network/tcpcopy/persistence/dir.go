package persistence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// prepareDir creates the dump directory and makes sure that this process may
// write it and others may not: who may write to it could put a link in the place
// of a file that payload is written to.
func prepareDir(dir string) error {
	bad := func(valid string, err error) error {
		return errors.Join(&model.FieldError{Field: "output.dir", Value: dir, Valid: valid}, err)
	}
	if !filepath.IsAbs(dir) {
		return bad("an absolute path", nil)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return bad("a directory that this process may create", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return bad("a directory that this process may read", err)
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(dir)
		return bad(fmt.Sprintf("a directory and not a symbolic link to one; name %s itself", target), err)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return bad(fmt.Sprintf("a directory that only its owner may write (it has mode %#o); chmod go-w it, or name a folder in it, which is created with mode %#o", perm, dirMode), nil)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return bad("a directory that this process may write", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}
