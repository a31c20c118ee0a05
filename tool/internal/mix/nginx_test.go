package mix

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

// nginxConfig is nginx's configuration: FOLDER is where its files are, LISTEN where it listens, and UPSTREAM
// a server behind it.
const nginxConfig = `daemon off;
pid FOLDER/pid;
error_log FOLDER/error.log;
worker_processes 2;
events {}
http {
	access_log off;
	client_body_temp_path FOLDER/client;
	proxy_temp_path FOLDER/proxy;
	fastcgi_temp_path FOLDER/fastcgi;
	uwsgi_temp_path FOLDER/uwsgi;
	scgi_temp_path FOLDER/scgi;
	types { text/html html; application/json json; }
	gzip on;
	gzip_min_length 100;
	gzip_types application/json;
	client_max_body_size 10k;
	large_client_header_buffers 2 2k;
	server {
		listen LISTEN;
		keepalive_requests LIMIT;
		root FOLDER/www;
		error_page 404 /missing.html;
		location = /moved { return 302 /page.html; }
		location = /text { return 418 "short and stout"; }
		location = /none { return 204; }
		location = /silent { return 444; }
		location = /down { proxy_pass http://127.0.0.1:1; }
		location = /brief { keepalive_timeout 50ms; return 200 "brief"; }
		location /behind/ { proxy_pass http://UPSTREAM; proxy_http_version 1.1; }
		location /slow/ { alias FOLDER/www/; limit_rate 200k; }
	}
}
`

// nginxPages are the files that it serves.
func nginxPages() map[string]string {
	return map[string]string{
		"page.html":    "<p>" + strings.Repeat("HTTP/1.1 200 OK\r\n\r\n", 20),
		"data.json":    `{"items":[` + strings.Repeat(`{"id":1},`, 2000) + `{}]}`,
		"empty.html":   "",
		"missing.html": "<p>not here",
		"big.bin":      strings.Repeat("0123456789abcdef", 4096),
		"folder/x":     "x",
	}
}

