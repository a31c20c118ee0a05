package pcapng

import "encoding/binary"

// The parts of pcapng (IETF draft-ietf-opsawg-pcapng) that the recorder writes, in
// little-endian order, and that the decoder reads, in either. All blocks have this frame:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|                          Block Type                           |
//	+---------------------------------------------------------------+
//	|                      Block Total Length                       |
//	+---------------------------------------------------------------+
//	/             body, padded to a multiple of 4 bytes             /
//	+---------------------------------------------------------------+
//	|                      Block Total Length                       |
//	+---------------------------------------------------------------+
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockOldPacket  = 2 // Packet Block, obsolete
	blockSimple     = 3 // Simple Packet Block
	blockNames      = 4 // Name Resolution Block
	blockStatistics = 5
	blockPacket     = 6          // Enhanced Packet Block
	blockJournal    = 9          // systemd Journal Export Block
	blockSecrets    = 10         // Decryption Secrets Block
	blockPadding    = 0x80746370 // "tcp", in the range for local use

	blockCustom       = 0x00000bad
	blockCustomNoCopy = 0x40000bad

	blockFrame  = 12 // bytes of type and both lengths
	packetFixed = 28 // bytes of an Enhanced Packet Block before the packet, the frame's among them

	byteOrderMagic = 0x1a2b3c4d
	linkTypeRaw    = 101 // packets begin with their IPv4 or IPv6 header
	snapLength     = 262144
)

// Option codes. The first two mean the same in every block.
const (
	optEnd     = 0
	optComment = 1

	optSectionApplication = 4

	optInterfaceName        = 2
	optInterfaceDescription = 3
	optInterfaceResolution  = 9
	optInterfaceOffset      = 14

	optPacketFlags   = 2
	optPacketDropped = 4
	optPacketID      = 5
	optPacketQueue   = 6

	optStatisticsStart    = 2
	optStatisticsEnd      = 3
	optStatisticsReceived = 4
	optStatisticsDropped  = 5
)

// The direction bits of optPacketFlags.
const (
	packetInbound  = 1
	packetOutbound = 2
)

// maxOption is how many bytes of a text are kept as an option: the format's own
// limit is 65535.
const maxOption = 16 << 10

// beginBlock appends a block's type and space for its length; endBlock, given the
// length that dst had before, completes the frame.
func beginBlock(dst []byte, blockType uint32) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, blockType)
	return append(dst, 0, 0, 0, 0)
}

func endBlock(dst []byte, start int) []byte {
	total := uint32(len(dst) - start + 4)
	binary.LittleEndian.PutUint32(dst[start+4:], total)
	return binary.LittleEndian.AppendUint32(dst, total)
}

// appendTimestamp appends the two halves of a time, the upper one first.
func appendTimestamp(dst []byte, t int64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(uint64(t)>>32))
	return binary.LittleEndian.AppendUint32(dst, uint32(t))
}

// appendOption appends a text option, cut at maxOption bytes.
func appendOption(dst []byte, code uint16, text string) []byte {
	dst, at := beginOption(dst, code)
	dst = append(dst, text[:min(len(text), maxOption)]...)
	return endOption(dst, at)
}

// beginOption appends an option's head without its length; endOption fills it in
// and pads.
func beginOption(dst []byte, code uint16) (_ []byte, at int) {
	dst = binary.LittleEndian.AppendUint16(dst, code)
	dst = append(dst, 0, 0)
	return dst, len(dst)
}

func endOption(dst []byte, at int) []byte {
	n := len(dst) - at
	binary.LittleEndian.PutUint16(dst[at-2:], uint16(n))
	return appendPadding(dst, n)
}

func endOptions(dst []byte) []byte { return append(dst, optEnd, 0, 0, 0) }

// appendPadding appends the zeros that make n bytes a multiple of four.
func appendPadding(dst []byte, n int) []byte {
	return append(dst, "\x00\x00\x00"[:-n&3]...)
}
