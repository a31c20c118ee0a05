package persistence

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// blockSize is what offsets, lengths and memory of direct writes are multiples
// of: the page size, which all file systems that allow direct I/O take.
const blockSize = pageSize

// directMin is how many bytes make a direct write worth its round trip to the
// disk; fewer go through the page cache.
const directMin = 256 << 10

// blockFile appends to a file past the page cache where the file system allows
// it: the cache costs several times the processor time of the disk transfer, and
// nobody reads the pages soon. Bytes are encoded into its memory and written in
// whole blocks, the last part of a block through the page cache.
//
// What has been put since the last commit is written at the commit at the
// latest, or not at all: rollback makes the file end where it ended then. It has
// one user at a time.
type blockFile struct {
	file   *os.File
	inode  uint64
	direct *os.File // the same file, opened for direct I/O; nil where that is refused

	mem    []byte // page-aligned; mem[:n] stands for the file from base on
	n      int
	inFile int   // how many bytes of mem[:n], from its start, the file has
	base   int64 // a multiple of blockSize

	run    []byte                         // lent, behind mem[:n]
	filler func(dst []byte, n int) []byte // appends n bytes that mean nothing; nil where nothing is lent

	quota *quota // makes room for what is written; nil has room for all

	committed int64           // size of the file at the last commit
	tail      [blockSize]byte // its last part of a block
}

// openBlocks returns file as a blockFile that works in mem, whose length is at
// least two blocks. It does not take over file.
func openBlocks(file *os.File, mem []byte) (*blockFile, error) {
	b := &blockFile{file: file, mem: mem[:len(mem)&^(blockSize-1)]}
	direct, err := os.OpenFile(file.Name(), os.O_WRONLY|unix.O_DIRECT|unix.O_NOFOLLOW, 0)
	if err == nil {
		// The name may stand for another file by now.
		a, errA := file.Stat()
		d, errD := direct.Stat()
		if errA == nil && errD == nil && os.SameFile(a, d) {
			b.direct = direct
		} else {
			_ = direct.Close()
		}
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		b.inode = st.Ino
	}
	return b, b.seek(info.Size())
}

// seek makes size the end of the file, as it is after another process has
// appended to it.
func (b *blockFile) seek(size int64) error {
	b.base = size &^ (blockSize - 1)
	b.n = int(size - b.base)
	b.inFile = b.n
	b.committed = size
	if n, err := b.file.ReadAt(b.mem[:b.n], b.base); n < b.n {
		return fmt.Errorf("read the last block of %s: %w", b.file.Name(), err)
	}
	copy(b.tail[:], b.mem[:b.n])
	return nil
}

// size is the file's size with all that has been put.
func (b *blockFile) size() int64 { return b.base + int64(b.n+len(b.run)) }

// room returns the memory to append up to n bytes to, after writing blocks away
// where there was less. The caller gives the extended slice to put. n is at most
// what an empty blockFile has.
func (b *blockFile) room(n int) ([]byte, error) {
	if err := b.writeRun(false); err != nil {
		return nil, err
	}
	if b.n+n > len(b.mem) {
		if err := b.write(false); err != nil {
			return nil, err
		}
		if b.n+n > len(b.mem) {
			return nil, fmt.Errorf("%d bytes for one record are more than the %d of the encoder's memory", n, len(b.mem)-b.n)
		}
	}
	return b.mem[:b.n], nil
}

// put takes what the caller has appended to room's slice. It panics when that is
// more than there was room for, because the rest of it is elsewhere by then.
func (b *blockFile) put(extended []byte) {
	if len(extended) > len(b.mem) {
		panic(fmt.Sprintf("%d bytes put where there was room for %d", len(extended)-b.n, len(b.mem)-b.n))
	}
	b.n = len(extended)
}

// commit writes all that has been put. When it fails, the caller rolls back.
func (b *blockFile) commit() error {
	if err := b.writeRun(true); err != nil {
		return err
	}
	if err := b.write(true); err != nil {
		return err
	}
	b.committed = b.size()
	copy(b.tail[:], b.mem[:b.n])
	return nil
}

// write writes the whole blocks, and with all the rest of the last one too.
func (b *blockFile) write(all bool) error {
	more := b.n - b.inFile
	if err := b.quota.reserve(more); err != nil {
		return err
	}
	defer b.quota.settle(more)
	if blocks := b.n &^ (blockSize - 1); b.direct != nil && blocks >= directMin {
		_, err := b.direct.WriteAt(b.mem[:blocks], b.base)
		switch {
		case err == nil:
			b.inFile = max(b.inFile, blocks)
			b.forget(blocks)
		case errors.Is(err, unix.EINVAL):
			// This file system takes the flag but not the write.
			b.closeDirect()
		default:
			return err
		}
	}
	end := b.n
	if !all {
		end &^= blockSize - 1
	}
	if end > b.inFile {
		if _, err := b.file.WriteAt(b.mem[b.inFile:end], b.base+int64(b.inFile)); err != nil {
			return err
		}
		b.inFile = end
	}
	b.forget(b.n &^ (blockSize - 1))
	return nil
}

// forget drops the first n bytes from memory, whole blocks that the file has.
func (b *blockFile) forget(n int) {
	copy(b.mem, b.mem[n:b.n])
	b.base += int64(n)
	b.n -= n
	b.inFile = max(0, b.inFile-n)
}

// rollback makes the file end where it ended at the last commit.
func (b *blockFile) rollback() error {
	b.run = nil
	b.base = b.committed &^ (blockSize - 1)
	b.n = int(b.committed - b.base)
	b.inFile = b.n
	copy(b.mem, b.tail[:b.n])
	return b.file.Truncate(b.committed)
}

// closeDirect closes what openBlocks has opened; file stays its giver's.
func (b *blockFile) closeDirect() {
	if b.direct != nil {
		_ = b.direct.Close() // nothing is buffered
		b.direct = nil
	}
}

// truncate makes f no longer than size if it is the file of that inode.
func truncate(f *os.File, inode, size uint64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Ino != inode || uint64(info.Size()) <= size {
		return nil
	}
	return f.Truncate(int64(size))
}
