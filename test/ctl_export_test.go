package test

import (
	"net"
	"path/filepath"
	"regexp"
	"testing"

	"google.golang.org/grpc"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/program"
)

// With the options that "export" prints, and only with them, tshark finds the calls of a
// gRPC listener on any port, also of a connection that began before the window. What was
// recorded of several listeners is whole for tcpdump, and for tshark merged and exported.
func ctlSaysHowWiresharkDecodes(t *testing.T, c ctlBinary) {
	program.Require(t, "tshark")
	base := newBase(t)
	calls, early, plain := freeAddress(t), freeAddress(t), freeAddress(t)
	filter := recorder(base, block{"output": block{"dir": dumpDir(base), "formats": []string{"hex_meta", "pcapng"}}})
	serves := mosnproc.Filter{Type: "grpc", Config: block{"server_name": grpcecho.ServerName}}
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("calls", calls, filter, serves), mosnproc.NewListener("early", early, filter, serves),
		mosnproc.NewListener("plain", plain, filter, mosnproc.TCPProxy())))
	ctx := deadline(t)
	ask := func(conn *grpc.ClientConn) {
		if _, err := grpcecho.Echo(ctx, conn, []byte("one question")); err != nil {
			t.Fatal(err)
		}
	}
	dial := func(address string) *grpc.ClientConn {
		conn, err := grpc.DialContext(ctx, address, grpc.WithInsecure(), grpc.WithBlock())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	old := dial(early)
	ask(old)
	w := m.window(func() {
		ask(old)
		ask(dial(calls))
		conn, err := net.Dial("tcp", plain)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sendAndReceive(t, conn, "bytes of no protocol")
	})
	complete(t, w)
	openCapture(t, m.segments(w)...).whole()

	for _, format := range []string{"hex_meta", "pcapng"} {
		exported := filepath.Join(t.TempDir(), "all.pcapng")
		as := "hex"
		if format == "pcapng" {
			as = format
		}
		s := c.run(t, "export", "--format", as, "-o", exported, m.dump)
		seen := openCapture(t, exported)
		seen.whole()
		for _, address := range []string{calls, early} {
			if n := len(seen.fields("http2 && tcp.port == "+portOf(address), "frame.number")); n != 0 {
				t.Errorf("%s: tshark needs no option to find %d packets of HTTP/2", format, n)
			}
		}
		options := regexp.MustCompile(`-d (\S+)`).FindAllStringSubmatch(s.stderr, -1)
		if len(options) != 2 || s.code != exitDone {
			t.Errorf("%s: exit code %d, %q", format, s.code, s.stderr)
		}
		for _, o := range options {
			seen.options = append(seen.options, "-d", o[1])
		}
		for _, address := range []string{calls, early} {
			if n := len(seen.fields("http2.type == 0 && tcp.port == "+portOf(address), "frame.number")); n < 2 {
				t.Errorf("%s: with %q, tshark finds messages in %d packets of port %s", format, s.stderr, n, portOf(address))
			}
		}
	}
}
