package replay

import "golang.org/x/net/http2"

// http2Window is what an HTTP/2 client may have sent of each request's body before
// the window of its first settings frame is known, in bytes (RFC 9113, 6.9.2).
const http2Window = 65535

// flowControl is how much data the server lets the replay send. The recorded
// client waited for windows that its server opened at other moments than this one
// does.
type flowControl struct {
	connection int64
	initial    int64            // of a stream that is opened
	streams    map[uint32]int64 // of those that have been opened
}

func newFlowControl() *flowControl {
	return &flowControl{connection: http2Window, initial: http2Window, streams: map[uint32]int64{}}
}

// open begins a stream.
func (f *flowControl) open(stream uint32) { f.streams[stream] = f.initial }

// spend says that a frame of n bytes of data is to be sent.
func (f *flowControl) spend(stream uint32, n int64) {
	f.connection -= n
	if _, ok := f.streams[stream]; ok {
		f.streams[stream] -= n
	}
}

// settings applies a settings frame of the server's.
func (f *flowControl) settings(frame *http2.SettingsFrame) {
	size, ok := frame.Value(http2.SettingInitialWindowSize)
	if !ok {
		return
	}
	grown := int64(size) - f.initial
	f.initial += grown
	for stream := range f.streams {
		f.streams[stream] += grown
	}
}

// update applies a window update of the server's.
func (f *flowControl) update(frame *http2.WindowUpdateFrame) {
	if frame.StreamID == 0 {
		f.connection += int64(frame.Increment)
	} else if _, ok := f.streams[frame.StreamID]; ok {
		f.streams[frame.StreamID] += int64(frame.Increment)
	}
}

// end forgets a stream that the server has ended: it accepts no more of it.
func (f *flowControl) end(stream uint32) { delete(f.streams, stream) }

// exhausted reports whether more is to be sent than the server accepts yet.
func (f *flowControl) exhausted() bool {
	if f.connection < 0 {
		return true
	}
	for _, window := range f.streams {
		if window < 0 {
			return true
		}
	}
	return false
}
