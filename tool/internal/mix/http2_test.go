package mix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

// mixHeader is the field by which the streams of a connection are found again.
const mixHeader = "x-mix-id"

// stream is where one stream of HTTP/2 has its two messages.
type h2stream struct {
	fields   map[string]string // of the request's head
	messages [2]*witness.Range // by direction: all frames of the message
	bodies   [2]*witness.Range
	ended    bool // the answer has
	reset    bool // by the client, or by the server before the answer had ended
}

// h2streams finds the streams of a connection with x/net/http2, in the order of their requests'
// heads.
func (r *run) h2streams(conn *witness.Conn) []*h2stream {
	r.Helper()
	byID := map[uint32]*h2stream{}
	var order []*h2stream
	for _, dir := range record.Directions() {
		b := conn.Link.Bytes(dir)
		at := uint64(0)
		if dir == record.In {
			at = uint64(len(http2.ClientPreface))
		}
		reader := bytes.NewReader(b[min(int(at), len(b)):])
		framer := http2.NewFramer(io.Discard, reader)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		framer.MaxHeaderListSize = 16 << 20
		for {
			f, err := framer.ReadFrame()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					r.Fatalf("read frames of HTTP/2: %v", err)
				}
				break
			}
			end := uint64(len(b) - reader.Len())
			id := f.Header().StreamID
			if id != 0 {
				s := byID[id]
				if s == nil {
					s = &h2stream{fields: map[string]string{}}
					byID[id] = s
				}
				where := &witness.Range{Offset: at, Length: end - at}
				switch f := f.(type) {
				case *http2.RSTStreamFrame:
					s.reset = s.reset || dir == record.In || !s.ended
				case *http2.MetaHeadersFrame:
					s.ended = s.ended || dir == record.Out && f.StreamEnded()
					if dir == record.In && s.messages[dir] == nil {
						for _, field := range f.Fields {
							s.fields[field.Name] = field.Value
						}
						order = append(order, s)
					}
					s.messages[dir] = extend(s.messages[dir], where)
				case *http2.DataFrame:
					s.messages[dir] = extend(s.messages[dir], where)
					s.bodies[dir] = extend(s.bodies[dir], where)
				}
			}
			at = end
		}
	}
	return order
}

func extend(a, b *witness.Range) *witness.Range {
	if a == nil {
		return b
	}
	return join(a, b)
}

// h2calls notes the calls of a connection: calls has them by the value of mixHeader.
func (r *run) h2calls(conn *witness.Conn, calls map[string]witness.Call) {
	r.Helper()
	for _, s := range r.h2streams(conn) {
		c, ok := calls[s.fields[mixHeader]]
		if !ok {
			r.Fatalf("a stream that nobody has made: %q", s.fields)
		}
		c.Request, c.Response = s.messages[record.In], s.messages[record.Out]
		c.RequestBody, c.ResponseBody = s.bodies[record.In], s.bodies[record.Out]
		c.NoAnswer = c.Response == nil
		// The server may have given up at the same time. A client such as curl goes away when it has all of
		// the body; whether the end of the stream, in a frame of its own, passed by then, it does not know.
		c.Undecided = s.reset && (s.ended || c.Status == "DEADLINE_EXCEEDED") || c.Protocol == "http/2" && !s.reset && !s.ended
		if s.reset && c.Protocol == "grpc" && !s.ended {
			c.Status, c.Code = grpcCodes[1], 1 // whatever the client made of it
		}
		if c.NoAnswer && c.Protocol == "http/2" {
			c.Status, c.Code = "", 0
		}
		r.note(conn, c)
	}
}

// h2client is a client with one connection.
type h2client struct {
	r      *run
	client *http.Client
	next   atomic.Int64

	mu    sync.Mutex // guards the rest
	conn  *witness.Conn
	calls map[string]witness.Call
}

func (r *run) http2() *h2client {
	h := &h2client{r: r, calls: map[string]witness.Call{}}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h.client = &http.Client{Transport: &http.Transport{
		Protocols: protocols, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := r.path.Dial(ctx)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.conn = conn
			return conn, err
		},
	}}
	return h
}

// do sends a request. It may be called for several at a time.
func (h *h2client) do(method, target string, body io.Reader, change func(*http.Request)) error {
	id := strconv.FormatInt(h.next.Add(1), 10)
	req, err := http.NewRequestWithContext(h.r.ctx, method, "http://shop.example"+target, body)
	if err != nil {
		return err
	}
	req.Header.Set(mixHeader, id)
	if change != nil {
		change(req)
	}
	c := witness.Call{Protocol: "http/2", Method: method, Target: target, Host: "shop.example"}
	res, err := h.client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		c.Status, c.Code, c.Failed = fmt.Sprint(res.StatusCode), res.StatusCode, res.StatusCode >= 500
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		c.Comment, err = "the client cancelled", nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[id] = c
	return err
}

func (h *h2client) close() {
	h.client.CloseIdleConnections()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.r.h2calls(h.conn, h.calls)
}

// together calls f n times, some at a time.
func (r *run) together(n, some int, f func(i int) error) {
	r.Helper()
	var group sync.WaitGroup
	slots := make(chan struct{}, some)
	failed := make(chan error, n)
	for i := range n {
		group.Add(1)
		slots <- struct{}{}
		go func() {
			defer group.Done()
			if err := f(i); err != nil {
				failed <- err
			}
			<-slots
		}()
	}
	group.Wait()
	select {
	case err := <-failed:
		r.Fatal(err)
	default:
	}
}

func http2Scenarios() []scenario {
	return []scenario{
		{"http", "http2-one-by-one", func(r *run) {
			h := r.http2()
			for i := range 20 {
				r.check(h.do("GET", fmt.Sprintf("/items/%d?size=%d", i, i*100), nil, nil))
				r.check(h.do("POST", "/orders?size=20&status=201", strings.NewReader(`{"item":1}`), nil))
				r.check(h.do("HEAD", "/items?size=50", nil, nil))
				r.check(h.do("GET", "/none?status=404&size=5", nil, nil))
				r.check(h.do("GET", "/broken?status=503&size=5", nil, nil))
				r.check(h.do("GET", "/empty?status=204", nil, nil))
			}
			h.close()
		}},
		{"http", "http2-multiplexed", func(r *run) {
			h := r.http2()
			r.check(h.do("GET", "/first", nil, nil))
			r.together(100, 10, func(i int) error {
				return h.do("POST", fmt.Sprintf("/many/%d?as=chunked&size=%d", i, i*200), unsized{strings.NewReader(strings.Repeat("up", i*100))}, func(q *http.Request) {
					q.Header.Set("X-Fresh", fmt.Sprintf("value-%d", i)) // a new entry of the table
				})
			})
			h.close()
		}},
		{"http", "http2-big", func(r *run) {
			h := r.http2()
			r.check(h.do("POST", "/up?size=2000000", strings.NewReader(strings.Repeat("0123456789", 200000)), nil))
			r.check(h.do("GET", "/trailer?as=trailer&size=10", nil, nil))
			r.check(h.do("GET", "/cont?size=1", nil, func(q *http.Request) { q.Header.Set("Cookie", strings.Repeat("c", 60000)) })) // CONTINUATION frames
			r.check(h.do("GET", "/hints?as=early&size=5", nil, nil))
			h.close()
		}},
	}
}
