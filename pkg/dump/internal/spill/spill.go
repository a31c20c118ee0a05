// Package spill keeps values of which there may be more than fit in memory in a
// temporary file. Whoever goes through a dump of any size puts the state of connections
// there that have not been seen for a while.
package spill

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
)

// buffered is how many bytes a File collects before it writes.
const buffered = 256 << 10

// granule is what the space of a value is a multiple of, in bytes: a value may grow a
// little and stay where it is.
const granule = 32

// spaceOf returns the space of a value of n bytes: long ones may grow by an eighth at
// least, so that one that grows again and again does not fill the disk.
func spaceOf(n int) int {
	step := granule
	if n > granule*granule {
		step = 1 << (bits.Len(uint(n)) - 3)
		n += step / 2
	}
	return (n + step - 1) / step * step
}

// File holds values. Its file has no name: it ends with the process, and nobody else can
// open it. The zero File is empty and ready to use. It belongs to one goroutine.
type File struct {
	file *os.File
	size int64  // bytes written and in tail
	tail []byte // the last bytes, not written yet
	buf  []byte
}

// header is what stands before a value: how much space it has, and how long it is.
const header = 8

// Put keeps a value and returns its position, a multiple of 8. It does not keep value.
func (f *File) Put(value []byte) (at int64, err error) {
	if f.file == nil {
		if err := f.create(); err != nil {
			return 0, err
		}
	}
	space := spaceOf(len(value))
	at = f.size
	f.tail = binary.LittleEndian.AppendUint32(f.tail, uint32(space))
	f.tail = binary.LittleEndian.AppendUint32(f.tail, uint32(len(value)))
	f.tail = append(f.tail, value...)
	f.tail = append(f.tail, make([]byte, space-len(value))...)
	f.size += int64(header + space)
	if len(f.tail) < buffered {
		return at, nil
	}
	if err := f.flush(); err != nil {
		f.size = at // the value is not kept
		f.tail = f.tail[:len(f.tail)-header-space]
		return 0, err
	}
	return at, nil
}

// create makes the file.
func (f *File) create() error {
	file, err := unnamed()
	if err != nil {
		return err
	}
	f.file, f.tail = file, make([]byte, 0, 2*buffered)
	return nil
}

// unnamed returns an empty temporary file without a name.
func unnamed() (*os.File, error) {
	file, err := os.CreateTemp("", "tcpcopy-") // the mode is 0600
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("unlink a temporary file: %w", err)
	}
	return file, nil
}

// flush writes tail.
func (f *File) flush() error {
	if _, err := f.file.WriteAt(f.tail, f.written()); err != nil {
		return fmt.Errorf("keep values in a temporary file: %w", err)
	}
	f.tail = f.tail[:0]
	return nil
}

// written returns how many bytes are in the file.
func (f *File) written() int64 { return f.size - int64(len(f.tail)) }

// Replace replaces the value at a position and returns the position of the new one.
func (f *File) Replace(at int64, value []byte) (int64, error) {
	head, err := f.bytes(at, header)
	if err != nil {
		return at, err
	}
	if len(value) > int(binary.LittleEndian.Uint32(head)) {
		return f.Put(value)
	}
	if i := at - f.written(); i >= 0 {
		binary.LittleEndian.PutUint32(f.tail[i+4:], uint32(len(value)))
		copy(f.tail[i+header:], value)
		return at, nil
	}
	f.buf = binary.LittleEndian.AppendUint32(f.buf[:0], uint32(len(value)))
	f.buf = append(f.buf, value...)
	if _, err := f.file.WriteAt(f.buf, at+4); err != nil {
		return at, fmt.Errorf("keep a value in a temporary file: %w", err)
	}
	return at, nil
}

// Get returns the value at a position. It is valid until the next call.
func (f *File) Get(at int64) ([]byte, error) {
	const likely = 512 // one read is enough for most
	n := min(f.size-at, likely)
	if at < f.written() {
		n = min(n, f.written()-at)
	}
	b, err := f.bytes(at, int(n))
	if err != nil {
		return nil, err
	}
	if length := header + int(binary.LittleEndian.Uint32(b[4:])); length <= len(b) {
		return b[header:length], nil
	} else if b, err = f.bytes(at, length); err != nil {
		return nil, err
	}
	return b[header:], nil
}

// bytes returns n bytes from a position, which no flush has parted.
func (f *File) bytes(at int64, n int) ([]byte, error) {
	if i := at - f.written(); i >= 0 {
		return f.tail[i : i+int64(n)], nil
	}
	if cap(f.buf) < n {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	if _, err := f.file.ReadAt(f.buf, at); err != nil {
		return nil, fmt.Errorf("read a value from a temporary file: %w", err)
	}
	return f.buf, nil
}

// Close removes all values. The File is empty then.
func (f *File) Close() error {
	file := f.file
	*f = File{}
	if file == nil {
		return nil
	}
	return file.Close()
}
