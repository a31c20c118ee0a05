package http2_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
)

// witnessed is what a client knows of a call that it has made.
type witnessed struct {
	method, target, status string
	began, ended           time.Time
}

// witness has what clients know of their calls, by the field x-id.
type witness struct {
	mu    sync.Mutex // guards calls
	calls map[string]witnessed
}

func (n *witness) add(id string, c witnessed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.ended = time.Now()
	n.calls[id] = c
}

// compare checks the calls of sessions against what clients know of them.
func (n *witness) compare(t *testing.T, sessions []parsetest.Session, protocol string) {
	t.Helper()
	found := 0
	for _, s := range sessions {
		r, err := parsetest.Decode(&h2.Protocol, s, true)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[uint64]string{}
		for _, span := range r.Spans {
			if span.Name == "x-id" && span.Direction == in {
				ids[span.Call] = string(span.Value)
			}
		}
		for i := range r.Calls {
			c := &r.Calls[i]
			want, ok := n.calls[ids[c.N]]
			if !ok {
				t.Errorf("call %s, id %q: the client knows nothing of it", line(c), ids[c.N])
				continue
			}
			found++
			if strings.HasSuffix(c.Target, "/Wait") && (c.Status == "CANCELLED" || c.Status == "DEADLINE_EXCEEDED") {
				// Client and server give up on their own, and both decide when.
				want.status, want.ended = c.Status, time.Now()
			}
			if c.Protocol != protocol || c.Method != want.method || c.Target != want.target || c.Status != want.status {
				t.Errorf("call %s, the client knows %s %s [%s]", line(c), want.method, want.target, want.status)
			}
			if c.Request.First.Before(want.began) || c.Response.Last.After(want.ended) {
				t.Errorf("call %s from %v to %v, of the client from %v to %v", line(c), c.Request.First, c.Response.Last, want.began, want.ended)
			}
			if c.Incomplete&^call.NoAnswer != 0 {
				t.Errorf("call %s", line(c))
			}
		}
	}
	if found != len(n.calls) {
		t.Errorf("%d calls, the clients have made %d", found, len(n.calls))
	}
}

// grpcServer answers as the request says: its value is the code, and how often a stream sends it.
func grpcServer(t *testing.T, options ...grpc.ServerOption) string {
	t.Helper()
	fail := func(code int64) error {
		if code == 0 {
			return nil
		}
		return status.Error(codes.Code(code), "as it was asked for: ü")
	}
	s := grpc.NewServer(append(options, grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var last int64
		for {
			var m wrapperspb.Int64Value
			err := stream.RecvMsg(&m)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			last = m.Value
			switch {
			case strings.HasSuffix(method, "/Wait"):
				<-stream.Context().Done()
				return status.FromContextError(stream.Context().Err()).Err()
			case strings.HasSuffix(method, "/Early"):
				return fail(last)
			case strings.HasSuffix(method, "/Chat"):
				if err := stream.SendMsg(&wrapperspb.BytesValue{Value: make([]byte, last)}); err != nil {
					return err
				}
			}
		}
		if strings.HasSuffix(method, "/Chat") {
			return nil
		}
		if err := fail(last); err != nil {
			return err
		}
		return stream.SendMsg(&wrapperspb.BytesValue{Value: make([]byte, 100)})
	}))...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// makeCalls makes calls of gRPC of all kinds on one connection, some beside one another.
func makeCalls(t *testing.T, addr string, n *witness, calls int) {
	t.Helper()
	conn, err := grpc.Dial(addr, grpc.WithInsecure(), grpc.WithBlock(), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var done sync.WaitGroup
	limit := make(chan struct{}, 6)
	for i := range calls {
		done.Add(1)
		limit <- struct{}{}
		go func() {
			defer func() { <-limit; done.Done() }()
			random := rand.New(rand.NewPCG(uint64(i), 8))
			id := fmt.Sprint("id-", i)
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "x-id", id, "x-long", strings.Repeat("v", random.IntN(300))), time.Minute)
			defer cancel()
			c := witnessed{method: "POST", target: "shop.Cart/Get", began: time.Now()}
			var err error
			switch i % 6 {
			case 0, 1, 2:
				err = conn.Invoke(ctx, "/shop.Cart/Get", wrapperspb.Int64(int64(random.IntN(2)*random.IntN(17))), &wrapperspb.BytesValue{})
			case 3:
				c.target = "shop.Cart/Chat"
				err = talkBoth(ctx, conn, random)
			case 4:
				c.target = "shop.Cart/Wait"
				ctx, stop := context.WithTimeout(ctx, time.Duration(1+random.IntN(30))*time.Millisecond)
				defer stop()
				if random.IntN(2) == 0 {
					time.AfterFunc(time.Duration(random.IntN(20))*time.Millisecond, stop)
				}
				err = conn.Invoke(ctx, "/shop.Cart/Wait", wrapperspb.Int64(0), &wrapperspb.BytesValue{})
			case 5:
				c.target = "shop.Cart/Early"
				var stream grpc.ClientStream
				if stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/shop.Cart/Early"); err == nil {
					_ = stream.SendMsg(wrapperspb.Int64(9))
					err = stream.RecvMsg(&wrapperspb.BytesValue{})
				}
			}
			c.status = statusName(status.Code(err))
			n.add(id, c)
		}()
	}
	done.Wait()
}

