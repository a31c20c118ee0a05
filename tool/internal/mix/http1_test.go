package mix

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

// httpAnswers answers as the request asks: with the status of the query's "status", a body of
// "size" bytes, in the form of "as".
func httpAnswers(w http.ResponseWriter, req *http.Request) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return // the client has gone
	}
	q := req.URL.Query()
	status, _ := strconv.Atoi(q.Get("status"))
	if status == 0 {
		status = 200
	}
	size, _ := strconv.Atoi(q.Get("size"))
	body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
	w.Header().Set("X-Mix", q.Get("n"))
	switch q.Get("as") {
	case "chunked":
		w.WriteHeader(status)
		for len(body) > 0 {
			n := min(len(body), 1000)
			say(w, body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
		}
		return
	case "trailer":
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(status)
		say(w, body)
		w.Header().Set("X-Sum", "17")
		return
	case "gzip":
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		var zip io.WriteCloser = gzip.NewWriter(w)
		say(zip, body)
		zip.Close()
		return
	case "early":
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
	}
	if status != 204 && status != 304 {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	}
	w.WriteHeader(status)
	if status != 204 && status != 304 {
		say(w, body)
	}
}

// say writes text. Clients see what is wrong if it fails.
func say(w io.Writer, text string) { fmt.Fprint(w, text) }

func startHTTP(t testing.TB) server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: http.HandlerFunc(httpAnswers), Protocols: protocols}
	done := make(chan error, 1)
	go func() { done <- s.Serve(listener) }()
	t.Cleanup(func() { stop(t, s.Close(), done) })
	return server{address: listener.Addr().String(), name: "net/http"}
}

// http1 is a client that makes one request after the other, on connections that it keeps.
type http1 struct {
	r      *run
	client *http.Client
}

func (r *run) http1() *http1 {
	transport := &http.Transport{
		MaxConnsPerHost: 1, DisableCompression: true, ExpectContinueTimeout: 5 * time.Second,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.path.Dial(ctx) },
	}
	return &http1{r: r, client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// do sends a request.
func (h *http1) do(method, target string, body io.Reader, change func(*http.Request)) {
	r := h.r
	r.Helper()
	req, err := http.NewRequestWithContext(r.ctx, method, "http://shop.example:8080"+target, body)
	r.check(err)
	if change != nil {
		change(req)
	}
	var conn *witness.Conn
	var before witness.Mark
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		conn = info.Conn.(*witness.Conn)
		before = conn.Mark()
	}}))
	res, err := h.client.Do(req)
	r.check(err)
	_, err = io.Copy(io.Discard, res.Body)
	r.check(err)
	r.check(res.Body.Close())
	c := witness.Call{Protocol: "http/1.1", Method: method, Target: target, Host: req.Host, Status: fmt.Sprint(res.StatusCode), Code: res.StatusCode, Failed: res.StatusCode >= 500}
	c.Request, c.Response = between(before, conn.Mark())
	c.RequestBody, _ = httpBody(conn.Link.Bytes(record.In), c.Request)
	c.ResponseBody, c.Final = httpBody(conn.Link.Bytes(record.Out), c.Response)
	if method == "HEAD" {
		c.ResponseBody = nil
	}
	r.note(conn, c)
}

// httpBody returns what is behind the head of a message, nil if there is nothing, and where the
// final answer begins if there are interim ones.
func httpBody(stream []byte, message *witness.Range) (body *witness.Range, final uint64) {
	b := stream[message.Offset : message.Offset+message.Length]
	head := 0
	for {
		n := bytes.Index(b[head:], []byte("\r\n\r\n"))
		if n < 0 {
			return nil, 0
		}
		interim := bytes.HasPrefix(b[head:], []byte("HTTP/1.1 1")) && !bytes.HasPrefix(b[head:], []byte("HTTP/1.1 101"))
		head += n + 4
		if !interim {
			break
		}
		final = message.Offset + uint64(head)
	}
	if head == len(b) {
		return nil, final
	}
	return &witness.Range{Offset: message.Offset + uint64(head), Length: uint64(len(b) - head)}, final
}

// unsized hides the length of a body, so that it is sent in chunks.
type unsized struct{ io.Reader }

