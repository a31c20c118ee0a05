package replay_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/pkg/replay"
)

// httpServer answers in several ways, all of which depend on the request alone but
// for the date and, if id is not nil, an identifier.
func httpServer(t testing.TB, id func() string, change func(path string) string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if id != nil {
			w.Header().Set("X-Request-Id", id())
		}
		switch {
		case r.URL.Path == "/empty":
			w.WriteHeader(http.StatusNoContent)
			return
		case strings.HasPrefix(r.URL.Path, "/chunks"):
			for i := range 3 {
				fmt.Fprintf(w, "part %d of %s\n", i, r.URL.Path)
				w.(http.Flusher).Flush()
			}
			w.Header().Set(http.TrailerPrefix+"X-Sum", "17")
		case r.URL.Path == "/json":
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
		}
		text := fmt.Sprintf(`{"path": %q, "sent": %q}`, r.URL.Path, body)
		if change != nil {
			text += change(r.URL.Path)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return server
}

// httpScenario records clients with keep-alive connections.
func httpScenario(t testing.TB, upstream string, clients int) *scenario {
	t.Helper()
	proxy := newProxy(t, upstream)
	for i := range clients {
		client := &http.Client{Transport: &http.Transport{}}
		for j, path := range []string{"/a", "/chunks", "/json", "/empty", "/chunks/again", "/b"} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				req, err := http.NewRequest(method, fmt.Sprintf("http://%s%s?%d", proxy.address, path, i), strings.NewReader(strings.Repeat("x", 1000*j)))
				if err != nil {
					t.Fatal(err)
				}
				if method == http.MethodPost && j == 2 {
					req.Header.Set("Expect", "100-continue")
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
		}
		client.CloseIdleConnections()
	}
	return proxy.recorded()
}

func serverOf(s *httptest.Server) replay.Server {
	return replay.Server{Address: s.Listener.Addr().String()}
}

var noDates = replay.Rules{Headers: []string{"date"}}

func TestHTTPIsComparedByItsMeaning(t *testing.T) {
	t.Parallel()
	server := httpServer(t, nil, nil)
	scenario := httpScenario(t, server.Listener.Addr().String(), 3)
	for _, speed := range []float64{1, math.Inf(1)} {
		result := scenario.run(t, replay.Options{Target: serverOf(server), Speed: speed, Rules: noDates})
		want(t, result, replay.Counts{Turns: 54, Equal: 54})
	}
	changed := httpServer(t, nil, func(path string) string {
		if path == "/chunks" {
			return "!"
		}
		return ""
	})
	result := scenario.run(t, replay.Options{Target: serverOf(changed), Speed: math.Inf(1), Rules: noDates})
	// Of the path's three methods HEAD has no body to differ in.
	want(t, result, replay.Counts{Turns: 54, Equal: 48, Different: 6})
	if c := result.Conns[0]; c.Protocol != replay.HTTP1 || !strings.HasPrefix(c.Differences[0].Label, "GET /chunks?") {
		t.Errorf("%s, %+v", c.Protocol, c.Differences[0])
	}
}

func TestHTTPFieldOrderAndChunksAreNotDifferences(t *testing.T) {
	t.Parallel()
	r := newScenario()
	r.open(0, 80).in("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n").
		out("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nContent-Length: 5\r\n\r\nhello").
		out("HTTP/1.1 200 OK\r\n\r\nuntil the end").close("LocalClose")
	// The fields in another order and case, the body in chunks, both at once.
	server := serve(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		for range 2 {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nb: 2\r\nTransfer-Encoding: chunked\r\na: 1\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nuntil the end")
	})
	result := r.run(t, replay.Options{Target: server, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 2, Equal: 2})
	result = r.run(t, replay.Options{Target: server, Speed: math.Inf(1), OnlyBytes: true, TurnTimeout: silenceTimeout})
	want(t, result, replay.Counts{Turns: 1, Different: 1})
}

func TestHTTPThatChangesItsProtocolIsBytes(t *testing.T) {
	t.Parallel()
	r := newScenario()
	r.open(0, 80).in("GET /a HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n").out("HTTP/1.1 101 Switching Protocols\r\n\r\n").
		in("one").out("one").in("two").out("two").close("RemoteClose")
	server := serve(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_, _ = io.Copy(conn, br)
	})
	result := r.run(t, replay.Options{Target: server, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 3, Equal: 3})
}

// A server that answers with something else than HTTP ends the session.
func TestAnswersThatAreNotHTTPEndTheSession(t *testing.T) {
	t.Parallel()
	r := newScenario()
	c := r.open(0, 80)
	for range 2 {
		c.in("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").out("HTTP/1.1 204 No Content\r\n\r\n")
	}
	c.close("RemoteClose")
	result := r.run(t, replay.Options{Target: serve(t, echo), Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 1, Different: 1})
	if result.Failed != 1 || !strings.Contains(result.Conns[0].Err.Error(), "the answers are not http/1.1") {
		t.Errorf("%d failed, %v", result.Failed, result.Conns[0].Err)
	}
}

