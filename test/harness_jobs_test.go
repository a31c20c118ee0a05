package test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// shop is a proxy in front of an HTTP server, a gRPC server and Redis, with what was
// recorded of them in logs/mosn/dump below folder.
type shop struct {
	*mosn
	ctl               ctlBinary
	folder            string
	http, grpc, redis string // addresses of the listeners
}

const (
	shopRequests = 500  // over HTTP, on shopClients connections
	shopClients  = 8    //
	shopPings    = 2000 // each on a connection of its own, with its number as X-Request-Id
)

// How slow the slow ones of the shop are.
const (
	reportTime = 120 * time.Millisecond
	waitTime   = "0.3" // seconds, of a BLPOP
)

// lostOrder is the body of the order that failed.
const lostOrder = `{"cart":4711,"items":[{"sku":"tea-42","count":2}],"pay":"card"}`

// newShop starts everything, and has traffic in a window.
func newShop(t *testing.T, c ctlBinary, redis string) *shop {
	t.Helper()
	base := newBase(t)
	s := &shop{ctl: c, folder: base, http: freeAddress(t), grpc: freeAddress(t), redis: freeAddress(t)}
	dump := filepath.Join(base, "logs", "mosn", "dump")
	filter := func() mosnproc.Filter {
		return recorder(base, roomy(), block{"output": block{"dir": dump, "formats": []string{"pcapng"}}})
	}
	config := configOf(httptestServer(t, http.HandlerFunc(serveShop)),
		mosnproc.NewListener("http", s.http, filter(), mosnproc.Proxy("Http1")),
		mosnproc.NewListener("grpc", s.grpc, filter(), tcpProxyTo("cart")),
		mosnproc.NewListener("redis", s.redis, filter(), tcpProxyTo("redis")))
	for name, address := range map[string]string{"cart": cartServer(t), "redis": redisServer(t, redis)} {
		cluster := mosnproc.NewCluster(address)
		cluster.Name = name
		config.Clusters.Clusters = append(config.Clusters.Clusters, cluster)
	}
	s.mosn = start(t, base, config)
	s.dump = dump
	if err := os.WriteFile(filepath.Join(base, "shop.proto"), []byte(shopProto), 0o600); err != nil {
		t.Fatal(err)
	}
	s.window(func() {
		s.browse(t)
		s.ping(t)
		s.fillCart(t)
		s.useRedis(t)
	})
	return s
}

func tcpProxyTo(cluster string) mosnproc.Filter {
	return mosnproc.Filter{Type: "tcp_proxy", Config: block{"cluster": cluster, "routes": []any{block{"cluster": cluster}}}}
}

func httptestServer(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// serveShop answers with JSON, compressed where the client accepts that. Reports are
// slow, and every fifth of them fails; so does the order for the cart 4711.
func serveShop(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	code, answer := http.StatusOK, map[string]any{"path": r.URL.Path, "comment": strings.Repeat("all is well ", 50)}
	switch {
	case strings.HasPrefix(r.URL.Path, "/report/"):
		<-time.After(reportTime)
		if strings.HasSuffix(r.URL.Path, "5") {
			code, answer = http.StatusInternalServerError, map[string]any{"error": "the report has no rows"}
		}
	case r.URL.Path == "/checkout" && strings.Contains(string(body), "4711"):
		code, answer = http.StatusServiceUnavailable, map[string]any{"error": "timeout of the payment service", "retry": true}
	}
	w.Header().Set("Content-Type", "application/json")
	out := io.Writer(w)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer func() { _ = z.Close() }() // or the client has gone
		out = z
	}
	w.WriteHeader(code)
	_ = json.NewEncoder(out).Encode(answer) // or the client has gone
}

