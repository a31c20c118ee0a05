package test

import (
	"io"
	"net"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/wiretap"
)

// Where both sides speak first, a capture has all of both, from the handshake on,
// whichever record came first.
func TestBothSidesMaySendFirst(t *testing.T) {
	t.Parallel()
	const connections, greeting, request = 500, "the server greets", "the client asks"
	server := upstream(t, func(conn net.Conn) {
		if _, err := io.WriteString(conn, greeting); err == nil {
			_, _ = io.Copy(io.Discard, conn) // until the client closes
		}
	})
	base, address := newBase(t), freeAddress(t)
	output := block{"output": block{"dir": dumpDir(base), "formats": []string{"pcapng"}}}
	listener := mosnproc.NewListener("tcp", address, recorder(base, output), mosnproc.TCPProxy())
	m := start(t, base, configOf(server, listener))
	var taps []*wiretap.Conn
	w := m.window(func() {
		for range connections {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			tap := wiretap.New(conn)
			taps = append(taps, tap)
			send(t, tap, request)
			receive(t, tap, greeting)
		}
	})
	complete(t, w)
	seen := openCapture(t, m.segments(w)...)
	seen.opaque(listener)
	seen.clean(damaged + " || " + broken)
	if n := len(seen.fields("tcp.flags.syn == 1 && tcp.flags.ack == 0", "frame.number")); n != len(taps) {
		t.Errorf("%d handshakes of %d connections", n, len(taps))
	}
}