// words splits a name in camel case.
func words(name string) (parts []string) {
	from := 0
	for i := 1; i <= len(name); i++ {
		if i == len(name) || name[i] >= 'A' && name[i] <= 'Z' {
			parts = append(parts, name[from:i])
			from = i
		}
	}
	return parts
}

// talkBoth sends and receives beside one another.
func talkBoth(ctx context.Context, conn *grpc.ClientConn, random *rand.Rand) error {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/shop.Cart/Chat")
	if err != nil {
		return err
	}
	n := 1 + random.IntN(5)
	for i := range n {
		if err := stream.SendMsg(wrapperspb.Int64(int64(random.IntN(20_000) >> (i % 2 * 8)))); err != nil {
			return err
		}
		if i == n-1 {
			_ = stream.CloseSend()
		}
		if err := stream.RecvMsg(&wrapperspb.BytesValue{}); err != nil {
			return err
		}
	}
	if err := stream.RecvMsg(&wrapperspb.BytesValue{}); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func TestCallsOfGRPCGo(t *testing.T) {
	n := &witness{calls: map[string]witnessed{}}
	proxy := newBetween(t, grpcServer(t))
	makeCalls(t, proxy.addr(), n, 300)
	n.compare(t, proxy.recorded(), call.GRPC)

	few := &witness{calls: map[string]witnessed{}}
	proxy = newBetween(t, grpcServer(t))
	makeCalls(t, proxy.addr(), few, 12)
	for _, s := range proxy.recorded() {
		parsetest.Cuts(t, &h2.Protocol, s)
		parsetest.Gaps(t, &h2.Protocol, s)
		parsetest.Spans(t, &h2.Protocol, s)
	}
}

func TestCallsOfGo(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		code, _ := strconv.Atoi(r.URL.Query().Get("status"))
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		if r.URL.Query().Has("hint") {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(http.StatusEarlyHints)
		}
		if r.URL.Query().Has("trailer") {
			w.Header().Set("Trailer", "X-Sum")
			defer w.Header().Set("X-Sum", "12")
		}
		w.WriteHeader(code)
		_, _ = w.Write(make([]byte, size))
	})
	server := httptest.NewServer(h2c.NewHandler(handler, &http2.Server{}))
	t.Cleanup(server.Close)
	proxy := newBetween(t, server.Listener.Addr().String())
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	n := &witness{calls: map[string]witnessed{}}
	var done sync.WaitGroup
	for i := range 120 {
		if i%8 == 0 {
			done.Wait()
		}
		done.Add(1)
		go func() {
			defer done.Done()
			random := rand.New(rand.NewPCG(uint64(i), 9))
			code := []int{200, 201, 302, 404, 500, 503}[random.IntN(6)]
			path := fmt.Sprintf("/item/%d?status=%d&size=%d%s%s", i%10, code, []int{0, 100, 100_000}[random.IntN(3)], []string{"", "&hint=1"}[random.IntN(2)], []string{"", "&trailer=1"}[random.IntN(2)])
			method := []string{"GET", "POST", "PUT", "PURGE"}[random.IntN(4)]
			var body io.Reader
			if method != "GET" {
				body = bytes.NewReader(make([]byte, []int{0, 10, 200_000}[random.IntN(3)]))
			}
			request, _ := http.NewRequest(method, "http://"+proxy.addr()+path, body)
			id := fmt.Sprint("id-", i)
			request.Header.Set("X-Id", id)
			c := witnessed{method: method, target: path, began: time.Now()}
			answer, err := transport.RoundTrip(request)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			c.status = strconv.Itoa(answer.StatusCode)
			n.add(id, c)
		}()
	}
	done.Wait()
	transport.CloseIdleConnections()
	n.compare(t, proxy.recorded(), call.HTTP2)
}

