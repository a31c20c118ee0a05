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

// ownerError says that a directory or a link belongs to another user.
type ownerError struct {
	Path string
	User uint32
}

func (e *ownerError) Error() string {
	if e.User == unmappedUser {
		return fmt.Sprintf("%s belongs to user %d: nobody, which also stands for users that a user namespace or an NFS server does not know", e.Path, e.User)
	}
	return fmt.Sprintf("%s belongs to user %d", e.Path, e.User)
}

// ErrFile says that a name stands for something that is not a regular file of this
// process's user.
var ErrFile = errors.New("not a regular file of this process's user, move it away")

// unmappedUser is the user that the system shows for owners which are unknown in the
// user namespace of this process.
const unmappedUser = 65534

// trusted reports whether files of that user are as good as those of this process.
func trusted(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// owners describes whom a directory may belong to.
func owners() string {
	if os.Geteuid() == 0 {
		return "that belongs to root, this process's user"
	}
	return fmt.Sprintf("that belongs to user %d, this process's, or to root", os.Geteuid())
}

// checkParent checks a directory above the one at path.
func checkParent(path, parent string, st *unix.Stat_t) error {
	if !trusted(st.Uid) {
		return &UnfitError{Path: path, Valid: fmt.Sprintf("below safe directories only: %s is not one %s; choose another place, or chown it", parent, owners()), Err: &ownerError{parent, st.Uid}}
	}
	return nil
}

// checkDir checks the directory at path itself.
func checkDir(path string, st *unix.Stat_t) error {
	if !trusted(st.Uid) {
		return &UnfitError{Path: path, Valid: "a directory " + owners() + "; run as its user, chown it, or name another one", Err: &ownerError{path, st.Uid}}
	}
	if perm := st.Mode & 0o777; perm&0o022 != 0 {
		return &UnfitError{Path: path, Valid: fmt.Sprintf("a directory that only its owner may write (it has mode %#o); chmod go-w it, or name a folder in it, which is created with mode %#o", perm, DirMode)}
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
