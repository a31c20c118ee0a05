package http2_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"mosn.io/tcpcopy/internal/protocol"
	prot "mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// frame is a frame made by hand.
func frame(typ, flags byte, stream uint32, payload string) string {
	n := len(payload)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), typ, flags}
	return string(binary.BigEndian.AppendUint32(b, stream)) + payload
}

// Each of these is a connection that has ended.
func TestCalls(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*talk)
		want []string
	}{
		{"an answer to a request that goes on", func(t *talk) {
			t.post(1, "/big")
			t.data(in, 1, false, "part")
			t.answer(1, true, "413")
			t.reset(out, 1, http2.ErrCodeNo)
		}, []string{"1 http/2 POST /big [413 413] -"}},
		{"a reset after the whole answer", func(t *talk) {
			t.post(1, "/big")
			t.answer(1, true, "200")
			t.reset(in, 1, http2.ErrCodeCancel)
		}, []string{"1 http/2 POST /big [200 200] -"}},
		{"the client cancels", func(t *talk) {
			t.get(1, "/slow")
			t.answer(1, false, "200")
			t.data(out, 1, false, "a")
			t.reset(in, 1, http2.ErrCodeCancel)
			t.data(out, 1, false, "still on its way")
			t.data(out, 1, true, "and this")
			t.get(3, "/next")
			t.answer(3, true, "204")
		}, []string{"1 http/2 GET /slow [200 200] 1ms", "2 http/2 GET /next [204 204] 1ms"}},
		{"the server resets", func(t *talk) {
			t.get(1, "/broken")
			t.answer(1, false, "200")
			t.reset(out, 1, http2.ErrCodeInternal)
		}, []string{"1 http/2 GET /broken [200 200 failed] 1ms"}},
		{"informational answers", func(t *talk) {
			t.get(1, "/a")
			t.answer(1, false, "103", "link: </a.css>")
			t.answer(1, false, "100")
			t.pause()
			t.answer(1, true, "200")
		}, []string{"1 http/2 GET /a [200 200] 2ms"}},
		{"nothing but an informational answer", func(t *talk) {
			t.get(1, "/a")
			t.answer(1, false, "103", "link: </a.css>")
		}, []string{"1 http/2 GET /a [ 0 failed] - no_answer"}},
		{"an answer that is cut off", func(t *talk) {
			t.get(1, "/a")
			t.answer(1, false, "200")
		}, []string{"1 http/2 GET /a [200 200 failed] 1ms"}},
		{"trailers of both", func(t *talk) {
			t.post(1, "/a")
			t.data(in, 1, false, "a")
			t.head(in, 1, true, "x-sum: 1")
			t.answer(1, false, "200")
			t.data(out, 1, false, "b")
			t.head(out, 1, true, "x-sum: 2")
		}, []string{"1 http/2 POST /a [200 200] 1ms"}},
		{"CONNECT", func(t *talk) {
			t.head(in, 1, false, ":method: CONNECT", ":authority: db:5432")
			t.answer(1, false, "200")
			t.data(in, 1, false, "hello")
			t.data(out, 1, true, "bye")
			t.data(in, 1, true, "")
		}, []string{"1 http/2 CONNECT db:5432 [200 200] -"}},
		{"extended CONNECT", func(t *talk) {
			t.head(in, 1, false, ":method: CONNECT", ":protocol: websocket", ":scheme: https", ":path: /chat", ":authority: shop")
			t.answer(1, false, "200")
			t.data(in, 1, true, "hello")
			t.data(out, 1, true, "bye")
		}, []string{"1 http/2 CONNECT /chat [200 200] -"}},
		{"a request of no use to the server any more", func(t *talk) {
			t.get(1, "/a")
			t.get(3, "/b")
			t.answer(1, false, "200")
			t.frames(out, func(f *http2.Framer) error { return f.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil) })
			t.frames(out, func(f *http2.Framer) error { return f.WriteGoAway(1, http2.ErrCodeNo, []byte("bye")) })
			t.rpc(5, "Late")
			t.data(out, 1, true, "done")
		}, []string{"1 http/2 GET /a [200 200] 1ms", "2 http/2 GET /b [ 0 failed] - no_answer", "3 grpc POST shop.Cart/Late [UNAVAILABLE 14 failed] - no_answer"}},
		{"a promise", func(t *talk) {
			t.get(1, "/a")
			block := t.fields(out, ":method: GET", ":scheme: http", ":path: /a.css", ":authority: shop")
			t.frames(out, func(f *http2.Framer) error {
				return f.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: block, EndHeaders: true})
			})
			t.pause()
			t.answer(1, true, "200")
			t.pause()
			t.answer(2, false, "200")
			t.data(out, 2, true, "css")
		}, []string{"1 http/2 GET /a [200 200] 2ms", "2 http/2 GET /a.css [200 200] 2ms"}},
		{"frames and flags that are not known", func(t *talk) {
			t.raw(in, frame(0xb7, 0xff, 9, "grease"))
			t.get(1, "/a")
			t.raw(out, frame(10, 0, 0, "\x00\x00h2=\":1\"")+frame(12, 0, 0, "")+frame(16, 0, 0, "\x00\x00\x00\x01u=1"))
			t.raw(out, frame(protocol.HTTP2Ping, 0xfe, 0, "12345678")+frame(protocol.HTTP2Priority, 0, 1, "12345"))
			t.answer(1, true, "200")
		}, []string{"1 http/2 GET /a [200 200] 1ms"}},
		{"a status without an answer in words", func(t *talk) {
			t.rpc(1, "Get")
			t.data(in, 1, true, message(""))
			t.answer(1, true, "503", "content-type: text/html")
		}, []string{"1 grpc POST shop.Cart/Get [UNAVAILABLE 14 failed] 1ms"}},
		{"no status of gRPC", func(t *talk) {
			t.rpc(1, "Get")
			t.data(in, 1, true, message(""))
			t.answer(1, false, "200", "content-type: application/grpc")
			t.data(out, 1, true, message(""))
		}, []string{"1 grpc POST shop.Cart/Get [UNKNOWN 2 failed] 1ms"}},
		{"a connection that ends before the status of gRPC", func(t *talk) {
			t.rpc(1, "Get")
			t.data(in, 1, true, message(""))
			t.answer(1, false, "200", "content-type: application/grpc")
			t.data(out, 1, false, message(""))
		}, []string{"1 grpc POST shop.Cart/Get [ 0 failed] 1ms"}},
		{"a call of gRPC by its answer", func(t *talk) {
			t.head(in, 1, true, ":method: POST", ":path: /a/shop.Cart/Get?x=1", ":scheme: http", "host: shop")
			t.answer(1, true, "200", "content-type: application/grpc;x=1", "grpc-status: 99")
		}, []string{"1 grpc POST a/shop.Cart/Get [99 99 failed] 1ms"}},
		{"gRPC-Web", func(t *talk) {
			t.head(in, 1, true, ":method: POST", ":path: /shop.Cart/Get", ":scheme: http", "content-type: application/grpc-web+proto")
			t.answer(1, true, "200", "content-type: application/grpc-web+proto")
		}, []string{"1 http/2 POST /shop.Cart/Get [200 200] 1ms"}},
		{"gRPC is refused and reset", func(t *talk) {
			t.rpc(1, "A")
			t.reset(out, 1, http2.ErrCodeRefusedStream)
			t.rpc(3, "B")
			t.reset(in, 3, http2.ErrCodeCancel)
			t.rpc(5, "C")
			t.reset(out, 5, http2.ErrCodeEnhanceYourCalm)
			t.rpc(7, "D")
			t.answer(7, true, "200", "content-type: application/grpc", "grpc-status: 0")
			t.reset(out, 7, http2.ErrCodeNo)
		}, []string{
			"1 grpc POST shop.Cart/A [UNAVAILABLE 14 failed] - no_answer", "2 grpc POST shop.Cart/B [CANCELLED 1 failed] - no_answer",
			"3 grpc POST shop.Cart/C [RESOURCE_EXHAUSTED 8 failed] - no_answer", "4 grpc POST shop.Cart/D [OK 0] -",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			talk := newTalk()
			c.make(talk)
			calls := decode(t, talk.session, true)
			byNumber(calls)
			check(t, calls, c.want...)
			parsetest.Cuts(t, &h2.Protocol, talk.session)
			parsetest.Checkpoints(t, &h2.Protocol, talk.session)
			if !strings.Contains(c.name, "by its answer") {
				parsetest.Middle(t, &h2.Protocol, talk.session)
			}
			parsetest.Spans(t, &h2.Protocol, talk.session)
		})
	}
}

