package dump

import (
	"net/netip"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Flow is what an encoder knows of one connection in one window. It belongs to
// the one worker that encodes the connection; the worker fills the exported
// fields before the first call and an encoder keeps its own state in the others.
type Flow struct {
	Window   string // UUID of the window
	Conn     string // the connection's identity, <run>-<id>
	Port     string // the listener's port, or the path of its Unix socket
	Listener string // the listener's name
	Network  string // "tcp", "udp" or "unix"
	Client   string // client's address as text, "@" for an unnamed Unix socket
	Server   string // address that the client reached, as text

	// The same addresses as numbers; not valid for Unix sockets.
	ClientAddr, ServerAddr netip.AddrPort

	// FromStart says that the connection began in this window, so that nothing
	// of it is missing at the front.
	FromStart bool

	// Next is the offset in each direction from which the window sees the
	// connection; encoders move it on with what they encode.
	Next [2]uint64

	pcapng pcapngFlow
}

// Encoder turns the events of flows into a file's format. Each method appends
// complete lines or blocks to dst and returns the extended slice; none keeps dst
// or data. Times are nanoseconds since the Unix epoch. An Encoder belongs to one
// worker and is not safe for concurrent use.
type Encoder interface {
	// Open says that f takes part in the window. It comes before all else of f.
	Open(dst []byte, t int64, f *Flow) []byte
	// Data holds bytes that passed, from offset on.
	Data(dst []byte, t int64, f *Flow, dir model.Direction, offset uint64, data []byte) []byte
	// Gap says that length bytes from offset on passed and were not kept.
	Gap(dst []byte, t int64, f *Flow, dir model.Direction, offset, length uint64, reason model.Reason) []byte
	// Close says that the connection has ended after in and out bytes in all.
	Close(dst []byte, t int64, f *Flow, reason string, in, out uint64) []byte
}
