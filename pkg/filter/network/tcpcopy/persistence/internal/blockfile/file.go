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
	// Writer writes, so that Start does not wait; nil means that it waits.
	Writer *Writer
	// Longest bounds what Room is called with, in bytes. The shorter that is, the more
	// of the memory can be filled while the rest is being written; 0 means that none can.
	Longest int
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
// A File has one user at a time. After an error of Room, AppendZeroCopy, Start or
// Commit, and after one that Start's function is called with, its user calls Rollback.
type File struct {
	file    *os.File
	inode   uint64
	options Options
	queue   queue // what is being written

	arena  []byte // the memory; parts of it are being written
	at     int    // position of mem in it, a multiple of PageSize
	mem    []byte // the part that is filled; mem[:n] stands for the file from base on
	n      int
	inFile int   // how many bytes of mem[:n], from its start, are in the file or in the queue
	base   int64 // a multiple of PageSize

	run []byte // appended with AppendZeroCopy, after mem[:n]

	started int64 // size of the file at the last Start
}

// Open returns a File that appends to file and works in mem, which begins at a
// multiple of PageSize and is two pages long at least. The File owns neither: file
// stays open after Close, and mem belongs to the File until then.
func Open(file *os.File, mem []byte, o Options) (*File, error) {
	if o.Space == nil {
		o.Space = unlimited{}
	}
	f := &File{file: file, options: o, arena: mem[:len(mem)&^(PageSize-1)]}
	f.queue = queue{file: file, space: o.Space, writer: &inline{}}
	if o.Writer != nil {
		f.queue.writer = background{o.Writer}
	}
	// The name may stand for another file by now; the descriptor does not.
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_WRONLY|unix.O_DIRECT, 0)
	if err == nil {
		f.queue.direct = direct
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
	f.at, f.mem = 0, f.arena
	f.base = size &^ (PageSize - 1)
	f.n = int(size - f.base)
	f.inFile = f.n
	f.started = size
	f.queue.reset(size)
	if n, err := f.file.ReadAt(f.mem[:f.n], f.base); n < f.n {
		return fmt.Errorf("read the last block of %s: %w", f.file.Name(), err)
	}
	return nil
}

// Size returns the file's size in bytes with all that has been put.
func (f *File) Size() int64 { return f.base + int64(f.n+len(f.run)) }

// Started returns the file's size in bytes at the last Start or Commit.
func (f *File) Started() int64 { return f.started }

// Committed returns the file's size in bytes at the last commit that is done.
func (f *File) Committed() int64 {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.queue.committed
}

// Failed returns why a write has failed that Start has begun; nil otherwise. Nothing is
// written until Rollback.
func (f *File) Failed() error { return f.queue.failed() }

// Inode returns the file's inode number.
func (f *File) Inode() uint64 { return f.inode }

// Room returns memory to append up to n bytes to, after writing pages away where
// there was less. The caller gives the extended slice to Put. n is at most what an
// empty File has. The memory is the File's: it is valid until the next call of any
// method but Size, Started, Committed, Failed and Inode.
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

// Commit has all written that has been put, and waits for it. When it fails, the caller
// rolls back.
func (f *File) Commit() error {
	s, err := f.Start(func(error) {})
	if err != nil {
		return err
	}
	return s.Wait()
}

// Started is what Start has started.
type Started struct {
	queue *queue
	over  bool // guarded by the queue's lock, as err is
	err   error
}

// Wait waits until the file has what was started, and all that was started before. It
// returns why it has not. It may be called while others use the File.
func (s *Started) Wait() error {
	s.queue.await(func() bool { return s.over })
	return s.err
}

// Start has all written that has been put, and does not wait for it. done is called once,
// by any goroutine that uses or waits for the File, with nil when the file has all of it,
// or with why it has not. The calls come in the order of Start's: what one has started is in the
// file before what the next one has. done may not use the File. When Start returns an
// error, nothing is started, and done is not called.
func (f *File) Start(done func(err error)) (*Started, error) {
	if err := f.writeRun(true); err != nil {
		return nil, err
	}
	if rest := f.n & (PageSize - 1); rest > 0 && f.options.Padding != nil && f.queue.acceptsDirect() && !f.queue.idle() {
		// It goes with what is under way, instead of by a write of its own.
		f.align(0)
	}
	if err := f.write(true); err != nil {
		return nil, err
	}
	f.started = f.Size()
	s := &Started{queue: &f.queue}
	if f.queue.commitIdle(f.started) {
		s.over = true
		done(nil)
		return s, nil
	}
	f.queue.add(item{size: f.started, commit: func(err error) {
		s.over, s.err = true, err
		done(err)
	}})
	return s, nil
}

// write has the whole pages written, and with all the rest of the last one too.
func (f *File) write(all bool) error {
	idle := f.queue.idle()
	if pages := f.n &^ (PageSize - 1); pages > 0 && (pages >= directMin || !idle) && f.queue.acceptsDirect() {
		if err := f.start([][]byte{f.mem[:pages]}, true, pages, pages, f.mem[pages:f.n]); err != nil {
			return err
		}
		idle = false
	}
	end := f.n
	if !all {
		end &^= PageSize - 1
	}
	if end <= f.inFile {
		return nil
	}
	part := f.mem[f.inFile:end]
	if !idle {
		last := end &^ (PageSize - 1)
		if err := f.start([][]byte{part}, false, last, end, f.mem[last:f.n]); err != nil {
			return err
		}
		f.inFile = end - last
		return nil
	}
	// Nothing is to be waited for but the page cache.
	if err := f.options.Space.Reserve(len(part)); err != nil {
		return err
	}
	defer f.options.Space.Release(len(part))
	if _, err := f.file.WriteAt(part, f.base+int64(f.inFile)); err != nil {
		return err
	}
	f.inFile = end
	n := f.n &^ (PageSize - 1)
	copy(f.mem, f.mem[n:f.n])
	f.base += int64(n)
	f.n -= n
	f.inFile -= n
	return nil
}

// start has parts written, from base on or, where they are not direct, after what the file
// has. They need the first used bytes of mem. The memory goes on behind them, with rest,
// which stands for the file from written bytes after base on.
func (f *File) start(parts [][]byte, direct bool, written, used int, rest []byte) error {
	i := item{parts: parts, offset: f.base, direct: direct, from: f.at, to: f.at + used}
	for _, p := range parts {
		i.reserved += len(p)
	}
	if direct {
		i.reserved -= f.inFile
	} else {
		i.offset += int64(f.inFile)
	}
	if err := f.options.Space.Reserve(i.reserved); err != nil {
		return err
	}
	f.queue.add(i)
	need := min(len(f.arena), f.options.Longest+MaxPadding(f.options.MinPadding)+2*PageSize)
	if f.options.Longest == 0 {
		need = len(f.arena)
	}
	at := f.at + (used+PageSize-1)&^(PageSize-1)
	if at+need > len(f.arena) {
		at = 0
	}
	limit := f.queue.waitFor(at, at+need, len(f.arena))
	f.at, f.mem = at, f.arena[at:limit&^(PageSize-1)]
	f.n = copy(f.mem, rest)
	f.base += int64(written)
	f.inFile = 0
	return nil
}

// Rollback makes the file end where it ended at the last commit, when nothing is being
// written any more.
func (f *File) Rollback() error {
	f.queue.wait()
	f.run = nil
	size := f.Committed()
	return errors.Join(f.file.Truncate(size), f.SetEnd(size))
}

// Close closes what Open has opened, when nothing is being written any more; the file that
// Open was given stays open. It commits nothing and is idempotent.
func (f *File) Close() {
	f.queue.closeDirect()
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