// The fields of a promise are said to be the request's.
func TestPromiseSpans(t *testing.T) {
	talk := newTalk()
	talk.get(1, "/a")
	block := talk.fields(out, ":method: GET", ":scheme: http", ":path: /a.css?v=1", ":authority: shop", "accept: text/css")
	talk.frames(out, func(f *http2.Framer) error {
		return f.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: block, EndHeaders: true})
	})
	talk.answer(1, true, "200")
	talk.answer(2, true, "200")
	r, err := parsetest.Decode(&h2.Protocol, talk.session, true)
	if err != nil {
		t.Fatal(err)
	}
	promised := 0
	for _, s := range r.Spans {
		if want := s.Direction == out && s.Kind != call.KindStatus; s.Promise != want {
			t.Errorf("span %+v", s)
		} else if want {
			promised++
		}
	}
	if promised != 6 { // with the value of the query
		t.Errorf("%d values of the promise", promised)
	}
}

// The sizes of messages are those of their own frames, whatever lies between them.
func TestSizes(t *testing.T) {
	talk := newTalk()
	talk.get(1, "/a")
	talk.get(3, "/b")
	before := len(talk.session)
	talk.pause()
	var want [2]int
	add := func(i int, f func()) {
		piece, n := len(talk.session), 0
		if piece > before {
			n = len(talk.session[piece-1].Data)
		}
		f()
		want[i] += len(talk.session[len(talk.session)-1].Data) - n
	}
	add(0, func() { talk.answer(1, false, "200") })
	add(1, func() { talk.answer(3, false, "200", "x-long: "+strings.Repeat("v", 100)) })
	add(0, func() { talk.data(out, 1, false, strings.Repeat("a", 500)) })
	add(1, func() {
		talk.raw(out, frame(protocol.HTTP2Data, protocol.HTTP2Padded, 3, "\x09"+strings.Repeat("b", 300)+strings.Repeat("\x00", 9)))
	})
	add(0, func() { talk.data(out, 1, true, "end") })
	add(1, func() { talk.head(out, 3, true, "x-sum: 1") })
	calls := decode(t, talk.session, true)
	byNumber(calls)
	for i := range calls {
		if m := &calls[i].Response; m.Size() != uint64(want[i]) || m.Between == 0 {
			t.Errorf("call %s: %d bytes, want %d", line(&calls[i]), m.Size(), want[i])
		}
		if m := &calls[i].Request; m.Between != 0 || m.Size() != m.Length {
			t.Errorf("call %s: request %+v", line(&calls[i]), m)
		}
	}
	parsetest.Check(t, &h2.Protocol, talk.session)
}

