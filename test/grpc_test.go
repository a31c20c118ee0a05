package test

import (
	"bytes"
	"slices"
	"testing"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/wiretap"
)

func TestGRPCCallsAreInTheRecording(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf("127.0.0.1:1", mosnproc.NewListener("grpc", address, recorder(base),
		mosnproc.Filter{Type: "grpc", Config: block{"server_name": grpcecho.ServerName}})))

	unary := []byte("one question")
	stream := [][]byte{[]byte("first"), randomBytes(1, 100_000), {}, []byte("last")}
	var tap *wiretap.Conn
	id := m.open()
	conn := dialGRPC(t, address, &tap)
	ctx := deadline(t)
	if got, err := grpcecho.Echo(ctx, conn, unary); err != nil || !bytes.Equal(got, unary) {
		t.Fatalf("Echo answered %q, %v", got, err)
	}
	got, err := grpcecho.Chat(ctx, conn, stream...)
	if err != nil || !slices.EqualFunc(got, stream, bytes.Equal) {
		t.Fatalf("Chat answered %d messages, %v", len(got), err)
	}
	conn.Close()
	eventually(t, "the connection's end is in the log", func() bool { return closes(m) == 1 })
	w := m.close(id)

	complete(t, w)
	all := m.connections(w)
	if len(all) != 1 {
		t.Fatalf("%d connections", len(all))
	}
	// What the client wrote last, such as acknowledgements, it may have taken
	// back when it closed: the recording may be shorter, never different.
	for _, s := range []struct {
		name string
		from []byte
		got  func() ([]byte, error)
	}{{"sent", tap.Written(), all[0].In.Bytes}, {"received", tap.WasRead(), all[0].Out.Bytes}} {
		recorded, err := s.got()
		if err != nil {
			t.Fatal(err)
		}
		if n := min(len(recorded), len(s.from)); !bytes.Equal(recorded[:n], s.from[:n]) || n == 0 {
			t.Errorf("the %d bytes recorded are not the %d %s", len(recorded), len(s.from), s.name)
		}
	}
	requests, err := all[0].In.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	calls, err := parseCalls(requests)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][][]byte{grpcecho.EchoMethod: {unary}, grpcecho.ChatMethod: stream}
	if len(calls) != len(want) {
		t.Errorf("%d calls recorded, want %d", len(calls), len(want))
	}
	for _, c := range calls {
		if !slices.EqualFunc(c.messages, want[c.method], bytes.Equal) {
			t.Errorf("call of %q has %d messages, want the %d that were sent", c.method, len(c.messages), len(want[c.method]))
		}
	}
}
