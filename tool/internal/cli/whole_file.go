package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// writeWhole has write fill a new file beside path and renames it when it is
// whole: only the owner may read it, because it holds payload. What is at path and
// is no regular file, such as a device or a pipe, is written to as it is, and never
// replaced. A symbolic link is followed unless it is another user's. The errors of the
// file begin with what.
func writeWhole(ctx context.Context, what, path string, write func(io.Writer) error) (err error) {
	if path, err = followOwn(path); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeInto(ctx, what, path, write)
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
func writeInto(ctx context.Context, what, path string, write func(io.Writer) error) (err error) {
	f, err := openOutput(ctx, path, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

// maxLinks bounds the symbolic links that are followed from one to the next.
const maxLinks = 40

// followOwn returns what path leads to when it is a symbolic link, path itself otherwise.
// It refuses a link of another user, who could have put it there to have one of this
// user's files overwritten.
func followOwn(path string) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return "", fmt.Errorf("%s is a symbolic link of user %d, and only your own and root's are followed", path, st.Uid)
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path)) // which ".." in target goes from
			if err != nil {
				return "", err
			}
			target = filepath.Join(dir, target)
		}
		if leads, err := os.Stat(path); err == nil && !isFile(leads, target) {
			return path, nil // the link holds no path, as in /proc/self/fd
		}
		path = target
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}

// isFile reports whether path leads to the file of that info.
func isFile(info fs.FileInfo, path string) bool {
	there, err := os.Stat(path)
	return err == nil && os.SameFile(info, there)
}

// openPrivate opens the file at path to be written from its start, which only its owner
// may read, because it holds payload. A device or a pipe is opened as it is, see openOutput.
func openPrivate(ctx context.Context, path string) (*os.File, error) {
	path, err := followOwn(path)
	if err != nil {
		return nil, err
	}
	f, err := openOutput(ctx, path, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
			err = fmt.Errorf("%s belongs to user %d, who could read it", path, st.Uid)
		} else {
			err = errors.Join(f.Chmod(0o600), f.Truncate(0))
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