// What is open when the window ends has not failed.
func TestWindowEnds(t *testing.T) {
	talk := newTalk()
	talk.get(1, "/a")
	talk.get(3, "/b")
	talk.answer(3, false, "200")
	talk.rpc(5, "Get")
	talk.answer(5, false, "200", "content-type: application/grpc")
	check(t, decode(t, talk.session, false),
		"1 http/2 GET /a [ 0] - cut_by_window,no_answer",
		"2 http/2 GET /b [200 200] 1ms cut_by_window",
		"3 grpc POST shop.Cart/Get [ 0] - cut_by_window",
	)
}

// An answer to a request of HTTP/1.1 that asks for HTTP/2.
func TestUpgrade(t *testing.T) {
	talk := newTalk()
	before := parsetest.Talk(
		">GET /old?x=1 HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
	)
	talk.answer(1, false, "200")
	talk.data(out, 1, true, "hello")
	talk.get(3, "/new")
	talk.answer(3, true, "503")
	r := &parsetest.Recorder{}
	d := prot.New(r, prot.Limits{})
	give(d, append(before, talk.session...))
	check(t, r.Calls, "1 http/2 GET /old?x=1 [200 200] 4ms", "2 http/2 GET /new [503 503 failed] 1ms")
	if c := r.Calls[0]; c.Host != "shop" || c.Request.Offset != 0 || c.Response.Offset != 0 || !c.Response.HasBody {
		t.Errorf("%+v", c)
	}
}