// browse sends shopRequests requests: users, 20 reports, 10 orders.
func (s *shop) browse(t *testing.T) {
	t.Helper()
	next := make(chan int)
	var clients sync.WaitGroup
	for range shopClients {
		clients.Add(1)
		go func() { // ends when next is closed
			defer clients.Done()
			client := newHTTPClient("tcp", s.http)
			defer client.CloseIdleConnections()
			for n := range next {
				if err := shopRequest(deadline(t), client, n); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for n := range shopRequests {
		next <- n
	}
	close(next)
	clients.Wait()
}

func shopRequest(ctx context.Context, c *httpClient, n int) error {
	method, path, body := http.MethodGet, fmt.Sprintf("/user/%d?full=1", 1000+n), ""
	switch {
	case n%50 == 17:
		method, path, body = http.MethodPost, "/checkout", fmt.Sprintf(`{"cart":%d}`, n)
		if n == 217 {
			body = lostOrder
		}
	case n%25 == 3:
		path = fmt.Sprintf("/report/%d", n/25+1)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://shop.example"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// ping makes shopPings connections with one request each, which comes in two pieces: the
// cut is in the middle of the header field.
func (s *shop) ping(t *testing.T) {
	t.Helper()
	next := make(chan int)
	var clients sync.WaitGroup
	for range shopClients {
		clients.Add(1)
		go func() { // ends when next is closed
			defer clients.Done()
			for n := range next {
				if err := s.pingOnce(n); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for n := range shopPings {
		next <- n + 1
	}
	close(next)
	clients.Wait()
}

func (s *shop) pingOnce(n int) error {
	conn, err := net.Dial("tcp", s.http)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, piece := range []string{"GET /ping HTTP/1.1\r\nHost: shop.example\r\nX-Reque", fmt.Sprintf("st-Id: %d\r\n\r\n", n)} {
		if _, err := io.WriteString(conn, piece); err != nil {
			return err
		}
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// shopProto describes what cartServer serves.
const shopProto = `syntax = "proto3";
package shop;
message Item { string sku = 1; }
message Done { string text = 1; }
service Cart {
  rpc Add(Item) returns (Done);
  rpc Checkout(Item) returns (Done);
}
`

// cartServer serves shop.Cart. Items without "tea" are none, and nothing can be bought.
func cartServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(method string) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: method, Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var item wrapperspb.StringValue // on the wire as Item
			if err := decode(&item); err != nil {
				return nil, err
			}
			switch {
			case method == "Checkout":
				return nil, status.Error(codes.Unavailable, "the payment service is down")
			case !strings.HasPrefix(item.GetValue(), "tea"):
				return nil, status.Errorf(codes.InvalidArgument, "no such item: %s", item.GetValue())
			}
			return wrapperspb.String("added"), nil
		}}
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "shop.Cart", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{answer("Add"), answer("Checkout")}}, struct{}{})
	done := make(chan struct{})
	go func() { // ends with Stop
		defer close(done)
		_ = server.Serve(listener) // it returns when the server is stopped
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

// fillCart adds 30 items, of which 3 are refused, and tries to buy twice.
func (s *shop) fillCart(t *testing.T) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(deadline(t), "x-user", "o'hara")
	conn, err := grpc.DialContext(ctx, s.grpc, grpc.WithInsecure(), grpc.WithBlock())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(method, item string, want codes.Code) {
		var answer wrapperspb.StringValue
		if err := conn.Invoke(ctx, "/shop.Cart/"+method, wrapperspb.String(item), &answer); status.Code(err) != want {
			t.Errorf("%s answers %v, want %v", method, err, want)
		}
	}
	for n := range 30 {
		if n%10 == 9 {
			call("Add", fmt.Sprintf("coffee-%d", n), codes.InvalidArgument)
			continue
		}
		call("Add", fmt.Sprintf("tea-%d", n), codes.OK)
	}
	call("Checkout", "tea-1", codes.Unavailable)
	call("Checkout", "tea-2", codes.Unavailable)
}

// redisServer runs a redis-server of the test's own.
func redisServer(t *testing.T, binary string) string {
	t.Helper()
	port := freePort(t)
	address := fmt.Sprint("127.0.0.1:", port)
	command := exec.Command(binary, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // or it has ended
		_ = command.Wait()         // it was killed
	})
	eventually(t, "redis-server listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was sent
		return true
	})
	return address
}

// useRedis sends commands, each when the one before has its answer: one waits, one is
// wrong.
func (s *shop) useRedis(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", s.redis)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	do := func(want string, words ...string) {
		text := fmt.Appendf(nil, "*%d\r\n", len(words))
		for _, w := range words {
			text = fmt.Appendf(text, "$%d\r\n%s\r\n", len(w), w)
		}
		if _, err := conn.Write(text); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.ReadString('\n'); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("redis answers %q, %v to %q, want %q", got, err, words, want)
		}
	}
	for n := range 40 {
		do("+OK", "SET", fmt.Sprintf("user:%d:name", n), "it's \"me\" \t")
	}
	do("*-1", "BLPOP", "jobs", waitTime)
	do("-WRONGTYPE", "LPUSH", "user:1:name", "x")
}

// shell runs a command line of the shell in the shop's folder, where tcpcopyctl is in the
// path.
func (s *shop) shell(t *testing.T, line string) result {
	t.Helper()
	command := exec.CommandContext(deadline(t), "sh", "-c", line)
	command.Dir = s.folder
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(s.ctl.binary)+":"+os.Getenv("PATH"), "HOME="+s.folder)
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil && command.ProcessState == nil {
		t.Fatalf("%s: %v", line, err)
	}
	return result{line, stdout.String(), otherDump.ReplaceAllString(stderr.String(), ""), command.ProcessState.ExitCode()}
}

// otherDump is what the tool says where another default directory exists too, as it does on
// a machine with a MOSN of its own.
var otherDump = regexp.MustCompile(`(?m)^tcpcopyctl: this reads logs/mosn/dump of the current folder, .*\n`)
