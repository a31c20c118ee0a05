package safedir

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Modes of what a Dir creates.
const (
	DirMode  = 0o700
	FileMode = 0o600
)

// Dir is a directory that is held by its descriptor. It is opened and checked when it is
// first used. Its methods may be called by several goroutines at once. They accept
// base names only.
type Dir struct {
	path   string
	create bool

	mu     sync.Mutex // guards the rest, and is held while the directory is opened
	held   *os.File   // the directory; nil before the first use
	linked bool       // path was a symbolic link at the first use
	closed bool
}

// New returns the directory at path, an absolute one, which the first use creates if it
// is not there. The caller calls Close.
func New(path string) *Dir { return &Dir{path: filepath.Clean(path), create: true} }

// Existing returns the directory at path, an absolute one, which is not created: where
// it is not there, errors are [fs.ErrNotExist]. The caller calls Close.
func Existing(path string) *Dir { return &Dir{path: filepath.Clean(path)} }

// Path returns the path of the directory.
func (d *Dir) Path() string { return d.path }

// Join returns the path of the file of that name, for messages.
func (d *Dir) Join(name string) string { return filepath.Join(d.path, name) }

// Open opens and checks the directory unless that has been done.
func (d *Dir) Open() error {
	_, err := d.holding()
	return err
}

// Prepare opens the directory, and creates it if it is to be created. It returns an
// *UnfitError unless it is safe and this process may write it.
func (d *Dir) Prepare() error {
	if err := d.Open(); err != nil {
		return err
	}
	var random [8]byte
	_, _ = rand.Read(random[:])
	name := ".probe-" + hex.EncodeToString(random[:])
	probe, err := d.Create(name)
	if err != nil {
		return &UnfitError{Path: d.path, Valid: "a directory that this process may write", Err: err}
	}
	return errors.Join(probe.Close(), d.Remove(name))
}

// Change is what has become of the directory that a Dir held.
type Change int

// The changes that Refresh finds.
const (
	Unchanged Change = iota
	Removed          // there is another one now, because it was removed
	Replaced         // its path stands for another one now, and it is elsewhere
)

// Refresh checks the directory again. Where its path stands for another directory by
// now, or for none, it opens and checks that one, and creates it if it is to be created.
// It holds that one from then on. After an error it holds what it held.
func (d *Dir) Refresh() (Change, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		return Unchanged, d.openLocked()
	}
	var there, held unix.Stat_t
	if err := d.statLocked(&held); err != nil {
		return Unchanged, err
	}
	// A link to what is held does no harm.
	if unix.Stat(d.path, &there) == nil && there.Dev == held.Dev && there.Ino == held.Ino {
		return Unchanged, checkDir(d.path, &held)
	}
	before := d.held
	if err := d.openLocked(); err != nil {
		return Unchanged, err
	}
	_ = before.Close()
	if held.Nlink == 0 {
		return Removed, nil
	}
	return Replaced, nil
}

func (d *Dir) statLocked(st *unix.Stat_t) error {
	return control(d.held, func(fd int) error { return unix.Fstat(fd, st) })
}

// openLocked opens the directory.
func (d *Dir) openLocked() error {
	if d.closed {
		return fmt.Errorf("%s: %w", d.path, fs.ErrClosed)
	}
	f, linked, err := openDir(d.path, d.create, d.held == nil || d.linked)
	if err != nil {
		return err
	}
	d.held, d.linked = f, linked
	return nil
}

// holding returns the directory, open.
func (d *Dir) holding() (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		if err := d.openLocked(); err != nil {
			return nil, err
		}
	}
	return d.held, nil
}

// Close closes the directory. The files that were opened in it stay open. It is
// idempotent.
func (d *Dir) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.held != nil {
		_ = d.held.Close() // what is at it goes on with it
		d.held = nil
	}
}

// control calls use with the descriptor of a file, which is not closed meanwhile.
func control(f *os.File, use func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var fault error
	if err := conn.Control(func(fd uintptr) { fault = use(int(fd)) }); err != nil {
		return err
	}
	return fault
}

// Names returns the names of what is in the directory, in no order.
func (d *Dir) Names() (names []string, err error) {
	held, err := d.holding()
	if err != nil {
		return nil, err
	}
	var f *os.File
	err = control(held, func(dir int) error {
		// A descriptor of its own has a position of its own.
		fd, err := openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return &fs.PathError{Op: "open", Path: d.path, Err: err}
		}
		f = os.NewFile(uintptr(fd), d.path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// List returns what the directory knows of the files whose names are wanted, in no
// order.
func (d *Dir) List(wanted func(name string) bool) ([]Info, error) {
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	var files []Info
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		if info, err := d.Stat(name); err == nil { // else it is gone meanwhile
			files = append(files, info)
		}
	}
	return files, nil
}

// Statfs returns what is known of the directory's file system.
func (d *Dir) Statfs() (st unix.Statfs_t, err error) {
	held, err := d.holding()
	if err != nil {
		return st, err
	}
	return st, control(held, func(fd int) error { return unix.Fstatfs(fd, &st) })
}
