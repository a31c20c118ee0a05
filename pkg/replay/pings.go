package replay

import (
	"golang.org/x/net/http2"
	"mosn.io/tcpcopy/internal/protocol"
)

const http2FrameHeader = 9 // bytes

// pingFilter removes the pings from what an HTTP/2 client sent. A client pings to
// measure its own connection, in step with the data that comes there, or to keep
// it open. On the connection of a replay data comes at another pace: the pings
// would follow one another without data between them, and servers, such as gRPC's,
// close a connection for that ("too_many_pings"). Answers to the server's pings
// stay.
//
// A pingFilter belongs to one goroutine. Its zero value is not ready, see
// newPingFilter.
type pingFilter struct {
	header  []byte // of the frame that begins, as far as it has come; it has not been returned
	left    int    // bytes of the frame, or of the preface, that are still to come after its header
	dropped bool   // the frame is a ping
	out     []byte // the buffer of the last result that is not a part of its argument
}

// newPingFilter returns a filter whose first bytes are the client's preface.
func newPingFilter() *pingFilter { return &pingFilter{left: len(protocol.HTTP2Preface)} }

// filter returns data, which goes on where the last call's ended, without pings. A
// frame's header that is cut off by the end of data is returned when it is whole.
// The result may be data itself or f's buffer: it is valid until the next call and as
// long as data, and must not be changed.
func (f *pingFilter) filter(data []byte) []byte {
	if f.passes(data) {
		return data
	}
	f.out = f.out[:0]
	for len(data) > 0 {
		if f.left > 0 {
			n := min(f.left, len(data))
			if !f.dropped {
				f.out = append(f.out, data[:n]...)
			}
			f.left -= n
			data = data[n:]
			continue
		}
		n := min(http2FrameHeader-len(f.header), len(data))
		f.header = append(f.header, data[:n]...)
		data = data[n:]
		if len(f.header) == http2FrameHeader {
			f.begin(f.header)
			if !f.dropped {
				f.out = append(f.out, f.header...)
			}
			f.header = f.header[:0]
		}
	}
	return f.out
}

// begin goes on to the frame that header is the header of.
func (f *pingFilter) begin(header []byte) {
	f.left, f.dropped = http2Length(header), isPing(header)
}

// passes reports whether data holds whole headers only and no ping. If so, the
// filter advances past data.
func (f *pingFilter) passes(data []byte) bool {
	if len(f.header) > 0 || f.dropped && f.left > 0 {
		return false
	}
	at := f.left
	for at < len(data) {
		if len(data)-at < http2FrameHeader || isPing(data[at:]) {
			return false
		}
		at += http2FrameHeader + http2Length(data[at:])
	}
	f.left, f.dropped = at-len(data), false
	return true
}

// http2Length returns the length of the payload after a frame's header.
func http2Length(header []byte) int {
	return int(header[0])<<16 | int(header[1])<<8 | int(header[2])
}

// isPing reports whether a frame's header is that of a ping that asks for an
// answer.
func isPing(header []byte) bool {
	return http2.FrameType(header[3]) == http2.FramePing && !http2.Flags(header[4]).Has(http2.FlagPingAck)
}
