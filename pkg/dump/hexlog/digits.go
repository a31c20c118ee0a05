package hexlog

import "encoding/binary"

// appendHex appends data as two lower-case digits per byte with one space between
// bytes and none at the end, as fmt's "% x" does. It does not keep data.
func appendHex(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	at := len(dst)
	// One byte more than the text needs: each step stores four bytes, of which
	// the next step overwrites the last.
	dst = grow(dst, 3*len(data)+1)
	out := dst[at : at+3*len(data)+1]
	n := encodeHexBlocks(out, data)
	encodeHexTable(out[3*n:], data[n:])
	return dst[:len(dst)-2] // the spare byte and the last space
}

// encodeHexTable writes the text of data to out, each byte as two digits and a space,
// and one byte more.
func encodeHexTable(out, data []byte) {
	for len(data) >= 4 && len(out) >= 13 {
		binary.LittleEndian.PutUint32(out[0:4], hexTriples[data[0]])
		binary.LittleEndian.PutUint32(out[3:7], hexTriples[data[1]])
		binary.LittleEndian.PutUint32(out[6:10], hexTriples[data[2]])
		binary.LittleEndian.PutUint32(out[9:13], hexTriples[data[3]])
		data, out = data[4:], out[12:]
	}
	for i, b := range data {
		binary.LittleEndian.PutUint32(out[3*i:3*i+4], hexTriples[b])
	}
}

// grow extends dst by n bytes of unspecified content.
func grow(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		bigger := make([]byte, len(dst), 2*cap(dst)+n)
		copy(bigger, dst)
		dst = bigger
	}
	return dst[:len(dst)+n]
}

// hexTriples holds, for each byte, its two digits and a space as they lie in
// memory when stored little-endian.
var hexTriples = func() (t [256]uint32) {
	const digits = "0123456789abcdef"
	for b := range t {
		t[b] = uint32(digits[b>>4]) | uint32(digits[b&15])<<8 | uint32(' ')<<16
	}
	return t
}()
