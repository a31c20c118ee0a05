package upstream

import (
	"context"
	"fmt"
	"net"
)

// maxDatagram is the size of the largest datagram, in bytes.
const maxDatagram = 64 << 10

// ServeUDP sends each datagram that conn receives back to where it came from, until
// ctx is done. It closes conn, and returns nil then.
func ServeUDP(ctx context.Context, conn net.PacketConn) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = conn.Close() // ends ReadFrom
	})
	defer stop()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve %s: %w", conn.LocalAddr(), err)
		}
		// A client that has gone is no reason to end; its next one may be there.
		_, _ = conn.WriteTo(buf[:n], from)
	}
}