// give gives a whole connection to a decoder.
func give(d prot.Decoder, s parsetest.Session) {
	var totals record.PerDirection
	var offset [2]uint64
	at := time.Time{}
	for _, p := range s {
		d.Data(p.Dir, offset[p.Dir], p.At, p.Data)
		offset[p.Dir] += uint64(len(p.Data))
		at = p.At
	}
	totals.In, totals.Out = offset[in], offset[out]
	d.Close(at, record.CloseRemote, totals)
	d.End(at)
}

// The decoder knows HTTP/2 by its first bytes, by those of the server alone, and from its middle on.
func TestDetection(t *testing.T) {
	s := chatty(5, 60)
	whole := len(decode(t, s, true))
	for _, c := range []struct {
		name  string
		from  int
		least int
	}{{"beginning", 0, whole}, {"middle", len(s) / 2, whole / 3}} {
		r := &parsetest.Recorder{}
		d := prot.New(r, prot.Limits{})
		var base record.PerDirection
		for _, p := range s[:c.from] {
			base = base.Plus(of(p.Dir, uint64(len(p.Data))))
		}
		d.Open(base)
		at := base
		for _, p := range s[c.from:] {
			d.Data(p.Dir, at.Of(p.Dir), p.At, p.Data)
			at = at.Plus(of(p.Dir, uint64(len(p.Data))))
		}
		d.End(parsetest.Start)
		if d.Protocol() != call.HTTP2 || len(r.Calls) < c.least {
			t.Errorf("from the %s on: %q, %d calls", c.name, d.Protocol(), len(r.Calls))
		}
	}
	for text, want := range map[string]parse.Verdict{
		"": parse.Maybe, "PRI": parse.Maybe, protocol.HTTP2Preface[:16]: parse.Yes, protocol.HTTP2Preface: parse.Yes, "PRINT": parse.No, "GET / HTTP/1.1": parse.No,
	} {
		if got := h2.Protocol.Begins(in, []byte(text)); got != want {
			t.Errorf("%q from the client: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]parse.Verdict{
		"": parse.Maybe, "\x00\x00": parse.Maybe, "\x00\x00\x12\x04": parse.Maybe, "\x00\x00\x00\x04\x00\x00\x00\x00\x00": parse.Yes,
		"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00": parse.Maybe, "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64": parse.Yes,
		// Kafka's answer of 1540 bytes to request 0.
		"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x3c\x00\x00\x00": parse.No,
		"\x00\x00\x11\x04": parse.No, "\x00\x00\x12\x04\x01": parse.No, "HTTP/1.1": parse.No,
	} {
		if got := h2.Protocol.Begins(out, []byte(text)); got != want {
			t.Errorf("%q from the server: %v, want %v", text, got, want)
		}
	}
}

func of(dir record.Direction, n uint64) record.PerDirection {
	if dir == in {
		return record.PerDirection{In: n}
	}
	return record.PerDirection{Out: n}
}

// What is not HTTP/2 is not recognised as it.
func TestNoFrames(t *testing.T) {
	for name, rest := range map[string]string{
		"HTTP/1.1":                     "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
		"a block within another":       frame(protocol.HTTP2Headers, 0, 1, "\x88") + frame(protocol.HTTP2Data, 0, 1, "x"),
		"a continuation of nothing":    frame(protocol.HTTP2Continuation, 4, 1, "\x88"),
		"a ping of another length":     frame(protocol.HTTP2Ping, 0, 0, "1234567"),
		"data of no stream":            frame(protocol.HTTP2Data, 0, 0, "x"),
		"padding longer than its data": frame(protocol.HTTP2Data, protocol.HTTP2Padded, 1, "\x05abcd"),
	} {
		talk := newTalk()
		talk.get(1, "/a")
		talk.raw(out, rest)
		if _, err := parsetest.Decode(&h2.Protocol, talk.session, true); err == nil {
			t.Errorf("%s is recognised as HTTP/2", name)
		}
	}
	if _, err := parsetest.Decode(&h2.Protocol, parsetest.Talk(">"+strings.Replace(protocol.HTTP2Preface, "SM", "XX", 1)), true); err == nil {
		t.Error("another preface is recognised as that of HTTP/2")
	}
}
