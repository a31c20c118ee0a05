package record

import "net/netip"

// Endpoint describes a connection for those who read its records: its identity,
// and the same addresses as numbers. Identity.Window is empty where the
// description holds for all windows.
type Endpoint struct {
	Identity

	// ClientAddr is Peer and ServerAddr is Listener; not valid for Unix sockets.
	ClientAddr, ServerAddr netip.AddrPort
}

// MaxCheckpoint is how many bytes the checkpoint of a connection may have in a file: as
// text, a comment of pcapng has room for it.
const MaxCheckpoint = 44 << 10

// Flow is what an encoder knows of one connection in one window. It belongs to
// the one goroutine that encodes the connection; that goroutine fills the fields
// before the first call, and the encoder keeps its own state in State.
type Flow struct {
	Endpoint

	// FromStart says that the connection began in this window, so that the window
	// has its first bytes.
	FromStart bool

	// Next is the offset in each direction from which the window has the
	// connection; encoders move it on with what they encode.
	Next PerDirection

	// Checkpoint is the state of the decoder of package protocol at Next, of a connection
	// that a window has from its middle on; nil where it is not known. Encoders write it
	// with the opening. It has at most MaxCheckpoint bytes, some of which may be payload.
	Checkpoint []byte

	// State belongs to the encoder, which sets it in Open. Two encoders that need
	// it need a Flow each.
	State any
}