func http1Scenarios() []scenario {
	list := []scenario{
		{"http", "keep-alive", func(r *run) {
			h := r.http1()
			for i := range 20 {
				h.do("GET", fmt.Sprintf("/items/%d?n=%d&size=%d", i, i, i*10), nil, nil)
				h.do("POST", fmt.Sprintf("/orders?n=%d&size=100&status=201", i), strings.NewReader(fmt.Sprintf(`{"item":%d,"card":"4111"}`, i)), func(q *http.Request) { q.Header.Set("Content-Type", "application/json") })
				h.do("HEAD", "/items?size=1234", nil, nil)
				h.do("DELETE", "/items/1?status=204", nil, nil)
				h.do("GET", "/cached?status=304", nil, nil)
				h.do("GET", "/none?status=404&size=20", nil, nil)
				h.do("GET", fmt.Sprintf("/broken?status=%d&size=10", 500+i%4), nil, nil)
				h.do("OPTIONS", "/any?size=0", nil, nil)
			}
			h.client.CloseIdleConnections()
		}},
		{"http", "chunked", func(r *run) {
			h := r.http1()
			for i := range 15 {
				h.do("PUT", fmt.Sprintf("/up?n=%d&as=chunked&size=%d", i, i*500), unsized{strings.NewReader(strings.Repeat("up", i*300))}, nil)
				h.do("GET", "/trailer?as=trailer&size=50", nil, nil)
				h.do("POST", "/up?size=3", unsized{strings.NewReader("with a trailer")}, func(q *http.Request) { q.Trailer = http.Header{"X-Check": {"5"}} })
				h.do("GET", "/zipped?as=gzip&size=5000", nil, nil)
			}
			h.client.CloseIdleConnections()
		}},
		{"http", "continue", func(r *run) {
			h := r.http1()
			for i := range 10 {
				h.do("POST", "/up?size=5", strings.NewReader(strings.Repeat("x", i*1000+1)), func(q *http.Request) { q.Header.Set("Expect", "100-continue") })
				h.do("GET", "/hints?as=early&size=7", nil, nil)
			}
			h.client.CloseIdleConnections()
		}},
		{"http", "close", func(r *run) {
			h := r.http1()
			for i := range 10 {
				h.do("GET", fmt.Sprintf("/once/%d?size=10", i), nil, func(q *http.Request) { q.Close = true })
			}
		}},
		{"http", "big", func(r *run) {
			h := r.http1()
			h.do("POST", "/up?size=3000000", strings.NewReader(strings.Repeat("HTTP/1.1 200 OK\r\n\r\n", 100000)), nil)
			h.do("GET", "/down?as=chunked&size=1000000", nil, nil)
			h.do("GET", "/"+strings.Repeat("long/", 3000)+"?size=1", nil, func(q *http.Request) { q.Header.Set("Cookie", strings.Repeat("c", 20000)) })
			h.client.CloseIdleConnections()
		}},
	}
	for name, play := range http1Scripts() {
		list = append(list, scenario{"script", "http-" + name, func(r *run) { s := r.script(); play(s); s.play() }})
	}
	return list
}

// web notes a call of HTTP/1.1.
func (s *script) web(method, target, host string, code int, request, response *witness.Range) {
	c := witness.Call{Protocol: "http/1.1", Method: method, Target: target, Host: host, Code: code, Failed: code >= 500}
	if code != 0 {
		c.Status = fmt.Sprint(code)
	}
	s.note(c, request, response)
}

// join returns the range that a and b make up.
func join(ranges ...*witness.Range) *witness.Range {
	return &witness.Range{Offset: ranges[0].Offset, Length: ranges[len(ranges)-1].Offset + ranges[len(ranges)-1].Length - ranges[0].Offset}
}

