package test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
)

func TestWiresharkDissectsWithoutDecodeAs(t *testing.T) {
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
	const clients = 8
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
		// How much of a client's first requests a packet has is chance: it is what the
		// proxy reads at a time. Several clients are several chances.
		for range clients {
			conn, err := grpc.DialContext(ctx, calls, grpc.WithInsecure(), grpc.WithBlock())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := grpcecho.Echo(ctx, conn, []byte(question)); err != nil || string(got) != question {
				t.Fatalf("Echo answered %q, %v", got, err)
			}
			if got, err := grpcecho.Chat(ctx, conn, messages...); err != nil || !slices.EqualFunc(got, messages, bytes.Equal) {
				t.Fatalf("Chat answered %d messages, %v", len(got), err)
			}
			conn.Close()
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
	// Each client has a stream of its own; which of them is first in the file does not
	// matter.
	methods, lengths := map[string][]string{}, map[string][]string{}
	for _, row := range c.fields("http2.headers.path", "tcp.stream", "http2.headers.path") {
		methods[row[0]] = append(methods[row[0]], strings.Split(row[1], ",")...)
	}
	for _, row := range c.fields("grpc && tcp.dstport == "+portOf(calls), "tcp.stream", "grpc.message_length") {
		lengths[row[0]] = append(lengths[row[0]], strings.Split(row[1], ",")...)
	}
	var want []string
	for _, message := range append([][]byte{[]byte(question)}, messages...) {
		want = append(want, strconv.Itoa(proto.Size(wrapperspb.Bytes(message))))
	}
	if len(methods) != clients || len(lengths) != clients {
		t.Errorf("calls in %d streams and messages in %d, want %d", len(methods), len(lengths), clients)
	}
	for stream := range lengths {
		if calls := []string{grpcecho.EchoMethod, grpcecho.ChatMethod}; !slices.Equal(methods[stream], calls) {
			t.Errorf("stream %s has calls of %q, want %q", stream, methods[stream], calls)
		}
		if !slices.Equal(lengths[stream], want) {
			t.Errorf("stream %s has gRPC messages of %q bytes, want %q", stream, lengths[stream], want)
		}
	}
}