// tshark finds the same requests and answers in the same bytes.
func TestCallsOfTshark(t *testing.T) {
	t.Parallel()
	n := &witness{calls: map[string]witnessed{}}
	proxy := newBetween(t, grpcServer(t))
	makeCalls(t, proxy.addr(), n, 60)
	sessions := append([]parsetest.Session{mix().session, chatty(3, 50), chatty(4, 50)}, proxy.recorded()...)
	var packets []parsetest.Session
	for _, s := range sessions {
		packets = append(packets, framesOf(s))
	}
	args := []string{"-r", writePcap(t, packets...), "-d", "tcp.port==2046,http2", "-Y", "http2", "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=\x01"}
	for _, field := range []string{"tcp.stream", "tcp.srcport", "http2.streamid", "http2.header.name", "http2.header.value"} {
		args = append(args, "-e", field)
	}
	out, err := exec.Command(program.Require(t, "tshark"), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := make([][]string, len(sessions)) // method, path, status, status of gRPC
	streams := map[string][]string{}
	for _, row := range strings.Split(string(out), "\n") {
		f := strings.Split(row, "\t")
		if len(f) != 5 || f[3] == "" {
			continue
		}
		names, values := strings.Split(f[3], "\x01"), strings.Split(f[4], "\x01")
		get := func(name string) string {
			if i := slices.Index(names, name); i >= 0 {
				return values[i]
			}
			return ""
		}
		key := f[0] + " " + f[2]
		if get(":method") != "" {
			session, _ := strconv.Atoi(f[0])
			streams[key] = []string{get(":method"), get(":path"), "", ""}
			want[session] = append(want[session], key)
		} else if c := streams[key]; c != nil && f[1] != "2046" {
			c[1] += get(":path") // in a continuation
		} else if c != nil {
			if status := get(":status"); status != "" && status != "103" {
				c[2] = status
			}
			c[3] += get("grpc-status")
		}
	}
	for i, s := range sessions {
		calls := decode(t, s, true)
		slices.SortFunc(calls, func(a, b call.Call) int { return int(a.N) - int(b.N) })
		if len(calls) != len(want[i]) {
			t.Errorf("session %d: %d calls, tshark has %d", i, len(calls), len(want[i]))
			continue
		}
		for k, c := range calls {
			w := streams[want[i][k]]
			status := w[2]
			if code, err := strconv.Atoi(w[3]); err == nil {
				status = statusName(codes.Code(code))
			}
			path := w[1]
			if c.Protocol == call.GRPC {
				path = strings.TrimPrefix(path, "/")
			}
			if c.Status == "CANCELLED" && !c.Response.Ended {
				status = c.Status // by the client; what the server sends after it does not count
			}
			if c.Method != w[0] || c.Target != path || c.Status != status && !(c.Protocol == call.GRPC && w[3] == "") {
				t.Errorf("session %d, call %s: tshark has %q", i, line(&calls[k]), w)
			}
		}
	}
}

// statusName returns the name of a code in the specification of gRPC.
func statusName(code codes.Code) string {
	switch code {
	case codes.OK:
		return "OK"
	case codes.Canceled:
		return "CANCELLED"
	}
	return strings.ToUpper(strings.Join(words(code.String()), "_"))
}

// framesOf returns a session with one frame a piece.
func framesOf(s parsetest.Session) (frames parsetest.Session) {
	var rest [2][]byte
	for _, p := range s {
		b := append(rest[p.Dir], p.Data...)
		for {
			n := len(protocol.HTTP2Preface)
			if p.Dir != in || !strings.HasPrefix(string(b), "PRI") {
				if len(b) < protocol.HTTP2FrameHeader {
					break
				}
				n = protocol.HTTP2FrameHeader + protocol.ReadHTTP2Frame(b).Length
			}
			if len(b) < n {
				break
			}
			frames = append(frames, parsetest.Piece{Dir: p.Dir, At: p.At, Data: b[:n:n]})
			b = b[n:]
		}
		rest[p.Dir] = b
	}
	return frames
}
