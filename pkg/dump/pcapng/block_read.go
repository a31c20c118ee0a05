package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// MaxBlock bounds the blocks that are read, in bytes: the longest that the Encoder
// appends are a packet of 64 KiB and its comments.
const MaxBlock = 192 << 10

// blockBuffer holds a block and what is needed to look for the next one.
const blockBuffer = 3 * MaxBlock

// blockReader cuts a stream into pcapng blocks.
type blockReader struct {
	src        io.Reader
	buf        []byte // of blockBuffer bytes; buf[start:end] is read and not yet returned
	start, end int
	offset     int64 // of buf[start] in the stream
	lost       bool  // the block at start is damaged: look for the next
	err        error // what ended the stream
}

// block is one block. Its body is valid until the reader's next call.
type block struct {
	kind   uint32
	body   []byte // without the frame
	offset int64  // of the block in the stream
}

func (r *blockReader) reset(src io.Reader) {
	if r.buf == nil {
		r.buf = make([]byte, blockBuffer)
	}
	*r = blockReader{src: src, buf: r.buf}
}

// next returns the next block. record.ErrNoMoreYet means that a later call may give more,
// io.EOF is the end; other errors describe damage at the block's offset, and the
// next call looks for an intact block after it.
func (r *blockReader) next() (block, error) {
	if r.lost {
		if err := r.resync(); err != nil {
			return block{}, err
		}
	}
	if err := r.need(blockFrame); err != nil {
		return r.ended(err)
	}
	length, ok := r.plausible(0)
	if !ok {
		return r.damaged(fmt.Errorf("%w: no block begins here", record.ErrMalformed))
	}
	if err := r.need(length); err != nil {
		return r.ended(err)
	}
	if binary.LittleEndian.Uint32(r.buf[r.start+length-4:]) != uint32(length) {
		return r.damaged(fmt.Errorf("%w: the two lengths of a block differ", record.ErrMalformed))
	}
	b := block{
		kind:   binary.LittleEndian.Uint32(r.buf[r.start:]),
		body:   r.buf[r.start+8 : r.start+length-4],
		offset: r.offset,
	}
	r.skip(length)
	return b, nil
}

// damaged reports err at start and goes past it.
func (r *blockReader) damaged(err error) (block, error) {
	b := block{offset: r.offset}
	r.skip(1)
	r.lost = true
	return b, err
}

// ended turns what need returned into next's result: at the end of the stream,
// the bytes that are left are a part of a block.
func (r *blockReader) ended(err error) (block, error) {
	at := block{offset: r.offset}
	switch {
	case errors.Is(err, record.ErrNoMoreYet):
		return at, err
	case r.start < r.end:
		if errors.Is(err, io.EOF) {
			err = record.ErrTruncated
		}
		return r.damaged(err)
	default:
		r.err = io.EOF // a failed read is reported once
		return at, err
	}
}

// plausible returns the length of the block whose first eight bytes are at
// buf[start+at:], if they look like one.
func (r *blockReader) plausible(at int) (length int, ok bool) {
	b := r.buf[r.start+at:]
	switch binary.LittleEndian.Uint32(b) {
	case blockSection, blockInterface, blockStatistics, blockPacket, blockPadding:
	default:
		return 0, false
	}
	length = int(binary.LittleEndian.Uint32(b[4:]))
	return length, length%4 == 0 && length >= blockFrame && length <= MaxBlock
}

// resync drops bytes until an intact block begins at start.
func (r *blockReader) resync() error {
	for {
		if err := r.need(blockFrame); err != nil {
			if errors.Is(err, record.ErrNoMoreYet) {
				return err
			}
			r.skip(r.end - r.start) // too little for a block
			r.lost = false
			r.err = io.EOF
			return io.EOF
		}
		// Look at all positions whose head is in the buffer.
		last := r.end - r.start - blockFrame
		for at := 0; at <= last; at++ {
			length, ok := r.plausible(at)
			if !ok {
				continue
			}
			r.skip(at)
			err := r.need(length)
			if errors.Is(err, record.ErrNoMoreYet) {
				return err
			}
			if err == nil && binary.LittleEndian.Uint32(r.buf[r.start+length-4:]) == uint32(length) {
				r.lost = false
				return nil
			}
			last, at = r.end-r.start-blockFrame, 0
		}
		r.skip(max(last+1, 0))
	}
}

func (r *blockReader) skip(n int) {
	r.start += n
	r.offset += int64(n)
}

// need reads until n bytes are held. n is at most MaxBlock.
func (r *blockReader) need(n int) error {
	for r.end-r.start < n {
		if r.err != nil {
			return r.err
		}
		if len(r.buf)-r.start < MaxBlock {
			copy(r.buf, r.buf[r.start:r.end])
			r.end -= r.start
			r.start = 0
		}
		read, err := r.src.Read(r.buf[r.end:])
		r.end += read
		if errors.Is(err, record.ErrNoMoreYet) {
			if read == 0 {
				return err
			}
			continue
		}
		r.err = err
	}
	return nil
}