func http1Scripts() map[string]func(*script) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	return map[string]func(*script){
		"pipelined": func(s *script) {
			var all strings.Builder
			var requests []*witness.Range
			at := uint64(0)
			for i := range 50 {
				one := fmt.Sprintf("GET /p/%d HTTP/1.1\r\nHost: h\r\n\r\n", i)
				if i%3 == 1 {
					one = fmt.Sprintf("POST /p/%d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", i)
				}
				all.WriteString(one)
				requests = append(requests, &witness.Range{Offset: at, Length: uint64(len(one))})
				at += uint64(len(one))
			}
			s.client(all.String())
			var answers strings.Builder
			at = 0
			for i := range 50 {
				one := ok
				if i%5 == 2 {
					one = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n"
				}
				answers.WriteString(one)
				method, code := "GET", 200
				if i%3 == 1 {
					method = "POST"
				}
				if i%5 == 2 {
					code = 503
				}
				s.web(method, fmt.Sprintf("/p/%d", i), "h", code, requests[i], &witness.Range{Offset: at, Length: uint64(len(one))})
				at += uint64(len(one))
			}
			s.server(answers.String())
		},
		"oddities": func(s *script) {
			q := s.client("GET / HTTP/1.0\r\n\r\n")
			a := s.server("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
			s.web("GET", "/", "", 200, q, a)
			s.client("\r\n\r\n") // empty lines between requests
			q = s.client("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n")
			a = s.server("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n") // no reason phrase
			s.web("M-SEARCH", "*", "239.255.255.250:1900", 200, q, a)
			q = s.client("GET http://proxy.example/x?a=b#c HTTP/1.1\r\nHost: proxy.example\r\nX-Folded: a\r\n b\r\n\tc\r\n\r\n")
			a = s.server("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")
			s.web("GET", "http://proxy.example/x?a=b#c", "proxy.example", 200, q, a)
			q = s.client("PROPFIND /dav/\xc3\xa4%20<x> HTTP/1.1\r\nhost:dav\r\nContent-Length:3\r\n\r\n<x>")
			a = s.server("HTTP/1.1 207 Multi-Status\r\ncontent-length: 4\r\n\r\n<ms>")
			s.web("PROPFIND", "/dav/\xc3\xa4%20<x>", "dav", 207, q, a)
			q = s.client("GET /bare HTTP/1.1\nHost: bare\n\n") // line feeds alone
			a = s.server(ok)
			s.web("GET", "/bare", "bare", 200, q, a)
			q = s.client("POST /ext HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;name=\"v\"\r\nhello\r\n00A \r\n0123456789\r\n000\r\nX-Trailer: 1\r\n\r\n")
			a = s.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
			s.web("POST", "/ext", "h", 200, q, a)
			q = s.client("POST /twice HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi")
			a = s.server("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n")
			s.web("POST", "/twice", "h", 999, q, a)
		},
		"interim": func(s *script) {
			q1 := s.client("POST /up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
			a1 := s.server("HTTP/1.1 100 Continue\r\n\r\n")
			q2 := s.client("body")
			s.server("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
			a3 := s.server(ok)
			s.web("POST", "/up", "h", 200, join(q1, q2), join(a1, a3))
			s.calls[0].Final = a3.Offset
			q := s.client("POST /up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
			a := s.server("HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			s.end = "server"
			s.web("POST", "/up", "h", 417, q, a)
			s.calls[1].NoLatency = true // the request's body never came
		},
		"until-close": func(s *script) {
			q := s.client("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
			a := s.server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
			b := s.server(strings.Repeat("line\r\n\r\nHTTP/1.1 500 no\r\n\r\n", 100))
			s.end = "server"
			s.web("GET", "/stream", "h", 200, q, join(a, b))
		},
		"no-answer": func(s *script) {
			q := s.client("GET /answered HTTP/1.1\r\nHost: h\r\n\r\n")
			a := s.server(ok)
			s.web("GET", "/answered", "h", 200, q, a)
			q = s.client("GET /forgotten HTTP/1.1\r\nHost: h\r\n\r\n")
			s.end = "server"
			s.web("GET", "/forgotten", "h", 0, q, nil)
			s.calls[1].Failed = true // the connection ended without the answer
		},
		"cut-answer": func(s *script) {
			q := s.client("GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
			a := s.server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			s.end = "server"
			s.web("GET", "/half", "h", 200, q, a)
			s.calls[0].Failed = true
		},
		"head-and-empty": func(s *script) {
			for _, c := range []struct {
				method, answer string
				code           int
			}{
				{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200},
				{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200},
				{"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204},
				{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 304},
				{"GET", ok, 200},
			} {
				q := s.client(c.method + " /e HTTP/1.1\r\nHost: h\r\n\r\n")
				s.web(c.method, "/e", "h", c.code, q, s.server(c.answer))
			}
		},
		"early-answer": func(s *script) { // the answer comes before the request's end
			q1 := s.client("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")
			a := s.server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
			q2 := s.client("56789")
			s.web("POST", "/early", "h", 413, join(q1, q2), a)
			q := s.client("GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
			s.web("GET", "/next", "h", 200, q, s.server(ok))
		},
		"proxy-line": func(s *script) {
			s.client("PROXY TCP4 10.1.2.3 10.0.0.1 4711 80\r\n")
			q := s.client("GET /behind HTTP/1.1\r\nHost: h\r\n\r\n")
			s.web("GET", "/behind", "h", 200, q, s.server(ok))
		},
		"connect": func(s *script) {
			q := s.client("CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n")
			a := s.server("HTTP/1.1 200 Connection established\r\n\r\n")
			s.web("CONNECT", "db.example:443", "db.example:443", 200, q, a)
			s.calls[0].Comment = "from here on the tunnel's own protocol"
			q = s.client("\x00\x01 what the tunnel carries")
			s.note(witness.Call{Protocol: "tcp", Method: "turn"}, q, s.server("\x02 and its answer"))
		},
		"upgrade-unknown": func(s *script) {
			q := s.client("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: own/1\r\n\r\n")
			a := s.server("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own/1\r\n\r\n")
			s.web("GET", "/chat", "h", 101, q, a)
			s.calls[0].Comment = "from here on another protocol"
			q = s.client("\x01\x02\x03hello")
			s.note(witness.Call{Protocol: "tcp", Method: "turn"}, q, s.server("\x04hello back"))
		},
		"slow-bytes": func(s *script) {
			var q, a []*witness.Range
			for _, b := range "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n" {
				q = append(q, s.client(string(b)))
			}
			for _, b := range "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" {
				a = append(a, s.server(string(b)))
			}
			s.web("GET", "/slow", "h", 200, join(q...), join(a...))
		},
	}
}
