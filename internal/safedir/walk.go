package safedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds the symbolic links on the way to a directory, as the kernel does.
const maxLinks = 40

// walk is the way from the root to a directory, one component at a time, so that each
// one is checked as it is entered and cannot be replaced between the two.
type walk struct {
	path   string // where it leads
	create bool   // what is not there is created
	link   bool   // the last component may be a symbolic link, too
	linked bool   // it is one
	at     int    // descriptor of the directory that has been reached
	name   string // its path, for errors
	shared bool   // others may put files into it
	sticky bool   // but not replace those that are not theirs
	links  int
}

// openDir opens the directory at path, an absolute one, and checks it and those above
// it. With create, it and those above it are created where there are none. link says
// whether path itself may be a symbolic link; linked reports whether it is one.
func openDir(path string, create, link bool) (f *os.File, linked bool, err error) {
	if !filepath.IsAbs(path) {
		return nil, false, &UnfitError{Path: path, Valid: "an absolute path"}
	}
	w := &walk{path: filepath.Clean(path), create: create, link: link, at: -1}
	defer w.enter(-1, "")
	f, err = w.open()
	return f, w.linked, err
}

// open goes all the way and opens the directory there.
func (w *walk) open() (*os.File, error) {
	if err := w.root(); err != nil {
		return nil, err
	}
	rest := components(w.path)
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		target, err := w.step(name, len(rest) == 0)
		if err != nil {
			return nil, err
		}
		if target != "" {
			if filepath.IsAbs(target) {
				if err := w.root(); err != nil {
					return nil, err
				}
			}
			rest = append(components(target), rest...)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(w.at, &st); err != nil {
		return nil, w.fault("stat", w.path, err)
	}
	if err := checkDir(w.path, &st); err != nil {
		return nil, err
	}
	fd, err := openat(w.at, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &UnfitError{Path: w.path, Valid: "a directory that this process may read", Err: err}
	}
	return os.NewFile(uintptr(fd), w.path), nil
}

// components returns the names that a path consists of. ".." is one of them: behind a
// symbolic link it is not what precedes it in the text.
func components(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool { return name == "" || name == "." })
}

// root goes to the root directory.
func (w *walk) root() error {
	fd, err := openat(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return w.fault("open", "/", err)
	}
	w.enter(fd, "/")
	return w.check("/")
}

// check checks the directory that has been reached, which is above the one looked for.
func (w *walk) check(name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(w.at, &st); err != nil {
		return w.fault("stat", name, err)
	}
	w.shared, w.sticky = st.Mode&0o022 != 0, st.Mode&unix.S_ISVTX != 0
	return checkParent(w.path, name, &st)
}

// step goes to name, or returns where that leads when it is a symbolic link. last says
// that it is the directory looked for.
func (w *walk) step(name string, last bool) (target string, err error) {
	path := filepath.Join(w.name, name)
	fd, err := openat(w.at, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) && w.create {
		if err := unix.Mkdirat(w.at, name, DirMode); err != nil && !errors.Is(err, unix.EEXIST) {
			return "", &UnfitError{Path: w.path, Valid: "a directory that this process may create", Err: w.fault("mkdir", path, err)}
		}
		fd, err = openat(w.at, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		err = w.fault("open", path, err)
		if w.create {
			err = &UnfitError{Path: w.path, Valid: "a directory that this process may create", Err: err}
		}
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return "", w.fault("stat", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		w.enter(fd, path)
		if last {
			return "", nil
		}
		return "", w.check(path)
	case unix.S_IFLNK:
		defer func() { _ = unix.Close(fd) }()
		return w.follow(fd, path, &st, last)
	}
	_ = unix.Close(fd)
	return "", &UnfitError{Path: w.path, Valid: "a directory", Err: w.fault("open", path, unix.ENOTDIR)}
}

// follow returns the target of the symbolic link that fd stands for.
func (w *walk) follow(fd int, path string, st *unix.Stat_t, last bool) (target string, err error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", w.fault("readlink", path, err)
	}
	target = string(buf[:n])
	if last && !w.link {
		named := target
		if !filepath.IsAbs(named) {
			named = filepath.Join(w.name, named)
		}
		return "", &UnfitError{Path: w.path, Valid: "a directory, as it was when it was opened first, and not a symbolic link to " + named}
	}
	if w.links++; w.links > maxLinks {
		return "", &UnfitError{Path: w.path, Valid: "a directory", Err: w.fault("open", path, unix.ELOOP)}
	}
	if !trusted(st.Uid) {
		return "", &UnfitError{Path: w.path, Valid: "reached through safe symbolic links only: " + path + " is not one " + owners(), Err: &ownerError{path, st.Uid}}
	}
	// A second name of somebody's link may have been put there by anybody.
	if w.shared && (!w.sticky || st.Nlink > 1) {
		return "", &UnfitError{Path: w.path, Valid: "reached through safe symbolic links only: others may replace " + path + ", because they may write " + w.name}
	}
	w.linked = w.linked || last
	return target, nil
}

// enter makes fd the directory that has been reached.
func (w *walk) enter(fd int, name string) {
	if w.at >= 0 {
		_ = unix.Close(w.at)
	}
	w.at, w.name = fd, name
}

func (w *walk) fault(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// openat opens name relative to a directory. It follows no link that name may be
// itself, and does not wait for the other end of a pipe.
func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	for {
		fd, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
