package test

import (
	"net"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// udpEcho answers datagrams with themselves until the test ends.
func udpEcho(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends when conn is closed
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buf[:n], from) // a datagram may get lost
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

// ping sends text until it comes back: datagrams may get lost, and the listener
// may not be there yet.
func ping(t *testing.T, address, text string) {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "a datagram comes back", func() bool { return askUDP(t, conn, text, time.Second) })
}

// askUDP sends text and reports whether it came back in time.
func askUDP(t *testing.T, conn net.Conn, text string, in time.Duration) bool {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		return false // connection refused: nobody listens yet
	}
	if err := conn.SetReadDeadline(time.Now().Add(in)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		return false
	}
	if string(buf[:n]) != text {
		t.Errorf("a datagram of %d bytes came back as %d others", len(text), n)
	}
	return true
}

// recordDatagrams has some datagrams echoed in a window, and returns what was sent on
// conn.
func recordDatagrams(t *testing.T, format string) (m *mosn, w oracle.Window, conn net.Conn, sent []string) {
	t.Helper()
	base, address := newBase(t), freeAddress(t)
	filter := recorder(base, block{"output": block{"dir": dumpDir(base), "formats": []string{format}}})
	listener := mosnproc.NewListener("udp", address, filter, mosnproc.UDPProxy())
	listener.Network = "udp"
	m = start(t, base, configOf(udpEcho(t), listener))
	ping(t, address, "are you there?") // from another address than the next
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	sent = []string{"one", "two", "two", strings.Repeat("long ", 1000)}
	w = m.window(func() {
		for _, text := range sent {
			if !askUDP(t, conn, text, timeout) {
				t.Fatalf("datagram %.10q got lost on the loopback", text)
			}
		}
	})
	complete(t, w)
	return m, w, conn, sent
}
