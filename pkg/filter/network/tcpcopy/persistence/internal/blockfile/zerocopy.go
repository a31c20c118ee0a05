package blockfile

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Blocks that are complete where their payload lies, in a batch, need not be
// copied: a File writes them from there. What adjoins in memory becomes one run. A
// direct write wants a position in the file that is aligned as the memory is. A
// padding block before the run aligns it. Another one after it fills the last
// page, which spares a write of its own for the last part.

// MaxPadding bounds the bytes of the padding blocks around a run, where the shortest
// padding block has minPadding bytes.
func MaxPadding(minPadding int) int { return 2 * (PageSize + minPadding) }

// AppendZeroCopy appends block, whose length and address are multiples of four. The
// block stays in the caller's memory, which may not change until the next Commit
// or Rollback.
func (f *File) AppendZeroCopy(block []byte) error {
	n := len(f.run)
	if n > 0 && n+len(block) <= min(cap(f.run), len(f.mem)) && &f.run[: n+1 : n+1][n] == &block[0] {
		f.run = f.run[:n+len(block)]
		return nil
	}
	if err := f.writeRun(false); err != nil {
		return err
	}
	f.run = block
	return nil
}

// writeRun writes the run from where it lies, or copies it to mem when it is short.
// last says that nothing follows it soon.
func (f *File) writeRun(last bool) error {
	run := f.run
	f.run = nil
	if len(run) < directMin || f.direct == nil {
		return f.copyRun(run)
	}
	// mem gets what is before the first boundary of pages in the run, and from there
	// on what is after the last one.
	if f.n+MaxPadding(f.options.MinPadding)+2*PageSize > len(f.mem) {
		if err := f.write(false); err != nil {
			return err
		}
	}
	address := uintptr(unsafe.Pointer(&run[0]))
	f.align(int(address) - f.n)
	head := -int(address) & (PageSize - 1)
	f.n += copy(f.mem[f.n:], run[:head])
	middle := run[head : head+(len(run)-head)&^(PageSize-1)]
	tail := f.mem[f.n : f.n+copy(f.mem[f.n:], run[head+len(middle):])]
	if last && len(tail) > 0 {
		tail = f.options.Padding(tail, f.padding(-len(tail)))
	}
	whole := len(tail) &^ (PageSize - 1)

	more := f.n - f.inFile + len(middle) + whole
	if err := f.options.Space.Reserve(more); err != nil {
		return err
	}
	defer f.options.Space.Release(more)
	err := writeAll(f.direct.Fd(), f.base, f.mem[:f.n], middle, tail[:whole])
	if errors.Is(err, unix.EINVAL) {
		// This file system accepts the flag but not the write.
		f.Close()
		err = writeAll(f.file.Fd(), f.base, f.mem[:f.n], middle, tail[:whole])
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.file.Name(), err)
	}
	f.base += int64(f.n + len(middle) + whole)
	f.inFile = 0
	f.n = copy(f.mem, tail[whole:])
	return nil
}

// align appends a padding block that makes n, modulo the size of pages, like offset.
func (f *File) align(offset int) {
	if n := f.padding(offset); n > 0 {
		f.n = len(f.options.Padding(f.mem[:f.n], n))
	}
}

// padding returns the length of the shortest padding block that is n modulo the size
// of pages, 0 when none is needed.
func (f *File) padding(n int) int {
	n &= PageSize - 1
	if n > 0 && n < f.options.MinPadding {
		n += PageSize
	}
	return n
}

// copyRun copies run to mem, which is written as often as it is full.
func (f *File) copyRun(run []byte) error {
	for len(run) > 0 {
		n := copy(f.mem[f.n:], run)
		f.n += n
		run = run[n:]
		if len(run) > 0 {
			if err := f.write(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeAll writes the parts one after the other, from offset on.
func writeAll(fd uintptr, offset int64, parts ...[]byte) error {
	for len(parts) > 0 {
		if len(parts[0]) == 0 {
			parts = parts[1:]
			continue
		}
		n, err := unix.Pwritev(int(fd), parts, offset)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		offset += int64(n)
		for ; len(parts) > 0 && n >= len(parts[0]); parts = parts[1:] {
			n -= len(parts[0])
		}
		if n > 0 {
			parts[0] = parts[0][n:]
		}
	}
	return nil
}