func TestIgnoredHTTPFieldsAndJSONValuesAreNotDifferences(t *testing.T) {
	t.Parallel()
	r := newScenario()
	answer := func(id int) string {
		body := fmt.Sprintf(`{"id": %d, "items": [{"id": "i%d", "n": 1}, {"id": "j%d", "n": 2}], "deep": {"a": {"t": %d}, "b": {"t": %d}}}`, id, id, id, id, id)
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", id, len(body), body)
	}
	r.open(0, 80).in("GET / HTTP/1.1\r\nHost: a\r\n\r\n").out(answer(1)).close("RemoteClose")
	server := serve(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, answer(100))
		}
	})
	paths := []string{"id", "$.items[*].id", "deep.*.t"}
	result := r.run(t, replay.Options{Target: server, Rules: replay.Rules{Headers: []string{"x-id"}, JSON: paths}})
	want(t, result, replay.Counts{Turns: 1, Equal: 1})
	for i := range paths {
		some := append(append([]string(nil), paths[:i]...), paths[i+1:]...)
		result := r.run(t, replay.Options{Target: server, Rules: replay.Rules{Headers: []string{"x-id"}, JSON: some}})
		want(t, result, replay.Counts{Turns: 1, Different: 1})
	}
	result = r.run(t, replay.Options{Target: server, Rules: replay.Rules{JSON: paths}})
	want(t, result, replay.Counts{Turns: 1, Different: 1})
}

const http2Window = 65535

// grpcServer serves the echo service and returns its address.
func grpcServer(t testing.TB, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// A window that is given turns gRPC's own estimates off, which have a race.
	server := grpcecho.NewServer(append(options, grpc.InitialWindowSize(http2Window), grpc.InitialConnWindowSize(http2Window))...)
	served := make(chan struct{})
	go func() { // ends with the server
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return listener.Addr().String()
}

func TestGRPCCallsAreComparedByTheirMeaning(t *testing.T) {
	t.Parallel()
	// gRPC's clients ping while data comes, to measure the connection, and its servers
	// close connections whose pings come without data between them: on a busy machine
	// those of their own clients, too. The recorded server allows for it, the target
	// below does not.
	lenient := grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Nanosecond, PermitWithoutStream: true})
	proxy := newProxy(t, grpcServer(t, lenient))
	upstream := grpcServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	const clients, calls = 4, 10
	for i := range clients {
		conn, err := grpc.Dial(proxy.address, grpc.WithInsecure(), grpc.WithBlock())
		if err != nil {
			t.Fatal(err)
		}
		for j := range calls {
			if _, err := grpcecho.Echo(ctx, conn, []byte(strings.Repeat("x", 1+i+200*j*j*j))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := grpcecho.Chat(ctx, conn, []byte("one"), nil, make([]byte, 150_000)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	scenario := proxy.recorded()
	for _, speed := range []float64{1, math.Inf(1)} {
		result := scenario.run(t, replay.Options{Target: replay.Server{Address: upstream}, Speed: speed})
		// A client that closes its connection may end its stream before it has received
		// all: such a stream is not compared.
		if result.Turns < clients*calls {
			t.Errorf("%d turns", result.Turns)
		}
		want(t, result, replay.Counts{Turns: result.Turns, Equal: result.Turns})
	}
	var count atomic.Int64
	changed := grpcServer(t, grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if count.Add(1) == calls+7 {
			return nil, fmt.Errorf("no")
		}
		return handler(ctx, req)
	}))
	result := scenario.run(t, replay.Options{Target: replay.Server{Address: changed}, Speed: math.Inf(1), Concurrency: 1})
	want(t, result, replay.Counts{Turns: result.Turns, Equal: result.Turns - 1, Different: 1})
	if c := result.Conns[0]; c.Protocol != replay.HTTP2 || c.Differences[0].Label != "POST "+grpcecho.EchoMethod || c.Differences[0].Turn != 7 {
		t.Errorf("%s %+v", c.Protocol, c.Differences)
	}
}

// Servers such as gRPC's close connections with many pings. The replay sends none of
// the recorded client's.
func TestPingsOfTheRecordedClientAreNotReplayed(t *testing.T) {
	t.Parallel()
	var sent, answered bytes.Buffer
	client, server := http2.NewFramer(&sent, nil), http2.NewFramer(&answered, nil)
	frames := func(buf *bytes.Buffer, errs ...error) string {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		defer buf.Reset()
		return buf.String()
	}
	get := func(stream uint32) error {
		return client.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x82, 0x84, 0x86}, EndStream: true, EndHeaders: true})
	}
	ok := func(f *http2.Framer, stream uint32) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x88}, EndStream: true, EndHeaders: true})
	}
	r := newScenario()
	c := r.open(0, 80)
	c.in(http2.ClientPreface + frames(&sent, client.WriteSettings(), get(1))).
		out(frames(&answered, server.WriteSettings(), server.WriteSettingsAck(), ok(server, 1)))
	for range 5 {
		c.in(frames(&sent, client.WritePing(false, [8]byte{1}))).out(frames(&answered, server.WritePing(true, [8]byte{1})))
	}
	c.in(frames(&sent, client.WritePing(false, [8]byte{2}), get(3))).
		out(frames(&answered, server.WritePing(true, [8]byte{2}), ok(server, 3))).close("RemoteClose")
	target := serve(t, func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		for f := http2.NewFramer(conn, conn); ; {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.PingFrame:
				t.Error("a ping came")
				return
			case *http2.SettingsFrame:
				if err := errors.Join(f.WriteSettings(), f.WriteSettingsAck()); err != nil {
					return
				}
			case *http2.HeadersFrame:
				if err := ok(f, frame.StreamID); err != nil {
					return
				}
			}
		}
	})
	result := r.run(t, replay.Options{Target: target, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 2, Equal: 2})
	if !result.Same() || result.Sent != 7 {
		t.Errorf("%d sent, %+v", result.Sent, result)
	}
}
