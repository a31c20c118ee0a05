package pcapng

import "net/netip"

// Appearance says how the packets of a connection differ from what an Encoder makes
// of its record.Flow. The Decoder finds all of it in the packets that identify the
// connection. Those who write more than one process, or more than one window, to one
// file need it: they see to it that programs which go by addresses and sequence
// numbers alone, as Wireshark does, have each connection as one stream.
type Appearance struct {
	// Client, when valid, stands for the client's address.
	Client netip.AddrPort

	// ServerPort, when not 0, is the port of a Unix listener's stand-in.
	ServerPort uint16

	// Handshake says that the packets begin with a handshake. The connection's
	// identity says whether it began in the window, see record.Flow.FromStart.
	Handshake bool

	// Unknown says of each direction that the offset of its first byte is not known
	// yet; that of record.Flow.Next is 0 then.
	Unknown [2]bool

	// Shift is added to the sequence numbers of each direction, modulo 2^32.
	Shift [2]uint32
}
