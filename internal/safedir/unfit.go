package safedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// UnfitError says why a directory cannot be held.
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

// ErrOwner is the Err of an UnfitError for a directory, or one above it, that belongs to
// another user.
var ErrOwner = errors.New("it belongs to another user")

// ErrFile says that a name stands for something that is not a regular file of this
// process's user.
var ErrFile = errors.New("not a regular file of this process's user")

// unmappedUser is the user that the system shows for owners which are unknown in the
// user namespace of this process.
const unmappedUser = 65534

// trusted reports whether files of that user are as good as those of this process.
func trusted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// users describes who may own a directory.
func users(uid uint32) string {
	wanted := fmt.Sprintf("that belongs to this process's user %d or to root", os.Geteuid())
	if os.Geteuid() == 0 {
		wanted = "that belongs to root, this process's user"
	}
	found := fmt.Sprintf("user %d", uid)
	if uid == unmappedUser {
		found += ", nobody, which is also what a user namespace shows for users that it does not know"
	}
	return wanted + " (it belongs to " + found + ")"
}

// checkParent checks a directory above the one at path.
func checkParent(path, parent string, st *unix.Stat_t) error {
	if !trusted(st.Uid) {
		return &UnfitError{Path: path, Valid: fmt.Sprintf("below directories that are all safe: %s is not one %s; choose another place, or chown it", parent, users(st.Uid)), Err: ErrOwner}
	}
	return nil
}

// checkDir checks the directory at path itself.
func checkDir(path string, st *unix.Stat_t) error {
	if !trusted(st.Uid) {
		return &UnfitError{Path: path, Valid: "a directory " + users(st.Uid) + "; run as that user, chown it, or name another one", Err: ErrOwner}
	}
	if perm := st.Mode & 0o7777; perm&0o022 != 0 {
		return &UnfitError{Path: path, Valid: fmt.Sprintf("a directory that only its owner may write (it has mode %#o); chmod go-w it, or name a folder in it, which is created with mode %#o", perm&0o777, DirMode)}
	}
	return nil
}

// checkFile checks what has been opened in the directory.
func checkFile(path string, st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is %s: %w", kind(st.Mode), ErrFile)}
	case int(st.Uid) != os.Geteuid():
		return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it belongs to user %d: %w", st.Uid, ErrFile)}
	}
	return nil
}

// kind returns what a file of that mode is, for errors.
func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}
