// Package statetext writes the checkpoint of a decoder as a word of text, as the lines of
// hex_meta and the comments of pcapng have it. The formats' packages call it.
package statetext

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"mosn.io/tcpcopy/pkg/record"
)

// sumSize is how many bytes of a word follow the checkpoint: its CRC-32C (RFC 3720, section
// 12.1), little-endian. A decoder that went on from a damaged one would show header fields
// that nobody sent.
const sumSize = 4

// encoding is base64 of RFC 4648, section 4, without padding: no character of it ends a
// word or needs quotes.
var encoding = base64.RawStdEncoding.Strict()

// MaxLength is how many bytes the word of a checkpoint has at most.
var MaxLength = encoding.EncodedLen(record.MaxCheckpoint + sumSize)

// Append appends the word of a checkpoint to dst.
func Append(dst, checkpoint []byte) []byte {
	// In one piece, because the word's last characters depend on both.
	b := make([]byte, 0, len(checkpoint)+sumSize)
	b = append(b, checkpoint...)
	b = binary.LittleEndian.AppendUint32(b, sum(checkpoint))
	return encoding.AppendEncode(dst, b)
}

// Parse returns the checkpoint of a word, as bytes of its own; ok is false where the word is
// damaged or too long.
func Parse(word []byte) (checkpoint []byte, ok bool) {
	if len(word) > MaxLength || bytes.ContainsAny(word, "\r\n") { // which the decoder passes over
		return nil, false
	}
	b := make([]byte, encoding.DecodedLen(len(word)))
	n, err := encoding.Decode(b, word)
	if err != nil || n <= sumSize {
		return nil, false
	}
	checkpoint = b[: n-sumSize : n-sumSize]
	return checkpoint, binary.LittleEndian.Uint32(b[n-sumSize:n]) == sum(checkpoint)
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
