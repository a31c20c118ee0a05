package blockfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PageSize is what offsets, lengths and memory of direct writes are multiples of:
// the page size, in bytes, which all file systems that allow direct I/O accept.
const PageSize = 4096

// directMin is how many bytes make a direct write worth its round trip to the
// disk; fewer go through the page cache.
const directMin = 256 << 10

// Options say what a File needs of its owner. The zero value limits nothing and
// allows no AppendZeroCopy.
type Options struct {
	// Space limits what is written; nil limits nothing.
	Space Space
	// Padding appends a padding block of n bytes to dst: a multiple of four, and
	// MinPadding at least. It is nil where AppendZeroCopy is not called.
	Padding func(dst []byte, n int) []byte
	// MinPadding is the length of the shortest padding block, in bytes.
	MinPadding int
}

// Space makes room on the disk for what a File is about to write.
type Space interface {
	// Reserve returns an error when n more bytes must not be written.
	Reserve(n int) error
	// Release ends a reservation of n bytes: they are in the file, or never will be.
	Release(n int)
}

// unlimited is the Space that has room for all.
type unlimited struct{}

func (unlimited) Reserve(int) error { return nil }
func (unlimited) Release(int)       {}

// File appends chunks to a file. Bytes are encoded into its memory and written in
// whole pages; the last part of a page goes through the page cache.
//
// A File has one user at a time. After an error of Room, AppendZeroCopy or Commit
// its user calls Rollback.
type File struct {
	file    *os.File
	inode   uint64
	direct  *os.File // the same file, opened for direct I/O; nil where that is refused
	options Options

	mem    []byte // page-aligned; mem[:n] stands for the file from base on
	n      int
	inFile int   // how many bytes of mem[:n], from its start, the file has
	base   int64 // a multiple of PageSize

	run []byte // appended with AppendZeroCopy, after mem[:n]

	committed int64          // size of the file at the last commit
	tail      [PageSize]byte // its last part of a page
}

// Open returns a File that appends to file and works in mem, which begins at a
// multiple of PageSize and is two pages long at least. The File owns neither: file
// stays open after Close, and mem belongs to the File until then.
func Open(file *os.File, mem []byte, o Options) (*File, error) {
	if o.Space == nil {
		o.Space = unlimited{}
	}
	f := &File{file: file, options: o, mem: mem[:len(mem)&^(PageSize-1)]}
	// The name may stand for another file by now; the descriptor does not.
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_WRONLY|unix.O_DIRECT, 0)
	if err == nil {
		f.direct = direct
	}
	info, err := file.Stat()
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			f.inode = st.Ino
		}
		err = f.SetEnd(info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// SetEnd makes size the end of the file, as it is after another process has
// appended to it or cut it off. Nothing uncommitted may have been put.
func (f *File) SetEnd(size int64) error {
	f.base = size &^ (PageSize - 1)
	f.n = int(size - f.base)
	f.inFile = f.n
	f.committed = size
	if n, err := f.file.ReadAt(f.mem[:f.n], f.base); n < f.n {
		return fmt.Errorf("read the last block of %s: %w", f.file.Name(), err)
	}
	copy(f.tail[:], f.mem[:f.n])
	return nil
}

// Size returns the file's size in bytes with all that has been put.
func (f *File) Size() int64 { return f.base + int64(f.n+len(f.run)) }

// Committed returns the file's size in bytes at the last commit.
func (f *File) Committed() int64 { return f.committed }

// Inode returns the file's inode number.
func (f *File) Inode() uint64 { return f.inode }

// Room returns memory to append up to n bytes to, after writing pages away where
// there was less. The caller gives the extended slice to Put. n is at most what an
// empty File has. The memory is the File's: it is valid until the next call of any
// method but Size, Committed and Inode.
func (f *File) Room(n int) ([]byte, error) {
	if err := f.writeRun(false); err != nil {
		return nil, err
	}
	if f.n+n > len(f.mem) {
		if err := f.write(false); err != nil {
			return nil, err
		}
		if f.n+n > len(f.mem) {
			return nil, fmt.Errorf("%d bytes for one record are more than the %d of the encoder's memory", n, len(f.mem)-f.n)
		}
	}
	return f.mem[:f.n], nil
}

// Put appends what the caller has appended to Room's slice. It panics when that is
// more than there was room for, because the rest of it is elsewhere by then.
func (f *File) Put(extended []byte) {
	if len(extended) > len(f.mem) {
		panic(fmt.Sprintf("%d bytes put where there was room for %d", len(extended)-f.n, len(f.mem)-f.n))
	}
	f.n = len(extended)
}

// Commit writes all that has been put. When it fails, the caller rolls back.
func (f *File) Commit() error {
	if err := f.writeRun(true); err != nil {
		return err
	}
	if err := f.write(true); err != nil {
		return err
	}
	f.committed = f.Size()
	copy(f.tail[:], f.mem[:f.n])
	return nil
}

// write writes the whole pages, and with all the rest of the last one too.
func (f *File) write(all bool) error {
	more := f.n - f.inFile
	if err := f.options.Space.Reserve(more); err != nil {
		return err
	}
	defer f.options.Space.Release(more)
	if pages := f.n &^ (PageSize - 1); f.direct != nil && pages >= directMin {
		_, err := f.direct.WriteAt(f.mem[:pages], f.base)
		switch {
		case err == nil:
			f.inFile = max(f.inFile, pages)
			f.forget(pages)
		case errors.Is(err, unix.EINVAL):
			// This file system accepts the flag but not the write.
			f.Close()
		default:
			return err
		}
	}
	end := f.n
	if !all {
		end &^= PageSize - 1
	}
	if end > f.inFile {
		if _, err := f.file.WriteAt(f.mem[f.inFile:end], f.base+int64(f.inFile)); err != nil {
			return err
		}
		f.inFile = end
	}
	f.forget(f.n &^ (PageSize - 1))
	return nil
}

// forget drops the first n bytes from memory, whole pages that the file has.
func (f *File) forget(n int) {
	copy(f.mem, f.mem[n:f.n])
	f.base += int64(n)
	f.n -= n
	f.inFile = max(0, f.inFile-n)
}

// Rollback makes the file end where it ended at the last commit.
func (f *File) Rollback() error {
	f.run = nil
	f.base = f.committed &^ (PageSize - 1)
	f.n = int(f.committed - f.base)
	f.inFile = f.n
	copy(f.mem, f.tail[:f.n])
	return f.file.Truncate(f.committed)
}

// Close closes what Open has opened; the file that Open was given stays open. It
// commits nothing and is idempotent.
func (f *File) Close() {
	if f.direct != nil {
		_ = f.direct.Close() // nothing is buffered
		f.direct = nil
	}
}

// Truncate makes f no longer than size bytes if it is the file of that inode.
func Truncate(f *os.File, inode, size uint64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Ino != inode || uint64(info.Size()) <= size {
		return nil
	}
	return f.Truncate(int64(size))
}
