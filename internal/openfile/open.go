package openfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// NotRegularError says that there is something else than a regular file.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegularError) Error() string {
	return fmt.Sprintf("%s is %s, valid: a regular file", e.Path, kindOf(e.Mode))
}

// Waits reports whether opening it, or reading from it, would wait for another process.
func (e *NotRegularError) Waits() bool { return e.Mode&(fs.ModeNamedPipe|fs.ModeSocket) != 0 }

// kindOf returns what people call a file of that mode.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeDevice != 0:
		return "a device"
	default:
		return "a special file"
	}
}

// TooLargeError says that a file is longer than its reader accepts.
type TooLargeError struct {
	Path  string
	Size  int64 // bytes; 0 where only the reading has shown that there are more than Limit
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("%s has more than %d bytes, which is the limit", e.Path, e.Limit)
	}
	return fmt.Sprintf("%s has %d bytes, valid: at most %d", e.Path, e.Size, e.Limit)
}

// Open opens the regular file name for reading, following symbolic links. It does not
// wait for another process, and it does not open a device. Anything else than a regular
// file is a *NotRegularError.
//
// It waits as long as the file system does: see Source.
func Open(name string) (*os.File, error) {
	// First without opening it: opening a device may act on it.
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, &NotRegularError{Path: name, Mode: info.Mode()}
	}
	f, err := openNonblocking(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &NotRegularError{Path: name, Mode: info.Mode()} // it has been replaced meanwhile
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openNonblocking opens name for reading, whatever it is. It does not wait for the other
// end of a pipe.
func openNonblocking(name string) (*os.File, error) {
	return os.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// ReadFile reads the regular file name, following symbolic links. A file of more than
// limit bytes is a *TooLargeError, and is not read.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &TooLargeError{Path: name, Size: info.Size(), Limit: limit}
	}
	return readAll(f, name, limit)
}

func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, &TooLargeError{Path: name, Limit: limit}
	}
	return text, err
}

// OpenInput opens what a person names on a command line, to read it: a regular file, or a
// pipe that the shell has opened already, as it does for <(command). A named pipe, which
// somebody may never write to, a device and a directory are a *NotRegularError. What
// /dev/stdin and /dev/fd/N stand for is opened whatever it is.
func OpenInput(name string) (*os.File, error) {
	f, err := openNonblocking(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.Mode().IsRegular() || inherited(name) && !info.IsDir() || isAnonymousPipe(f, info) {
		return f, nil
	}
	return nil, errors.Join(&NotRegularError{Path: name, Mode: info.Mode()}, f.Close())
}

// ReadInput reads all of what OpenInput opens, at most limit bytes.
func ReadInput(name string, limit int64) ([]byte, error) {
	f, err := OpenInput(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, limit)
}

// inherited reports whether name stands for a file that the process was started with.
func inherited(name string) bool {
	for _, prefix := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "/dev/stdin"
}

// isAnonymousPipe reports whether f is a pipe without a name in a file system.
func isAnonymousPipe(f *os.File, info fs.FileInfo) bool {
	raw, err := f.SyscallConn() // Fd would make reads of it block a thread
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return false
	}
	anonymous := false
	err = raw.Control(func(fd uintptr) {
		var system unix.Statfs_t
		anonymous = unix.Fstatfs(int(fd), &system) == nil && system.Type == unix.PIPEFS_MAGIC
	})
	return err == nil && anonymous
}
