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
func BeginsHTTP2(data []byte) bool { return bytes.HasPrefix(data, []byte(http2FirstLine)) }

var http2FirstLine = HTTP2Preface[:strings.IndexByte(HTTP2Preface, '\n')+1]

// The types of HTTP/2's frames (RFC 9113, section 6).
const (
	HTTP2Data         = 0
	HTTP2Headers      = 1
	HTTP2Priority     = 2
	HTTP2Reset        = 3
	HTTP2Settings     = 4
	HTTP2PushPromise  = 5
	HTTP2Ping         = 6
	HTTP2GoAway       = 7
	HTTP2WindowUpdate = 8
	HTTP2Continuation = 9
)

// The flags of HTTP/2's frames.
const (
	HTTP2EndStream   = 0x01 // of data and headers
	HTTP2Ack         = 0x01 // of settings and pings
	HTTP2EndHeaders  = 0x04
	HTTP2Padded      = 0x08
	HTTP2HasPriority = 0x20
)

// HTTP2FrameHeader is how many bytes are in front of a frame's payload.
const HTTP2FrameHeader = 9

// HTTP2Frame is the header of a frame of HTTP/2 (RFC 9113, section 4.1).
type HTTP2Frame struct {
	Length      int // of the payload, in bytes
	Type, Flags byte
	Stream      uint32 // without the bit that is reserved
	Reserved    bool   // that bit
}

// ReadHTTP2Frame returns the frame header that data begins with. data has at least
// HTTP2FrameHeader bytes.
func ReadHTTP2Frame(data []byte) HTTP2Frame {
	stream := binary.BigEndian.Uint32(data[5:])
	return HTTP2Frame{
		Length: int(data[0])<<16 | int(data[1])<<8 | int(data[2]), Type: data[3], Flags: data[4],
		Stream: stream &^ (1 << 31), Reserved: stream>>31 != 0,
	}
}

// Has reports whether the frame has all of flags.
func (f HTTP2Frame) Has(flags byte) bool { return f.Flags&flags == flags }

// IsValid reports whether a receiver accepts a frame with this header: its type is on a
// stream if it has to be, and has a length that it may have. Frames of other types than those
// above are valid.
func (f HTTP2Frame) IsValid() bool {
	switch f.Type {
	case HTTP2Data, HTTP2Headers, HTTP2Continuation, HTTP2PushPromise, HTTP2Priority:
		return f.Stream != 0
	case HTTP2Reset:
		return f.Stream != 0 && f.Length == 4
	case HTTP2Settings:
		return f.Stream == 0 && f.Length%6 == 0 && (!f.Has(HTTP2Ack) || f.Length == 0)
	case HTTP2Ping:
		return f.Stream == 0 && f.Length == 8
	case HTTP2GoAway:
		return f.Stream == 0 && f.Length >= 8
	case HTTP2WindowUpdate:
		return f.Length == 4
	}
	return true
}

// IsPlausible reports whether bytes of which nothing is known may be this header: it is
// valid, and what programs really send. Of the streams those are plausible that clients
// open.
func (f HTTP2Frame) IsPlausible() bool {
	if f.Reserved || !f.IsValid() || f.Stream != 0 && f.Stream&1 == 0 {
		return false
	}
	switch f.Type {
	case HTTP2Data:
		return f.Flags&^(HTTP2EndStream|HTTP2Padded) == 0
	case HTTP2Headers:
		return f.Flags&^(HTTP2EndStream|HTTP2EndHeaders|HTTP2Padded|HTTP2HasPriority) == 0 && f.Length > 0
	case HTTP2Continuation:
		return f.Flags&^HTTP2EndHeaders == 0
	case HTTP2Priority:
		return f.Length == 5
	case HTTP2Settings, HTTP2Ping:
		return f.Flags&^HTTP2Ack == 0
	case HTTP2Reset, HTTP2GoAway:
		return true
	case HTTP2WindowUpdate:
		return f.Flags == 0
	}
	return false
}

// maxHTTP2Frame is how many bytes a frame may have that is recognised: four times what
// most implementations send.
const maxHTTP2Frame = 64 << 10

// isHTTP2Frames reports whether data begins with a frame of HTTP/2 and goes on with
// more, if it goes on.
func isHTTP2Frames(data []byte) bool {
	if len(data) < HTTP2FrameHeader {
		return false
	}
	for len(data) >= HTTP2FrameHeader {
		f := ReadHTTP2Frame(data)
		if !f.IsPlausible() || f.Length > maxHTTP2Frame {
			return false
		}
		data = data[min(HTTP2FrameHeader+f.Length, len(data)):]
	}
	return true
}
