package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/wiretap"
)

// dialGRPC connects to address and keeps the connection's bytes in *tap.
func dialGRPC(t *testing.T, address string, tap **wiretap.Conn) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.DialContext(deadline(t), address, grpc.WithInsecure(), grpc.WithBlock(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			*tap = wiretap.New(raw)
			return *tap, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

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
	all := m.conversations(w)
	if len(all) != 1 {
		t.Fatalf("%d conversations", len(all))
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

// call is one gRPC call as its request stream shows it.
type call struct {
	method   string
	body     []byte
	messages [][]byte
}

// parseCalls reads a client's side of an HTTP/2 connection and returns its calls,
// in the order of their first frames.
func parseCalls(sent []byte) ([]*call, error) {
	rest, ok := bytes.CutPrefix(sent, []byte(http2.ClientPreface))
	if !ok {
		return nil, errors.New("no HTTP/2 preface")
	}
	framer := http2.NewFramer(io.Discard, bytes.NewReader(rest))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	byStream := map[uint32]*call{}
	var calls []*call
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			c := &call{method: f.PseudoValue("path")}
			byStream[f.StreamID] = c
			calls = append(calls, c)
		case *http2.DataFrame:
			c := byStream[f.StreamID]
			if c == nil {
				return nil, errors.New("data of a stream without headers")
			}
			c.body = append(c.body, f.Data()...)
		}
	}
	for _, c := range calls {
		if err := c.parseMessages(); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// parseMessages takes the body apart: a flag, a length and a message, again and again.
func (c *call) parseMessages() error {
	const head = 5
	for body := c.body; len(body) > 0; {
		if len(body) < head {
			return errors.New("a message's head is cut off")
		}
		end := head + int(binary.BigEndian.Uint32(body[1:head]))
		if end > len(body) {
			return errors.New("a message is cut off")
		}
		var m wrapperspb.BytesValue
		if err := proto.Unmarshal(body[head:end], &m); err != nil {
			return err
		}
		c.messages = append(c.messages, m.GetValue())
		body = body[end:]
	}
	return nil
}
