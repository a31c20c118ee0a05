package record

// Identity says to which connection and window a record belongs. Fields that the
// file does not have are empty.
type Identity struct {
	Window       string // UUID
	Conn         string // <run>-<id>; of legacy lines "all-<port>", which stands for all connections of the port
	Port         string // the listener's port, or the path of its Unix socket
	Network      string // "tcp", "udp" or "unix"
	Peer         string // the client's address; "@" for an unnamed Unix socket
	Listener     string // the address that the client reached
	ListenerName string
}
