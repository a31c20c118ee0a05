package body

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

var errChunk = errors.New("malformed chunk")

// openChunked reads the chunks of RFC 9112. Their extensions, and the trailer section,
// are left out. Lines may end with a line feed alone.
func openChunked(r io.Reader) (io.ReadCloser, error) {
	return &chunkedReader{input: bufio.NewReader(r)}, nil
}

type chunkedReader struct {
	input  *bufio.Reader
	left   uint64 // bytes of the chunk that are not read
	begun  bool   // a chunk has been read: its line end follows
	failed error
}

func (c *chunkedReader) Read(p []byte) (int, error) {
	if c.failed != nil || len(p) == 0 {
		return 0, c.failed
	}
	if c.left == 0 {
		if c.failed = c.next(); c.failed != nil {
			return 0, c.failed
		}
	}
	n, err := c.input.Read(p[:min(uint64(len(p)), c.left)])
	c.left -= uint64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.failed = err
	return n, err
}

func (c *chunkedReader) Close() error { return nil }

// next reads the line of the next chunk. It returns io.EOF after the last one.
func (c *chunkedReader) next() error {
	if c.begun {
		if line, err := c.line(); err != nil || len(line) > 0 {
			return firstError(err, errChunk)
		}
	}
	c.begun = true
	line, err := c.line()
	if err != nil {
		return err
	}
	size, _, _ := bytes.Cut(line, []byte{';'})
	if c.left, err = strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 63); err != nil {
		return fmt.Errorf("%w: %q is no length", errChunk, line[:min(len(line), 20)])
	}
	if c.left == 0 {
		return io.EOF
	}
	return nil
}

// line reads a line without its end. It is valid until the next call.
func (c *chunkedReader) line() ([]byte, error) {
	line, err := c.input.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: its line is too long", errChunk)
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

// firstError returns the first error that is not nil.
func firstError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
