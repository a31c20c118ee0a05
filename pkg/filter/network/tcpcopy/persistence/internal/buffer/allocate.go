package buffer

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoRoom says that memory was not allocated because too little would be left.
var ErrNoRoom = errors.New("too little memory")

// Reserve reports whether rest more bytes of memory may be allocated. It is called
// before each slice of an allocation, with what is still to come. Its error ends the
// allocation and is an ErrNoRoom. A nil Reserve allows everything.
type Reserve func(rest int) error

// allocationSlice is how many bytes are allocated between two calls of a Reserve: what
// others may need meanwhile is seen before the next slice.
const allocationSlice = 4 << 20

// allocation is memory that is allocated slice by slice.
type allocation struct {
	reserve Reserve
	rest    int // bytes still to come
}

// slices calls f for the slices of the bytes from from to to.
func (a *allocation) slices(from, to int, f func(from, to int) error) error {
	for from < to {
		if a.reserve != nil {
			if err := a.reserve(a.rest); err != nil {
				return err
			}
		}
		next := min(to, from+allocationSlice)
		if err := f(from, next); err != nil {
			return err
		}
		a.rest -= next - from
		from = next
	}
	return nil
}

// allocateBlocks reserves the blocks of a new spool's file: a write to a mapping whose
// file system is full is a fault.
func (s *Spool) allocateBlocks(reserve Reserve) error {
	size, states, batches := spoolSize(s.header.Workers, s.header.Batch)
	fd := int(s.file.Fd())
	if !inMemory(fd) {
		reserve = nil // the blocks are the disk's
	}
	a := allocation{reserve: reserve, rest: states + size - batches}
	for _, part := range [][2]int{{0, states}, {batches, size}} {
		err := a.slices(part[0], part[1], func(from, to int) error {
			err := error(unix.EINTR)
			for errors.Is(err, unix.EINTR) { // by a signal of Go's scheduler
				err = unix.Fallocate(fd, 0, int64(from), int64(to-from))
			}
			if errors.Is(err, unix.ENOMEM) {
				return fmt.Errorf("%w: reserve %d bytes in %s: %w", ErrNoRoom, to-from, s.file.Name(), err)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// allocatePages has the system find all pages of a spool in plain memory.
func (s *Spool) allocatePages(reserve Reserve) error {
	size, _, batches := spoolSize(s.header.Workers, s.header.Batch)
	a := allocation{reserve: reserve, rest: size - batches}
	return a.slices(batches, size, func(from, to int) error {
		mem := s.mapped.mem[from:to]
		err := populate(mem)
		switch {
		case errors.Is(err, unix.ENOMEM), errors.Is(err, syscall.EFAULT):
			return fmt.Errorf("%w: populate %d bytes: %w", ErrNoRoom, len(mem), err)
		case err != nil: // before Linux 5.14
			for i := 0; i < len(mem); i += PageSize {
				mem[i] = 0
			}
		}
		return nil
	})
}

// inMemory reports whether the file fd lies in memory.
func inMemory(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && (fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC)
}
