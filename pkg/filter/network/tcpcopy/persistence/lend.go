package persistence

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
)

// Blocks that are complete where their payload lies, in a batch, need not be
// copied: a blockFile writes them from there. What adjoins in memory becomes one
// run. A direct write wants a place in the file that is aligned as the memory is;
// a filler before the run makes it so, and one behind it spares the last part of a
// block a way of its own.

// fillers bounds what the fillers around a run take.
const fillers = 2 * (blockSize + minFiller)

// minFiller is how short a filler can be.
const minFiller = pcapng.MinPaddingBlock

// lend appends block, whose length and place in memory are multiples of four. It
// stays in the caller's memory, which may not change it until the next commit or
// rollback.
func (b *blockFile) lend(block []byte) error {
	n := len(b.run)
	if n > 0 && n+len(block) <= min(cap(b.run), len(b.mem)) && &b.run[: n+1 : n+1][n] == &block[0] {
		b.run = b.run[:n+len(block)]
		return nil
	}
	if err := b.writeRun(false); err != nil {
		return err
	}
	b.run = block
	return nil
}

// writeRun writes what has been lent, or copies it to mem when it is little. last
// says that nothing comes behind it soon.
func (b *blockFile) writeRun(last bool) error {
	run := b.run
	b.run = nil
	if len(run) < directMin || b.direct == nil {
		return b.take(run)
	}
	// mem takes what is before the first boundary of blocks in the run, and from
	// there on what is behind the last one.
	if b.n+fillers+2*blockSize > len(b.mem) {
		if err := b.write(false); err != nil {
			return err
		}
	}
	address := uintptr(unsafe.Pointer(&run[0]))
	b.align(int(address) - b.n)
	head := -int(address) & (blockSize - 1)
	b.n += copy(b.mem[b.n:], run[:head])
	middle := run[head : head+(len(run)-head)&^(blockSize-1)]
	tail := b.mem[b.n : b.n+copy(b.mem[b.n:], run[head+len(middle):])]
	if last && len(tail) > 0 {
		tail = b.filler(tail, shortFiller(-len(tail)))
	}
	whole := len(tail) &^ (blockSize - 1)

	more := b.n - b.inFile + len(middle) + whole
	if err := b.quota.reserve(more); err != nil {
		return err
	}
	defer b.quota.settle(more)
	err := writeAll(b.direct.Fd(), b.base, b.mem[:b.n], middle, tail[:whole])
	if errors.Is(err, unix.EINVAL) {
		// This file system takes the flag but not the write.
		b.closeDirect()
		err = writeAll(b.file.Fd(), b.base, b.mem[:b.n], middle, tail[:whole])
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", b.file.Name(), err)
	}
	b.base += int64(b.n + len(middle) + whole)
	b.inFile = 0
	b.n = copy(b.mem, tail[whole:])
	return nil
}

// align appends a filler that makes n, modulo the size of blocks, like offset.
func (b *blockFile) align(offset int) {
	if n := shortFiller(offset); n > 0 {
		b.n = len(b.filler(b.mem[:b.n], n))
	}
}

// shortFiller returns the length of the shortest filler that is n modulo the size
// of blocks, 0 when none is needed.
func shortFiller(n int) int {
	n &= blockSize - 1
	if n > 0 && n < minFiller {
		n += blockSize
	}
	return n
}

// take copies run to mem, which is written as often as it is full.
func (b *blockFile) take(run []byte) error {
	for len(run) > 0 {
		n := copy(b.mem[b.n:], run)
		b.n += n
		run = run[n:]
		if len(run) > 0 {
			if err := b.write(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeAll writes the parts one behind the other, from offset on.
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