// startNginx starts nginx, for HTTP/1.1 or for HTTP/2 without TLS. Go's server stands for it where
// it is not installed.
func startNginx(t testing.TB, http2 bool) server {
	t.Helper()
	upstream := startHTTP(t)
	program := find("nginx", "/usr/sbin/nginx")
	if program == "" {
		return server{address: upstream.address, name: "net/http for nginx", double: true}
	}
	folder := t.TempDir()
	as := account(t, folder)
	for name, text := range nginxPages() {
		path := filepath.Join(folder, "www", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	port := freePort(t)
	listen, limit := fmt.Sprint("127.0.0.1:", port), "7"
	if http2 {
		listen, limit = listen+" http2", "1000"
	}
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, []byte(strings.NewReplacer("FOLDER", folder, "LISTEN", listen, "LIMIT", limit, "UPSTREAM", upstream.address).Replace(nginxConfig)), 0o644); err != nil {
		t.Fatal(err)
	}
	spawn(t, port, as, program, "-e", filepath.Join(folder, "error.log"), "-p", folder, "-c", config)
	return server{address: fmt.Sprint("127.0.0.1:", port), name: "nginx"}
}

// rawRequest is a request that is written as it is.
type rawRequest struct {
	method, target, host string
	text                 string
}

// get returns a request with some more fields, each with its line's end.
func get(method, target, fields string) rawRequest {
	return rawRequest{method, target, "h", method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"}
}

// raw sends requests at once, on a connection of their own, and notes the answers as net/http reads them. Requests
// behind the last answer have none.
func (r *run) raw(requests ...rawRequest) {
	r.Helper()
	conn := r.dial()
	defer conn.Close()
	var text strings.Builder
	for _, q := range requests {
		text.WriteString(q.text)
	}
	r.write(conn, text.String())
	r.check(conn.SetReadDeadline(time.Now().Add(20 * time.Second)))
	answers := bufio.NewReader(conn)
	next := witness.Mark{}
	for _, q := range requests {
		from := next
		next.In += uint64(len(q.text))
		c := witness.Call{Protocol: "http/1.1", Method: q.method, Target: q.target, Host: q.host, Comment: "tshark cannot see all that are sent at once, or odd"}
		res, err := http.ReadResponse(answers, &http.Request{Method: q.method})
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			r.check(errors.Join(err, res.Body.Close()))
			c.Status, c.Code, c.Failed = fmt.Sprint(res.StatusCode), res.StatusCode, res.StatusCode >= 500
			next.Out = conn.Mark().Out - uint64(answers.Buffered())
		}
		c.Request, c.Response = between(from, next)
		if c.Response.Length == 0 {
			c.Response, c.NoAnswer, c.Failed = nil, true, true
		} else {
			c.ResponseBody, _ = httpBody(conn.Link.Bytes(record.Out), c.Response)
			if q.method == "HEAD" {
				c.ResponseBody = nil
			}
		}
		r.note(conn, c)
	}
}

func nginxScenarios() []scenario {
	return []scenario{
		{"nginx", "pages", func(r *run) {
			h := r.http1()
			zip := func(q *http.Request) { q.Header.Set("Accept-Encoding", "gzip") }
			field := func(name, value string) func(*http.Request) {
				return func(q *http.Request) { q.Header.Set(name, value) }
			}
			for range 3 { // each a connection or more, of seven requests
				h.do("GET", "/page.html", nil, nil)
				h.do("GET", "/data.json", nil, zip) // in chunks, since its length is not known
				h.do("HEAD", "/data.json", nil, zip)
				h.do("HEAD", "/page.html", nil, nil)
				h.do("GET", "/page.html", nil, field("If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)))
				h.do("GET", "/page.html", nil, func(q *http.Request) {
					q.Header.Set("If-Unmodified-Since", "Mon, 02 Jan 2006 15:04:05 GMT")
					q.Close = true // nginx closes whatever it says, and the client would have to send the next request again
				})
				h.do("GET", "/page.html", nil, field("Range", "bytes=10-19"))
				h.do("GET", "/page.html", nil, field("Range", "bytes=0-4,10-14,-5")) // several parts
				h.do("GET", "/page.html", nil, field("Range", "bytes=999999-"))
				h.do("GET", "/empty.html", nil, zip)
				h.do("GET", "/folder", nil, nil)
				h.do("GET", "/nothing?x=1", nil, nil)
				h.do("GET", "/moved", nil, nil)
				h.do("GET", "/text", nil, nil)
				h.do("GET", "/none", nil, nil)
				h.do("GET", "/down", nil, nil)
				h.do("POST", "/page.html", strings.NewReader("a=b"), nil)
				h.do("DELETE", "/page.html", nil, nil)
				h.do("OPTIONS", "/", nil, nil)
				h.do("GET", "/behind/x?as=chunked&size=5000", nil, nil)
				h.do("GET", "/behind/x?as=gzip&size=5000", nil, zip)
				h.do("GET", "/behind/x?status=304", nil, nil)
				h.do("POST", "/behind/x?status=503&size=10", unsized{strings.NewReader(strings.Repeat("up", 2000))}, nil)
				h.do("POST", "/behind/x?size=4", strings.NewReader(strings.Repeat("x", 5000)), field("Expect", "100-continue"))
			}
			h.client.CloseIdleConnections()
		}},
		{"nginx", "big", func(r *run) {
			h := r.http1()
			h.do("GET", "/big.bin", nil, nil)
			h.do("GET", "/slow/big.bin", nil, nil)
			h.client.CloseIdleConnections()
		}},
		{"nginx", "too-large", func(r *run) {
			if r.on.double {
				return // it has no such limit
			}
			h := r.http1()
			h.do("POST", "/behind/x", strings.NewReader(strings.Repeat("x", 20000)), func(q *http.Request) { q.Header.Set("Expect", "100-continue") })
			r.change(func(w *witness.Call) {
				w.NoLatency, w.Comment = true, "tshark cannot see a request whose body never came"
			})
			h.do("GET", "/page.html", nil, nil)
			h.do("GET", "/"+strings.Repeat("long/", 600), nil, nil)
			h.do("GET", "/page.html", nil, func(q *http.Request) { q.Header.Set("Cookie", strings.Repeat("c", 3000)) })
			h.client.CloseIdleConnections()
		}},
		{"nginx", "pipelined", func(r *run) {
			var list []rawRequest
			for i := range 10 { // more than nginx answers on one connection
				list = append(list, get([]string{"GET", "HEAD"}[i%2], []string{"/page.html", "/data.json", "/nothing"}[i%3], "Accept-Encoding: gzip\r\n"))
			}
			r.raw(list[:5]...)
			r.raw(list...)
		}},
		{"nginx", "old", func(r *run) {
			r.raw(rawRequest{"GET", "/page.html", "", "GET /page.html HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
				rawRequest{"GET", "/data.json", "h", "GET /data.json HTTP/1.0\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n"})
			r.raw(rawRequest{"GET", "/behind/x?as=chunked&size=3000", "", "GET /behind/x?as=chunked&size=3000 HTTP/1.0\r\n\r\n"}) // until the end
			r.raw(rawRequest{"GET", "/page.html", "h", "\r\n\r\nGET /page.html HTTP/1.1\nHost: h\nConnection: close\n\n"})
			r.change(func(w *witness.Call) { w.Request.Offset, w.Request.Length = 4, w.Request.Length-4 })
			r.raw(get("GET", "/page.html", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"), get("GET", "/none", ""))
			r.raw(get("GET", "http://other.example/page.html", ""))
			if r.on.double {
				return
			}
			r.raw(get("GET", "/silent", "")) // no answer at all
			r.raw(get("GET", "/brief", ""))
		}},
		{"nginx", "refused", func(r *run) {
			if r.on.double {
				return
			}
			short := func(w *witness.Call) { w.NoLatency = true } // the request's body never came
			for _, q := range []struct {
				rawRequest
				change func(*witness.Call)
			}{
				{rawRequest{"GET", "/", "", "GET / HTTP/1.1\r\n\r\n"}, nil},
				{get("GET", "/a", "Content-Length: many\r\n"), nil},
				{get("POST", "/b", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), short},
				{get("POST", "/c", "Transfer-Encoding: gzip, chunked\r\n"), short},
				{get("FOO", "/page.html", ""), nil},
				{get("TRACE", "/", ""), nil},
				{get("GET", "/%00", ""), nil},
				{get("GET", "/../../etc", ""), nil},
				{rawRequest{"GET", "/d", "h", "GET /d HTTP/1.7\r\nHost: h\r\n\r\n"}, nil},
				{rawRequest{"GET", "/e", "h", "GET /e HTTP/2.0\r\nHost: h\r\n\r\n"}, nil},
				{rawRequest{"get", "/f", "h", "get /f HTTP/1.1\r\nHost: h\r\n\r\n"}, nil},
				{rawRequest{"POST", "/behind/x", "h", get("POST", "/behind/x", "Transfer-Encoding: chunked\r\n").text + "5\r\nhello\r\nno chunk\r\n"}, nil},
			} {
				r.raw(q.rawRequest)
				if q.change != nil {
					r.change(q.change)
				}
			}
		}},
		{"nginx-http2", "one-by-one", func(r *run) {
			h := r.http2()
			for range 5 {
				for _, target := range []string{"/page.html", "/data.json", "/empty.html", "/nothing", "/text", "/none", "/down", "/behind/x?as=gzip&size=5000", "/behind/x?as=trailer&size=20", "/behind/x?status=503&size=9"} {
					r.check(h.do("GET", target, nil, func(q *http.Request) { q.Header.Set("Accept-Encoding", "gzip") }))
				}
				r.check(h.do("HEAD", "/data.json", nil, nil))
				r.check(h.do("GET", "/page.html", nil, func(q *http.Request) {
					q.Header.Set("If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
				}))
				r.check(h.do("POST", "/behind/x?size=20", strings.NewReader(strings.Repeat("x", 9000)), nil))
			}
			h.close()
		}},
		{"nginx-http2", "multiplexed", func(r *run) {
			h := r.http2()
			r.check(h.do("GET", "/page.html", nil, nil))
			r.together(60, 10, func(i int) error {
				if i%2 == 0 {
					return h.do("POST", "/behind/x?as=chunked&size=9000", strings.NewReader(strings.Repeat("up", i)), nil)
				}
				return h.do("GET", []string{"/big.bin", "/data.json"}[i/2%2], nil, nil)
			})
			h.close()
		}},
	}
}
