package test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/devcert"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

func TestEveryByteOfTCPConnectionsIsRecorded(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	// Rolling takes part: no line may straddle two files.
	output := block{"output": block{"dir": dumpDir(base), "formats": []string{"hex_meta"}, "roll": "size=16 keep=100"}}
	m := start(t, base, configOf(upstream(t, answerExchanges),
		mosnproc.NewListener("tcp", address, recorder(base, roomy(), output), mosnproc.TCPProxy())))

	everyByte(t, m, 64, func() (net.Conn, error) { return net.Dial("tcp", address) })
	if files, err := filepath.Glob(filepath.Join(m.dump, "dump_tcp_copy*")); err != nil || len(files) < 2 {
		t.Errorf("the flow log was not rolled: %v, %v", files, err)
	}
}

func TestPlaintextOfTLSConnectionsIsRecorded(t *testing.T) {
	t.Parallel()
	pair, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	base, address := newBase(t), freeAddress(t)
	listener := mosnproc.NewListener("tls", address, recorder(base, roomy()), mosnproc.TCPProxy())
	listener.Chains[0].TLS = block{"status": true, "cert_chain": string(pair.Cert), "private_key": string(pair.Key)}
	m := start(t, base, configOf(upstream(t, answerExchanges), listener))

	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pair.Cert)
	everyByte(t, m, 16, func() (net.Conn, error) {
		return tls.Dial("tcp", address, &tls.Config{RootCAs: trusted, ServerName: "localhost"})
	})
}

func TestUnixSocketConnectionsAreRecorded(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	path := filepath.Join(base, "s.sock")
	listener := mosnproc.NewListener("unix", path, recorder(base, roomy()), mosnproc.TCPProxy())
	listener.Network = "unix"
	m := start(t, base, configOf(upstream(t, answerExchanges), listener))

	recorded := everyByte(t, m, 16, func() (net.Conn, error) { return net.Dial("unix", path) })
	for _, c := range recorded {
		if c.Port != path || c.Client != "@" {
			t.Errorf("connection %s: port %q, client %q; want %q, \"@\"", c.Conn, c.Port, c.Client, path)
		}
	}
}

// Offsets count from the connection's start, in or out of windows, and a
// connection has one identity in all of them.
func TestOffsetsGoOnThroughTwoWindows(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	sendAndReceive(t, conn, "before any window")
	first := m.window(func() { sendAndReceive(t, conn, "in the first") })
	sendAndReceive(t, conn, "between the two")
	id := m.open()
	sendAndReceive(t, conn, "in the second")
	conn.Close()
	eventually(t, "the connection's end is in the log", func() bool { return closes(m) == 1 })
	second := m.close(id)

	const start1 = len("before any window")
	const end1 = start1 + len("in the first")
	const start2 = end1 + len("between the two")
	const end2 = start2 + len("in the second")
	for _, want := range []struct {
		window     oracle.Window
		begin, end int
		text       string
		closed     bool
	}{
		{first, start1, end1, "in the first", false},
		{second, start2, end2, "in the second", true},
	} {
		complete(t, want.window)
		all := m.connections(want.window)
		if len(all) != 1 {
			t.Fatalf("%d connections in window %s", len(all), want.window.Window)
		}
		for _, s := range []oracle.Stream{all[0].In, all[0].Out} {
			got, err := s.Bytes()
			if err != nil || string(got) != want.text || s.Begin() != uint64(want.begin) || s.End() != uint64(want.end) {
				t.Errorf("%q at %d … %d, %v; want %q at %d … %d", got, s.Begin(), s.End(), err, want.text, want.begin, want.end)
			}
		}
		if (all[0].Closed != nil) != want.closed {
			t.Errorf("close line %+v, want one: %t", all[0].Closed, want.closed)
		}
	}
	if one, two := m.connections(first)[0].Conn, m.connections(second)[0].Conn; one != two {
		t.Errorf("one connection is %s and %s", one, two)
	}
}

func TestEqualMessagesAreTwoRecordsInOrder(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := m.window(func() {
		sendAndReceive(t, conn, "again")
		sendAndReceive(t, conn, "again")
	})
	complete(t, w)
	c := m.connections(w)[0]
	for _, s := range []oracle.Stream{c.In, c.Out} {
		if len(s.Pieces) != 2 || string(s.Pieces[0].Payload) != "again" || string(s.Pieces[1].Payload) != "again" || s.Pieces[1].Offset != 5 {
			t.Errorf("records %+v", s.Pieces)
		}
	}
	if w.Records != (oracle.PerDirection{In: 2, Out: 2}) || w.Connections != 1 {
		t.Errorf("index has records %+v of %d connections", w.Records, w.Connections)
	}
}
