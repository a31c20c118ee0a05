package safedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// at calls f with the descriptor of the directory, for an operation on the file name.
func (d *Dir) at(op, name string, f func(dir int) error) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return &fs.PathError{Op: op, Path: d.Join(name), Err: fmt.Errorf("%w: not a base name", fs.ErrInvalid)}
	}
	held, err := d.holding()
	if err != nil {
		return err
	}
	if err := control(held, f); err != nil {
		var already *fs.PathError
		if errors.As(err, &already) {
			return err
		}
		return &fs.PathError{Op: op, Path: d.Join(name), Err: err}
	}
	return nil
}

// open opens the file name and checks it.
func (d *Dir) open(name string, flags int) (f *os.File, err error) {
	err = d.at("open", name, func(dir int) error {
		fd, err := openat(dir, name, flags, FileMode)
		if errors.Is(err, unix.ELOOP) {
			return fmt.Errorf("it is a symbolic link: %w", ErrFile)
		}
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil {
			err = checkFile(d.Join(name), &st)
		}
		if err == nil {
			err = unix.SetNonblock(fd, false) // which regular files do not heed
		}
		if err != nil {
			_ = unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), d.Join(name))
		return nil
	})
	return f, err
}

// Create creates the file name, which must not be there, for reading and writing.
func (d *Dir) Create(name string) (*os.File, error) {
	return d.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

// CreateAnew removes what has that name, whatever it is, and creates the file. The name
// must be one that nobody else uses.
func (d *Dir) CreateAnew(name string) (*os.File, error) {
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return d.Create(name)
}

// OpenOrCreate opens the file name for reading and writing, and creates it if it is not
// there. Where others have access to the file that is there, its mode becomes FileMode,
// unless it has other names too: see [HasOtherNames].
func (d *Dir) OpenOrCreate(name string) (*os.File, error) {
	f, err := d.open(name, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm() != FileMode && !HasOtherNames(f) {
		err = f.Chmod(FileMode)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// OpenToWrite opens the file name, which is there and has no other name, for reading
// and writing.
func (d *Dir) OpenToWrite(name string) (*os.File, error) {
	f, err := d.open(name, unix.O_RDWR)
	if err == nil && HasOtherNames(f) {
		_ = f.Close()
		return nil, &fs.PathError{Op: "open", Path: d.Join(name), Err: fmt.Errorf("it is a hard link, the file has other names: %w", ErrFile)}
	}
	return f, err
}

// OpenToRead opens the file name for reading.
func (d *Dir) OpenToRead(name string) (*os.File, error) { return d.open(name, unix.O_RDONLY) }

// HasOtherNames reports whether a file has more than one name: the others may be
// anywhere, and what is written to the file is written there too.
func HasOtherNames(f *os.File) bool {
	var st unix.Stat_t
	err := control(f, func(fd int) error { return unix.Fstat(fd, &st) })
	return err == nil && st.Nlink > 1
}

// Rename gives the file from the name to, and replaces what has that.
func (d *Dir) Rename(from, to string) error {
	return d.at("rename", from, func(dir int) error {
		return d.at("rename", to, func(int) error { return unix.Renameat(dir, from, dir, to) })
	})
}

// Remove removes the file name.
func (d *Dir) Remove(name string) error {
	return d.at("remove", name, func(dir int) error { return unix.Unlinkat(dir, name, 0) })
}

// Info is what a directory knows of a file.
type Info struct {
	Name     string
	Regular  bool // it is a regular file
	Size     int64
	Modified time.Time
	device   uint64
	inode    uint64
}

// Stat returns what name stands for. It follows no link.
func (d *Dir) Stat(name string) (Info, error) {
	info := Info{Name: name}
	err := d.at("stat", name, func(dir int) error { return info.stat(dir) })
	return info, err
}

// stat fills in what is known of the file of i's name.
func (i *Info) stat(dir int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, i.Name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	i.Regular = st.Mode&unix.S_IFMT == unix.S_IFREG
	i.Size, i.Modified = st.Size, time.Unix(st.Mtim.Unix())
	i.device, i.inode = st.Dev, st.Ino
	return nil
}

// Has reports whether something has that name.
func (d *Dir) Has(name string) bool {
	_, err := d.Stat(name)
	return err == nil
}

// Is reports whether name is a name of f.
func (d *Dir) Is(f *os.File, name string) bool {
	var st unix.Stat_t
	if control(f, func(fd int) error { return unix.Fstat(fd, &st) }) != nil {
		return false
	}
	there, err := d.Stat(name)
	return err == nil && there.device == st.Dev && there.inode == st.Ino
}

// SetModified sets when the file name was changed last.
func (d *Dir) SetModified(name string, t time.Time) error {
	return d.at("set times", name, func(dir int) error {
		spec := unix.NsecToTimespec(t.UnixNano())
		return unix.UtimesNanoAt(dir, name, []unix.Timespec{spec, spec}, unix.AT_SYMLINK_NOFOLLOW)
	})
}
