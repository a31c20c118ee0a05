package pcapng

import (
	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

// Whoever copies payload into memory from which a file is written can leave headroom
// and tailroom around it, and have the packet's block written there: that spares a
// copy.

// MaxSegment is how many bytes of a stream one packet carries at most: a round
// number within the 65535 bytes of an IP packet.
const MaxSegment = 32 << 10

// Headroom returns how many bytes a packet block of f has before its payload: a
// multiple of four.
func Headroom(f *record.Flow) int {
	var p packetTemplate
	p.init(f, &Appearance{})
	return p.headroom()
}

// Tailroom returns how many bytes a packet block without comments has after n
// bytes of payload. The block's length is a multiple of four.
func Tailroom(n int) int {
	const flags, end, length = 8, 4, 4
	return -n&3 + flags + end + length
}

// FrameInPlace is Data for n bytes that are in block already, with Headroom bytes
// before and Tailroom bytes after them. sum is their one's complement sum (RFC 1071)
// over little-endian words of 16 bits, a last byte alone being a word with zero, and
// not complemented: whoever copies them computes it on the way. more says that the
// next packet holds the rest of what passed at once. When ok is false, the bytes need
// more than that and block is as it was: the flow has not identified itself in this
// segment, or they need several packets. FrameInPlace does not keep block.
func (e *Encoder) FrameInPlace(block []byte, t int64, f *record.Flow, dir record.Direction, offset uint64, n int, sum uint16, more bool) (ok bool) {
	s, opened := f.State.(*flowState)
	if !opened {
		return false
	}
	headroom := s.packets.headroom()
	if s.segment != e.segment || s.unknown[dir] || n == 0 || n > MaxSegment || headroom+n+Tailroom(n) != len(block) ||
		isPreface(dir, offset, block[headroom:headroom+n]) {
		return false
	}
	flags := byte(flagACK)
	if !more {
		flags |= flagPSH
	}
	s.next.Set(dir, offset)
	b := e.frame(block[:headroom+n:len(block)], 0, t, f, dir, flags, s.seq(dir, offset), checksum.Sum(sum))
	endBlock(endOptions(b), 0)
	s.next.Set(dir, offset+uint64(n))
	s.last = dir
	f.Next.Set(dir, offset+uint64(n))
	return true
}
