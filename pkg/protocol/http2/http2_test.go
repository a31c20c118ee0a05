package http2_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"mosn.io/tcpcopy/pkg/protocol/call"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

const in, out = record.In, record.Out

// mix is a connection with all kinds of streams.
func mix() *talk {
	t := newTalk()
	t.get(1, "/a?x=1", "user-agent: test", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	t.pause()
	t.post(3, "/upload", "user-agent: test", "content-type: text/plain")
	t.data(in, 3, false, strings.Repeat("up", 700))
	t.answer(1, false, "200", "content-type: text/html", "server: s")
	t.data(out, 1, true, strings.Repeat("<p>", 400))
	t.data(in, 3, true, "last")
	t.rpc(5, "Add", "grpc-timeout: 1S")
	t.data(in, 5, true, message("an apple"))
	t.answer(3, true, "503", "retry-after: 3")
	t.answer(5, false, "200", "content-type: application/grpc")
	t.data(out, 5, false, message("added"))
	t.head(out, 5, true, "grpc-status: 0", "grpc-message: ")
	for i := range 6 {
		id := uint32(7 + 2*i)
		t.rpc(id, "Get", "grpc-timeout: 1S", fmt.Sprint("x-request-id: ", i))
		t.data(in, id, true, message("which"))
		if i%2 == 0 {
			t.answer(id, false, "200", "content-type: application/grpc")
			t.data(out, id, false, message("that"))
			t.head(out, id, true, "grpc-status: 0", "grpc-message: ")
		} else {
			t.answer(id, true, "200", "content-type: application/grpc", "grpc-status: 14", "grpc-message: away")
		}
	}
	t.frames(in, func(f *http2.Framer) error { return f.WritePing(false, [8]byte{1}) })
	t.frames(out, func(f *http2.Framer) error { return f.WritePing(true, [8]byte{1}) })
	// Both directions go on at the same time.
	t.rpc(21, "Chat")
	t.data(in, 21, false, message("one"))
	t.answer(21, false, "200", "content-type: application/grpc")
	t.data(out, 21, false, message("uno"))
	t.data(in, 21, true, message("two"))
	t.frames(in, func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 100) })
	t.data(out, 21, false, message("due"))
	t.head(out, 21, true, "grpc-status: 5", "grpc-message: none")
	t.rpc(23, "Wait")
	t.data(in, 23, true, message("w"))
	t.reset(in, 23, http2.ErrCodeCancel)
	t.get(25, "/early")
	t.answer(25, false, "103", "link: </a.css>")
	t.pause()
	t.answer(25, false, "200")
	t.data(out, 25, true, "late")
	t.get(27, "/refused")
	t.reset(out, 27, http2.ErrCodeRefusedStream)
	t.get(29, "/never")
	return t
}

func decode(t *testing.T, s parsetest.Session, closed bool) []call.Call {
	t.Helper()
	r, err := parsetest.Decode(&h2.Protocol, s, closed)
	if err != nil {
		t.Fatal(err)
	}
	return r.Calls
}

// line is what a call is, for comparing.
func line(c *call.Call) string {
	latency := "-"
	if d, ok := c.Latency(); ok {
		latency = d.String()
	}
	failed := ""
	if c.Failed {
		failed = " failed"
	}
	return fmt.Sprintf("%d %s %s %s [%s %d%s] %s %s", c.N, c.Protocol, c.Method, c.Target, c.Status, c.Code, failed, latency, strings.Join(c.Incomplete.Words(), ","))
}

func check(t *testing.T, calls []call.Call, want ...string) {
	t.Helper()
	var got []string
	for i := range calls {
		got = append(got, strings.TrimSpace(line(&calls[i])))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("calls:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMix(t *testing.T) {
	calls := decode(t, mix().session, true)
	check(t, calls,
		"1 http/2 GET /a?x=1 [200 200] 2ms",
		"2 http/2 POST /upload [503 503 failed] 1ms",
		"3 grpc POST shop.Cart/Add [OK 0] 1ms",
		"4 grpc POST shop.Cart/Get [OK 0] 1ms",
		"5 grpc POST shop.Cart/Get [UNAVAILABLE 14 failed] 1ms",
		"6 grpc POST shop.Cart/Get [OK 0] 1ms",
		"7 grpc POST shop.Cart/Get [UNAVAILABLE 14 failed] 1ms",
		"8 grpc POST shop.Cart/Get [OK 0] 1ms",
		"9 grpc POST shop.Cart/Get [UNAVAILABLE 14 failed] 1ms",
		"10 grpc POST shop.Cart/Chat [NOT_FOUND 5 failed] -",
		"11 grpc POST shop.Cart/Wait [CANCELLED 1 failed] - no_answer",
		"12 http/2 GET /early [200 200] 2ms",
		"13 http/2 GET /refused [ 0 failed] - no_answer",
		"14 http/2 GET /never [ 0 failed] - no_answer",
	)
	a := calls[0]
	if a.Host != "shop" || a.Path != "/a" || a.Trace != (call.Trace{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"}) {
		t.Errorf("%+v", a)
	}
	if calls[2].Service != "shop.Cart" || calls[2].Path != "/shop.Cart/Add" || !calls[9].Interleaved {
		t.Errorf("%+v", calls[2])
	}
	if d, ok := calls[11].Duration(); !ok || d != 2*time.Millisecond {
		t.Errorf("duration with an informational answer: %v", d)
	}
}

func TestProperties(t *testing.T) { parsetest.Check(t, &h2.Protocol, mix().session) }

// byNumber sorts calls by their numbers.
func byNumber(calls []call.Call) {
	slices.SortFunc(calls, func(a, b call.Call) int { return int(a.N) - int(b.N) })
}
