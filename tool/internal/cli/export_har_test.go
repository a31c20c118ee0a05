package cli_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// seen is a call as its client made it.
type seen struct {
	method, target, protocol string
	status                   int
	sent, body               string
}

// site answers in several ways.
func site(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/ws":
		c, err := websocket.Accept(w, req, &websocket.AcceptOptions{CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 100})
		if err != nil {
			return
		}
		for {
			kind, data, err := c.Read(req.Context())
			if err != nil || c.Write(req.Context(), kind, append([]byte("re: "), data...)) != nil {
				return
			}
		}
	case "/zip":
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(strings.Repeat("<p>zipped</p>", 1000)))
		_ = z.Close()
	case "/moved":
		http.Redirect(w, req, "/there?a=b", http.StatusFound)
	case "/none":
		w.WriteHeader(http.StatusNoContent)
	case "/bytes":
		_, _ = w.Write([]byte{0, 1, 2, 0xff})
	case "/stream":
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		for i := range 3 {
			fmt.Fprintf(w, "part %d\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	default:
		body, _ := io.ReadAll(req.Body)
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "42", Path: "/", HttpOnly: true})
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %d", req.Method, req.URL, len(body))
	}
}

// browse makes calls of HTTP on a path and returns what it saw.
func browse(t *testing.T, path *witness.Path, http2 bool) (all []seen) {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return path.Dial(ctx) }}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	form := url.Values{"name": {"Ann & Bob"}, "q": {"1+1"}}.Encode()
	for _, c := range []struct{ method, target, body, kind string }{
		{"GET", "/zip", "", ""}, {"GET", "/moved?x=1&x=2&y=a+b", "", ""}, {"GET", "/none", "", ""}, {"GET", "/bytes", "", ""}, {"GET", "/stream", "", ""}, {"HEAD", "/zip", "", ""},
		{"POST", "/form", form, "application/x-www-form-urlencoded"}, {"PUT", "/%E2%82%AC?q=%20", "\x00\x01binary", "application/octet-stream"}, {"OPTIONS", "/big", strings.Repeat("x", 300_000), "text/plain"},
	} {
		req, err := http.NewRequest(c.method, "http://shop.example"+c.target, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.kind != "" {
			req.Header.Set("Content-Type", c.kind)
		}
		req.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.Header.Get("Content-Encoding") == "gzip" && len(body) > 0 {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			body, _ = io.ReadAll(z)
		}
		version := "HTTP/1.1"
		if http2 {
			version = "HTTP/2"
		}
		all = append(all, seen{c.method, c.target, version, resp.StatusCode, c.body, string(body)})
	}
	return all
}

