package protocol

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// HTTP2Preface begins what a client sends on an HTTP/2 connection (RFC 9113, section
// 3.4).
const HTTP2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// BeginsHTTP2 reports whether data, the first bytes from a client, begin with the first
// line of the preface. Its rest may not have come yet.
func BeginsHTTP2(data []byte) bool {
	return bytes.HasPrefix(data, []byte(HTTP2Preface[:strings.IndexByte(HTTP2Preface, '\n')+1]))
}

// Frames of HTTP/2 (RFC 9113, sections 4 and 6).
const (
	frameHeader = 9 // bytes: length of 3, type, flags, stream identifier of 4

	frameData         = 0
	frameHeaders      = 1
	framePriority     = 2
	frameReset        = 3
	frameSettings     = 4
	framePing         = 6
	frameGoAway       = 7
	frameWindowUpdate = 8
	frameContinuation = 9
)

// maxFrame is how many bytes a frame may have that is recognised: four times what most
// implementations send.
const maxFrame = 64 << 10

// isHTTP2Frames reports whether data begins with a frame of HTTP/2 and goes on with
// more, if it goes on.
func isHTTP2Frames(data []byte) bool {
	if len(data) < frameHeader {
		return false
	}
	for len(data) >= frameHeader {
		length, ok := isHTTP2Frame(data)
		if !ok {
			return false
		}
		data = data[min(frameHeader+length, len(data)):]
	}
	return true
}

// isHTTP2Frame reports whether a frame's header begins data, and the length after it.
func isHTTP2Frame(data []byte) (length int, ok bool) {
	length = int(data[0])<<16 | int(data[1])<<8 | int(data[2])
	stream, flags := binary.BigEndian.Uint32(data[5:]), data[4]
	ofStream := stream&(1<<31) == 0 && stream&1 == 1
	switch data[3] {
	case frameData:
		ok = ofStream && flags&^0x09 == 0
	case frameHeaders:
		ok = ofStream && flags&^0x2d == 0 && length > 0
	case frameContinuation:
		ok = ofStream && flags&^0x04 == 0
	case framePriority:
		ok = ofStream && length == 5
	case frameReset:
		ok = ofStream && length == 4
	case frameSettings:
		ok = stream == 0 && length%6 == 0 && (flags == 0 || flags == 1 && length == 0)
	case framePing:
		ok = stream == 0 && length == 8 && flags&^0x01 == 0
	case frameGoAway:
		ok = stream == 0 && length >= 8
	case frameWindowUpdate:
		ok = (stream == 0 || ofStream) && length == 4 && flags == 0
	}
	return length, ok && length <= maxFrame
}
