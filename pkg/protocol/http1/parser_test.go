package http1_test

import (
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/http1"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// sessions are understood whole. Each has what real clients and servers send.
var sessions = map[string]parsetest.Session{
	"plain": parsetest.Talk(
		">GET /a?token=s3cret&x=1 HTTP/1.1\r\nHost: shop\r\nX-Request-Id: 77\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
		">POST /b HTTP/1.1\r\nHost: shop\r\nContent-Length: 11\r\n\r\nhello world",
		"<HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n6;x=y\r\nfghijk\r\n0\r\nX-Sum: 9\r\n\r\n",
		">HEAD /c HTTP/1.1\r\nHost: shop\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
		">DELETE /d HTTP/1.1\r\nHost: shop\r\n\r\n",
		"<HTTP/1.1 204 No Content\r\n\r\n",
	),
	"oddities": parsetest.Talk(
		">\r\n\r\nPURGE * HTTP/1.0\n\n",
		"<HTTP/1.0 200\r\nContent-Length: 2, 2\r\n\r\nab",
		">GET http://shop.example:81/p q?x HTTP/1.1\r\nX-Long: a\r\n b\r\nno field\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
		"<HTTP/1.1 100 Continue\r\n\r\n",
		"<HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
		">xyz",
		"<\r\nHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
		">GET /until-close HTTP/1.1\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nall that comes",
		"< until the end",
	),
	"lenient": parsetest.Talk(
		">get\t/a\thttp/1.1 \r\nHost: shop\r\n\r\n",
		"<HTTP/1.1 200\tOK\r\nContent-Length: +0002\r\n\r\nab",
		">GET /\xff\xfe?\x80=\x81 HTTP/1.1\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nab",
		">PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0000000000000000000003 ;x=\"y\"\r\nabc\r\n0\r\nX-A: 1\r\n b: 2\r\n\r\n",
		"<HTTP/1.1 205 OK\r\nContent-Length: 0\r\n\r\n",
		">POST /d HTTP/1.1\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
		"<HTTP/1.1 206 OK\r\nContent-Length: 0\r\n\r\n",
		">POST /e HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nall that",
		"<HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n",
		"> comes",
	),
	"refused": parsetest.Talk(
		">GET /a HTTP/1.1\r\n\r\n", "<HTTP/1.1 204 No Content\r\n\r\n",
		">POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno size\r\nGET /c HTTP/1.1\r\n\r\n",
		"<HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
	),
	"chunks": parsetest.Talk(
		">PUT /up HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n",
		">A\r\n0123456789\r\n0\r\n\r\n",
		"<HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
		">GET /2 HTTP/1.1\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"+strings.Repeat("0123456789", 300),
		">GET /3 HTTP/1.1\r\n\r\n",
		"<HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
	),
}

var pipelined = parsetest.Talk(
	">GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n",
	"<HTTP/1.1 201 OK\r\nContent-Length: 1\r\n\r\na",
	"<HTTP/1.1 202 OK\r\nContent-Length: 1\r\n\r\nb",
	">GET /4 HTTP/1.1\r\n\r\n",
	"<HTTP/1.1 203 OK\r\nContent-Length: 1\r\n\r\ncHTTP/1.1 204 OK\r\n\r\n",
	">GET /5 HTTP/1.1\r\n\r\n",
	"<HTTP/1.1 205 OK\r\nContent-Length: 1\r\n\r\nd",
)

func TestParser(t *testing.T) {
	for name, s := range sessions {
		t.Run(name, func(t *testing.T) { parsetest.Check(t, &http1.Protocol, s) })
	}
	t.Run("pipelined", func(t *testing.T) {
		parsetest.Cuts(t, &http1.Protocol, pipelined)
		parsetest.Checkpoints(t, &http1.Protocol, pipelined)
		parsetest.Gaps(t, &http1.Protocol, pipelined)
	})
	t.Run("hostile", func(t *testing.T) {
		parsetest.Hostile(t, &http1.Protocol, sessions["plain"], sessions["oddities"], sessions["chunks"], pipelined)
	})
}

// summary is what a test says of a call: method, target, status, and the words of what is
// not known.
func summary(c *call.Call) string {
	words := []string{c.Method, c.Target, c.Status}
	if c.Failed {
		words = append(words, "failed")
	}
	return strings.Join(append(words, c.Incomplete.Words()...), " ")
}

func TestCalls(t *testing.T) {
	cases := []struct {
		name    string
		session parsetest.Session
		closed  bool
		want    []string
	}{
		{"plain", sessions["plain"], true, []string{"GET /a?token=s3cret&x=1 200", "POST /b 503 failed", "HEAD /c 200", "DELETE /d 204"}},
		{"oddities", sessions["oddities"], true, []string{"PURGE * 200", "GET http://shop.example:81/p q?x 404", "GET /until-close 200"}},
		{"until the window closes", sessions["oddities"][:9], false, []string{"PURGE * 200", "GET http://shop.example:81/p q?x 404", "GET /until-close 200 cut_by_window"}},
		{"pipelined", pipelined, true, []string{"GET /1 201", "GET /2 202", "GET /3 203", "GET /4 204", "GET /5 205"}},
		{"no answer", parsetest.Talk(">GET /a HTTP/1.1\r\n\r\n"), true, []string{"GET /a  failed no_answer"}},
		{"no answer yet", parsetest.Talk(">GET /a HTTP/1.1\r\n\r\n"), false, []string{"GET /a  cut_by_window no_answer"}},
		{"half an answer", parsetest.Talk(">GET /a HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), true, []string{"GET /a 200 failed"}},
		{"early answer", parsetest.Talk(">POST /a HTTP/1.1\r\nContent-Le", "<HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n"), true, []string{"  408 no_request"}},
		{"early answer and its head", parsetest.Talk(">POST /a HTTP/1.1\r\nContent-Le", "<HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", ">ngth: 0\r\n\r\n"), true, []string{"POST /a 400"}},
		{"lenient", sessions["lenient"], true, []string{"get /a 200", "GET /\xff\xfe?\x80=\x81 200", "PUT /c 205", "POST /d 206", "POST /e 501 failed"}},
		{"no length that is one", parsetest.Talk(">POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "<HTTP/1.1 400 Bad\r\nContent-Length: -1\r\n\r\nbad"), true, []string{"POST /a 400"}},
		{"early answer when the window closes", parsetest.Talk(">POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nab", "<HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n"), false, []string{"POST /a 413 cut_by_window"}},
		{"an upgrade without answers", parsetest.Talk(">GET /a HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", ">GET /b HTTP/1.1\r\n\r\n", ">GET /c HTTP/1.1\r\n\r\n"), false,
			[]string{"GET /a  cut_by_window no_answer", "GET /b  cut_by_window no_answer", "GET /c  cut_by_window no_answer"}},
		{"a tunnel without answers", parsetest.Talk(">CONNECT a:80 HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n"), false,
			[]string{"CONNECT a:80  cut_by_window no_answer", "GET /b  cut_by_window no_answer", "GET /c  cut_by_window no_answer"}},
		{"a refused tunnel", parsetest.Talk(">CONNECT a:80 HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n", "<HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "<HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n"), true,
			[]string{"CONNECT a:80 407", "GET /b 201", "GET /c 202"}},
		{"a chunk that is refused", parsetest.Talk(">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnone\r\n", "<HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), true, []string{"POST /a 400"}},
		{"no line end behind a chunk", parsetest.Talk(">POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello world\r\n", ">more\r\n", "<HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), true, []string{"POST /a 400"}},
		{"a version that is refused", parsetest.Talk(">GET /a HTTP/2.0\r\n\r\n", "<HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n"), true, []string{"GET /a 505 failed"}},
		{"unasked", parsetest.Talk("<HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), true, []string{"  408 no_request"}},
	}
	for _, c := range cases {
		r, err := parsetest.Decode(&http1.Protocol, c.session, c.closed)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for i := range r.Calls {
			got = append(got, summary(&r.Calls[i]))
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: calls %q, want %q", c.name, got, c.want)
		}
	}
}

// The heads that servers accept are as long as memory allows, and each byte is looked at once: the parser is given
// one byte at a time.
func TestLongHeads(t *testing.T) {
	long := strings.Repeat("a", 400_000)
	for _, head := range []string{"GET /" + long + " HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nX: " + long + "\r\n\r\n", "GET / HTTP/1.1\r\n" + strings.Repeat("a:\n", 100_000) + "\r\n"} {
		var s parsetest.Session
		for i := range head {
			s = append(s, parsetest.Piece{Dir: record.In, At: parsetest.Start, Data: []byte(head[i : i+1])})
		}
		r, err := parsetest.Decode(&http1.Protocol, s, false)
		if err != nil || len(r.Calls) != 1 || r.Calls[0].Request.Length != uint64(len(head)) {
			t.Errorf("%.30q: %v, %d calls", head, err, len(r.Calls))
		}
	}
}

// What is no first line is seen before its line ends.
func TestNoFirstLine(t *testing.T) {
	for _, s := range []parsetest.Session{
		parsetest.Talk(">GET / HTTP/1.1\r\n\r\n", "<\x15\x03\x01\x00\x02\x02\x46"),
		parsetest.Talk(">GET / HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ">\x00\x01"),
	} {
		if _, err := parsetest.Decode(&http1.Protocol, s, true); err == nil {
			t.Errorf("%q is understood", s)
		}
	}
}

// After a gap, an answer without a length may be that of a HEAD: it does not end with the connection if another one follows.
func TestAnswerOfAMethodThatIsNotKnown(t *testing.T) {
	r := &parsetest.Recorder{}
	n := uint64(0)
	runner := parse.NewRunner(&http1.Protocol, parse.Env{Sink: r, Memory: 1 << 20, Next: func() uint64 { n++; return n }})
	at := uint64(10)
	for _, answer := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 202 OK\r\n\r\n", "until the end"} {
		if err := runner.Data(record.Out, at, parsetest.Start, []byte(answer)); err != nil {
			t.Fatal(err)
		}
		at += uint64(len(answer))
	}
	runner.End(parse.End{At: parsetest.Start, Closed: true, Recorded: [2]bool{true, true}})
	var got []string
	for i := range r.Calls {
		c := &r.Calls[i]
		got = append(got, fmt.Sprintf("%s %d %d %t", c.Status, c.Response.Length, c.Response.Body.Length, c.Failed))
	}
	if want := "200 19 0 false|201 40 2 false|202 32 13 false"; strings.Join(got, "|") != want {
		t.Errorf("calls %q, want %s", got, want)
	}
}
