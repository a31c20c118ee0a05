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

	// State belongs to the encoder, which sets it in Open. Two encoders that need
	// it need a Flow each.
	State any
}
