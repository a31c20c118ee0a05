package dumptest

import (
	"fmt"
	"net/netip"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// The window of the flows, and a time in it in nanoseconds since the Unix epoch.
const (
	Window = "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44"
	Time   = int64(1_700_000_000_123_456_789)
)

// NewFlow returns a flow between two addresses, "host:port" each or "@" and a
// path for a Unix socket.
func NewFlow(network string, id int, client, server string) *record.Flow {
	f := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: Window, Conn: fmt.Sprintf("k3v9qa-%d", id), ListenerName: "ingress", Network: network, Peer: client, Listener: server, Port: server}}, FromStart: true}
	if network != "unix" {
		f.ClientAddr, f.ServerAddr = netip.MustParseAddrPort(client), netip.MustParseAddrPort(server)
		f.Port = fmt.Sprint(f.ServerAddr.Port())
	}
	return f
}

// NewFile returns the blocks that begin a file, and an encoder for its packets.
func NewFile() ([]byte, *pcapng.Encoder) {
	return pcapng.AppendHead(nil, "mosn tcpcopy"), pcapng.NewEncoder()
}
