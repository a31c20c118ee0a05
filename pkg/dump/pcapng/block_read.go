package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// MaxBlock bounds the blocks that the Encoder appends, in bytes: the longest are a
// packet of 64 KiB and its comments.
const MaxBlock = 192 << 10

const (
	// longestBlock bounds the blocks that are held in memory, in bytes. It is Wireshark's
	// bound too. A packet can have many comments of 64 KiB each.
	longestBlock = 16 << 20

	blockBuffer = 3 * MaxBlock
)

// blockReader cuts a stream into pcapng blocks.
type blockReader struct {
	src        io.Reader
	buf        []byte // buf[start:end] is read and not yet returned
	start, end int
	offset     int64     // of buf[start] in the stream
	order      byteOrder // of the section
	passing    int64     // bytes to pass over, of a block that is too long for the buffer
	lost       bool      // the block at start is damaged: look for the next
	err        error     // what ended the stream
}

// block is one block. Its body is valid until the reader's next call.
type block struct {
	kind   uint32
	body   []byte // without the frame; nil of a block that is too long to be held
	offset int64  // of the block in the stream
	order  byteOrder
}

func (r *blockReader) reset(src io.Reader) {
	if len(r.buf) != blockBuffer {
		r.buf = make([]byte, blockBuffer) // a longer one is given back
	}
	*r = blockReader{src: src, buf: r.buf}
}

// next returns the next block. record.ErrNoMoreYet means that a later call may give more,
// io.EOF is the end; other errors describe damage at the block's offset, and the
// next call looks for an intact block after it.
func (r *blockReader) next() (block, error) {
	if r.passing > 0 {
		if err := r.pass(); err != nil {
			return r.ended(err)
		}
	}
	if r.lost {
		if err := r.resync(); err != nil {
			return block{}, err
		}
	}
	if err := r.need(blockFrame); err != nil {
		return r.ended(err)
	}
	order := r.order
	kind, length, ok := r.head(0)
	if !ok {
		return r.damaged(fmt.Errorf("%w: no block begins here", record.ErrMalformed))
	}
	b := block{kind: kind, offset: r.offset, order: r.order}
	if length > longestBlock {
		r.passing = length
		return b, nil
	}
	n := int(length)
	if err := r.need(n); err != nil {
		r.order = order
		return r.ended(err)
	}
	if r.order.Uint32(r.buf[r.start+n-4:]) != uint32(n) {
		r.order = order
		return r.damaged(fmt.Errorf("%w: the two lengths of a block differ", record.ErrMalformed))
	}
	b.body = r.buf[r.start+8 : r.start+n-4]
	r.skip(n)
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
	case r.passing > 0:
		r.passing, r.err = 0, io.EOF
		if errors.Is(err, io.EOF) {
			err = record.ErrTruncated
		}
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

// head returns what the first twelve bytes at buf[start+at:] say of a block: its type
// and length. A section header also says the byte order, of itself and of what follows.
// ok is false where no block begins there.
func (r *blockReader) head(at int) (kind uint32, length int64, ok bool) {
	b := r.buf[r.start+at:]
	kind = r.order.Uint32(b)
	if kind == blockSection { // the same in both orders
		switch uint32(byteOrderMagic) {
		case binary.LittleEndian.Uint32(b[8:]):
			r.order = byteOrder{}
		case binary.BigEndian.Uint32(b[8:]):
			r.order = byteOrder{big: true}
		default:
			return kind, 0, false
		}
	}
	length = int64(r.order.Uint32(b[4:]))
	ok = length%4 == 0 && length >= blockFrame && (length <= longestBlock || mayBeLong(kind))
	return kind, length, ok
}

// mayBeLong reports whether blocks of a type may be longer than longestBlock. Their
// content is not ours and is not held. Of every other type such a length is damage:
// to pass over so much would lose intact blocks.
func mayBeLong(kind uint32) bool {
	switch kind {
	case blockNames, blockJournal, blockSecrets, blockCustom, blockCustomNoCopy:
		return true
	}
	return false
}

// pass drops the bytes of a long block.
func (r *blockReader) pass() error {
	for {
		n := int(min(r.passing, int64(r.end-r.start)))
		r.skip(n)
		if r.passing -= int64(n); r.passing == 0 {
			return nil
		}
		if err := r.need(1); err != nil {
			return err
		}
	}
}

// resync drops bytes until an intact block of a type that the recorder writes begins
// at start.
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
			order := r.order
			kind, length, ok := r.head(at)
			if !ok || length > MaxBlock || !isOurs(kind) {
				r.order = order
				continue
			}
			r.skip(at)
			err := r.need(int(length))
			if errors.Is(err, record.ErrNoMoreYet) {
				r.order = order
				return err
			}
			if err == nil && r.order.Uint32(r.buf[r.start+int(length)-4:]) == uint32(length) {
				r.lost = false
				return nil
			}
			r.order = order
			last, at = r.end-r.start-blockFrame, 0
		}
		r.skip(max(last+1, 0))
	}
}

// isOurs reports whether the recorder writes blocks of a type.
func isOurs(kind uint32) bool {
	switch kind {
	case blockSection, blockInterface, blockStatistics, blockPacket, blockPadding:
		return true
	}
	return false
}

func (r *blockReader) skip(n int) {
	r.start += n
	r.offset += int64(n)
}

// need reads until n bytes are held. n is at most longestBlock.
func (r *blockReader) need(n int) error {
	if r.end-r.start >= n {
		return nil
	}
	return r.fill(n)
}

// fill is need for bytes that are not held.
func (r *blockReader) fill(n int) error {
	for r.end-r.start < n {
		if r.err != nil {
			return r.err
		}
		r.makeRoom(n)
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

// makeRoom makes buf have space for n bytes from start on, and for at least one more
// than it holds. It doubles a buffer that is too short, so that a length that is damaged
// costs no more memory than there are bytes.
func (r *blockReader) makeRoom(n int) {
	if len(r.buf)-r.start >= max(n, MaxBlock) && r.end < len(r.buf) {
		return
	}
	held := r.buf[r.start:r.end]
	if len(held) > len(r.buf)/2 {
		r.buf = make([]byte, min(2*len(r.buf), 2*longestBlock))
	}
	if r.start > 0 || len(held) > 0 && &held[0] != &r.buf[0] {
		copy(r.buf, held)
	}
	r.start, r.end = 0, len(held)
}