// writeLinks writes what passed the links of paths as a segment.
func writeLinks(t *testing.T, dir string, paths ...*witness.Path) {
	t.Helper()
	e := pcapng.NewEncoder()
	file := pcapng.AppendInterface(pcapng.AppendSectionHeader(nil, "test"), "ingress", "tcp 8080")
	id := 0
	for _, path := range paths {
		path.Close()
		for _, link := range path.Links() {
			id++
			f := record.Flow{FromStart: true, Endpoint: record.Endpoint{
				Identity:   record.Identity{Window: firstWindow, Conn: fmt.Sprint("k3v9qa-", id), Network: "tcp", Peer: link.Client, Listener: "10.9.9.9:8080", Port: "8080", ListenerName: "ingress"},
				ClientAddr: netip.MustParseAddrPort(link.Client), ServerAddr: netip.MustParseAddrPort("10.9.9.9:8080"),
			}}
			var totals record.PerDirection
			chunks := link.Chunks()
			file = e.Open(file, chunks[0].At.UnixNano(), &f)
			for _, c := range chunks {
				file = e.Data(file, c.At.UnixNano(), &f, c.Direction, c.Offset, c.Data)
				totals.Add(c.Direction, uint64(len(c.Data)))
			}
			file = e.Close(file, chunks[len(chunks)-1].At.UnixNano(), &f, record.CloseReason("RemoteClose"), totals)
		}
	}
	name := layout.Segment{Opened: dumpStart, Window: firstWindow, Run: "k3v9qa", Number: 1}.Name()
	if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newPath(t *testing.T, address string) *witness.Path {
	t.Helper()
	path, err := witness.NewPath(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(path.Close)
	return path
}

// exported runs export with a HAR file in dir and returns its entries.
func exported(t *testing.T, dir string, args ...string) []harEntry {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.har")
	run := start(context.Background(), append([]string{"export", "-o", file, dir}, args...)...)
	if code := <-run.code; code != 0 {
		t.Fatalf("exit code %d, %s", code, run.stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if keep := os.Getenv("KEEP_HAR"); keep != "" {
		_ = os.WriteFile(keep, text, 0o600)
	}
	return readHAR(t, text)
}

func TestHARHasWhatClientsOfRealServersSaw(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(site))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	address := server.Listener.Addr().String()
	one, two, rpc, sockets := newPath(t, address), newPath(t, address), newPath(t, startRPC(t)), newPath(t, address)
	want := append(browse(t, one, false), browse(t, two, true)...)
	request, response := callRPC(t, rpc)
	long := chat(t, sockets)
	dir := t.TempDir()
	writeLinks(t, dir, one, two, rpc, sockets)

	all := exported(t, dir)
	if len(all) != len(want)+3 {
		t.Fatalf("%d entries, want %d", len(all), len(want)+3)
	}
	for i, w := range want {
		e := &all[i]
		got := seen{e.Request.Method, strings.TrimPrefix(e.Request.URL, "http://shop.example"), e.Request.HTTPVersion, e.Response.Status, "", e.body(t)}
		if e.Request.PostData != nil {
			got.sent = e.Request.PostData.Text
		}
		if strings.HasPrefix(w.sent, "\x00") {
			w.sent = "AAFiaW5hcnk="
		}
		if got != w {
			t.Errorf("entry %d is %.300s, want %.300s", i, fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", w))
		}
		if e.Timings.Wait <= 0 || e.Timings.Send < 0 || e.Timings.Receive < 0 || e.ServerIPAddress != "10.9.9.9" || len(e.Call.Incomplete) > 0 {
			t.Errorf("%s %s: %+v from %s, %q", w.method, w.target, e.Timings, e.ServerIPAddress, e.Call.Incomplete)
		}
		if slices.ContainsFunc(e.Response.Headers, func(h harPair) bool { return strings.EqualFold(h.Name, "link") }) {
			t.Errorf("%s %s: fields of an interim answer in %+v", w.method, w.target, e.Response.Headers)
		}
		if n := e.Response.Content.Size; w.method != "HEAD" && n != len(w.body) {
			t.Errorf("%s %s: the content has %d bytes, want %d", w.method, w.target, n, len(w.body))
		}
		if len(e.Request.Cookies) != 1 || e.Request.Cookies[0] != all[0].Request.Cookies[0] || e.Request.Cookies[0].Value != "dark" {
			t.Errorf("%s %s: cookies %+v", w.method, w.target, e.Request.Cookies)
		}
	}
	zip, moved, form := &all[0], &all[1], &all[6]
	if zip.Response.Content.Compression <= 0 || zip.Response.BodySize+zip.Response.Content.Compression != 13_000 {
		t.Errorf("%+v of %d bytes", zip.Response.Content.Compression, zip.Response.BodySize)
	}
	var query []string
	for _, q := range moved.Request.QueryString {
		query = append(query, q.Name+"="+q.Value)
	}
	if moved.Response.RedirectURL != "/there?a=b" || !slices.Equal(query, []string{"x=1", "x=2", "y=a b"}) {
		t.Errorf("redirect to %q with %q", moved.Response.RedirectURL, query)
	}
	if p := form.Request.PostData.Params; len(p) != 2 || p[0].Name != "name" || p[0].Value != "Ann & Bob" {
		t.Errorf("the form is %+v", p)
	}
	if c := form.Response.Cookies; len(c) != 1 || c[0].Value != "42" || !c[0].HTTPOnly || c[0].Path != "/" {
		t.Errorf("the cookies are %+v", c)
	}

	for i, e := range all[len(want) : len(want)+2] {
		if e.Call.Protocol != "grpc" || e.Request.HTTPVersion != "HTTP/2" || e.Response.Status != 200 || e.Response.Content.MIMEType != "application/grpc" || e.Call.Status != []string{"OK", "UNIMPLEMENTED"}[i] {
			t.Errorf("gRPC: %+v", e)
		}
	}
	e := &all[len(want)]
	body := e.body(t)
	var got pb.SimpleResponse
	if e.Request.URL != "http://cart.example/grpc.testing.TestService/UnaryCall" || len(body) < 5 || proto.Unmarshal([]byte(body[5:]), &got) != nil || !proto.Equal(&got, response) {
		t.Errorf("gRPC: %s has the answer %.100q", e.Request.URL, body)
	}
	if e.Request.BodySize != 5+proto.Size(request) {
		t.Errorf("gRPC: the request has %d bytes", e.Request.BodySize)
	}

	e = &all[len(want)+2]
	var frames []string
	for _, m := range e.Messages {
		frames = append(frames, fmt.Sprint(m.Type, " ", m.Opcode, " ", m.Data))
	}
	if w := []string{"send 1 hello", "receive 1 re: hello", "send 1 " + long, "receive 1 re: " + long, "send 2 AAH/", "receive 2 cmU6IAAB/w==", "send 8 bye"}; e.Type != "websocket" || e.Request.URL != "ws://shop.example/ws" || !slices.Equal(frames[:min(7, len(frames))], w) {
		t.Errorf("WebSocket: %s %s %.500q", e.Type, e.Request.URL, frames)
	}
}

// A message whose upgrade is not among the calls has an entry of its own.
func TestHARHasMessagesWithoutTheirUpgrade(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(site))
	defer server.Close()
	path := newPath(t, server.Listener.Addr().String())
	chat(t, path)
	dir := t.TempDir()
	writeLinks(t, dir, path)
	all := exported(t, dir, "--where", `method == "binary"`)
	if len(all) != 1 || len(all[0].Messages) != 2 || all[0].Response.Status != 0 || all[0].Request.URL != "ws://shop.example/ws" || !strings.Contains(all[0].Comment, "upgrade") {
		t.Errorf("%+v", all)
	}
	if all := exported(t, dir, "--where", "code == 101"); len(all) != 1 || len(all[0].Messages) != 0 || all[0].Response.Status != 101 {
		t.Errorf("%+v", all)
	}
}

// rpcService implements one method.
type rpcService struct {
	pb.UnimplementedTestServiceServer
}

func (rpcService) UnaryCall(_ context.Context, q *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Payload: &pb.Payload{Body: make([]byte, q.ResponseSize)}}, nil
}

func startRPC(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterTestServiceServer(s, rpcService{})
	go func() { _ = s.Serve(listener) }() // ends with Stop
	t.Cleanup(s.Stop)
	return listener.Addr().String()
}

func callRPC(t *testing.T, path *witness.Path) (*pb.SimpleRequest, *pb.SimpleResponse) {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///cart", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("cart.example"),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return path.Dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := &pb.SimpleRequest{ResponseSize: 300, Payload: &pb.Payload{Body: []byte("ask")}}
	response, err := pb.NewTestServiceClient(c).UnaryCall(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pb.NewTestServiceClient(c).UnimplementedCall(context.Background(), &pb.Empty{}); err == nil {
		t.Fatal("it is implemented")
	}
	return request, response
}

// chat exchanges messages on a path. The long one is compressed.
func chat(t *testing.T, path *witness.Path) (long string) {
	t.Helper()
	ctx := context.Background()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return path.Dial(ctx) }}}
	c, _, err := websocket.Dial(ctx, //nolint:bodyclose // the library closes it
		"ws://shop.example/ws", &websocket.DialOptions{HTTPClient: client, CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 100})
	if err != nil {
		t.Fatal(err)
	}
	long = strings.Repeat("long ", 100)
	for _, m := range []struct {
		kind websocket.MessageType
		text string
	}{{websocket.MessageText, "hello"}, {websocket.MessageText, long}, {websocket.MessageBinary, "\x00\x01\xff"}} {
		if err := c.Write(ctx, m.kind, []byte(m.text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(ctx); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close(websocket.StatusNormalClosure, "bye") // the server does not answer in all cases
	return long
}
