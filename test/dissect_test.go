package test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
)

// usualPorts are ports that Wireshark takes for HTTP's by default (its preference
// http.tcp.port). There it dissects HTTP, and HTTP/2 by the preface with which it
// begins, without being asked: on other ports people must ask for it, by "decode
// as" or with "tshark --enable-heuristic http2_tcp".
var usualPorts = []int{8080, 8088, 3128, 3132, 80, 5985}

// usualAddresses returns n loopback addresses on usual ports, or skips the test:
// what cannot be chosen may be in use.
func usualAddresses(t *testing.T, n int) []string {
	t.Helper()
	var free []string
	for _, port := range usualPorts {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			free = append(free, address)
		}
	}
	if len(free) < n {
		t.Skipf("of the ports %v, on which Wireshark expects HTTP, only %v are free, and %d are needed", usualPorts, free, n)
	}
	return free[:n]
}

func TestWiresharkDissectsUnasked(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	addresses := usualAddresses(t, 2)
	web, calls := addresses[0], addresses[1]
	filter := recorder(base, block{"output": block{"dir": dumpDir(base), "formats": []string{"pcapng"}}})
	m := start(t, base, configOf(httpUpstream(t),
		mosnproc.NewListener("web", web, filter, mosnproc.Proxy("Http1")),
		mosnproc.NewListener("calls", calls, filter, mosnproc.Filter{Type: "grpc", Config: block{"server_name": grpcecho.ServerName}})))

	bodies := []int64{0, 5, 70_000, 300_000}
	const question = "one question"
	messages := [][]byte{[]byte("first"), randomBytes(1, 100_000), {}, []byte("last")}
	ctx := deadline(t)
	w := m.window(func() {
		client := newHTTPClient("tcp", web)
		defer client.CloseIdleConnections()
		for i, length := range bodies {
			if err := client.post(ctx, fmt.Sprintf("http://%s/request/%d", web, i), randomBytes(int64(i), length), nil); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := grpc.DialContext(ctx, calls, grpc.WithInsecure(), grpc.WithBlock(), grpc.WithContextDialer(dialPatiently))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got, err := grpcecho.Echo(ctx, conn, []byte(question)); err != nil || string(got) != question {
			t.Fatalf("Echo answered %q, %v", got, err)
		}
		if got, err := grpcecho.Chat(ctx, conn, messages...); err != nil || !slices.EqualFunc(got, messages, bytes.Equal) {
			t.Fatalf("Chat answered %d messages, %v", len(got), err)
		}
	})

	complete(t, w)
	c := openCapture(t, m.segments(w)...)
	c.clean(damaged + " || " + broken)
	for i, row := range c.fields("http.request", "http.request.method", "http.request.uri", "http.content_length") {
		if want := fmt.Sprintf("POST /request/%d %d", i, bodies[i]); strings.Join(row, " ") != want {
			t.Errorf("HTTP request %d is %q, want %q", i, row, want)
		}
	}
	for i, row := range c.fields("http.response", "http.response.code", "http.content_length") {
		if want := fmt.Sprintf("200 %d", bodies[i]); strings.Join(row, " ") != want {
			t.Errorf("HTTP response %d is %q, want %q", i, row, want)
		}
	}
	for what, want := range map[string]int{"http.request": len(bodies), "http.response": len(bodies)} {
		if got := len(c.fields(what, "frame.number")); got != want {
			t.Errorf("%d packets are an %s, want %d", got, what, want)
		}
	}
	var methods, lengths, wantLengths []string
	for _, row := range c.fields("http2.headers.path", "http2.headers.path") {
		methods = append(methods, strings.Split(row[0], ",")...)
	}
	if want := []string{grpcecho.EchoMethod, grpcecho.ChatMethod}; !slices.Equal(methods, want) {
		t.Errorf("calls of %q, want %q", methods, want)
	}
	for _, row := range c.fields("grpc && tcp.dstport == "+portOf(calls), "grpc.message_length") {
		lengths = append(lengths, strings.Split(row[0], ",")...)
	}
	for _, message := range append([][]byte{[]byte(question)}, messages...) {
		wantLengths = append(wantLengths, strconv.Itoa(proto.Size(wrapperspb.Bytes(message))))
	}
	if !slices.Equal(lengths, wantLengths) {
		t.Errorf("gRPC messages of %q bytes, want %q", lengths, wantLengths)
	}
}

// patient is a client's end of an HTTP/2 connection that sends its preface and its
// first settings, and nothing more until the server has acknowledged these.
//
// Wireshark 4.0 knows HTTP/2 by the preface only if the packet that has it ends
// with a frame: a request that begins in that packet and ends in the next one is
// lost to it, with the headers of all that follow. How much a packet has is how
// much the proxy reads at a time, which no test can choose otherwise.
type patient struct {
	net.Conn
	acknowledged chan struct{} // closed when the server's acknowledgement was read

	written int    // bytes; of the one goroutine that writes
	read    []byte // up to the acknowledgement; of the one that reads
}

// dialPatiently is a dialer for gRPC clients.
func dialPatiently(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &patient{Conn: conn, acknowledged: make(chan struct{})}, nil
}

// frameHeader is how long an HTTP/2 frame without payload is, bytes.
const frameHeader = 9

func (p *patient) Write(b []byte) (int, error) {
	if p.written >= len(http2.ClientPreface)+frameHeader {
		<-p.acknowledged
	}
	n, err := p.Conn.Write(b)
	p.written += n
	return n, err
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	select {
	case <-p.acknowledged:
		return n, err
	default:
	}
	p.read = append(p.read, b[:n]...)
	acknowledgement := []byte{0, 0, 0, byte(http2.FrameSettings), byte(http2.FlagSettingsAck), 0, 0, 0, 0}
	if err != nil || bytes.Contains(p.read, acknowledgement) {
		close(p.acknowledged) // nobody waits for it in vain
	}
	return n, err
}
