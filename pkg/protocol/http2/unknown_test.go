package http2_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"mosn.io/tcpcopy/pkg/protocol/call"
	h2 "mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
)

// decodeFrom decodes a connection that has ended, of which the first pieces were not recorded.
func decodeFrom(t *testing.T, s parsetest.Session, from int) []call.Call {
	t.Helper()
	recorder, n := &parsetest.Recorder{}, uint64(0)
	r := parse.NewRunner(&h2.Protocol, parse.Env{Sink: recorder, Memory: 1 << 20, Next: func() uint64 { n++; return n }})
	var offset [2]uint64
	var at time.Time
	for i, p := range s {
		if i >= from {
			if err := r.Data(p.Dir, offset[p.Dir], p.At, p.Data); err != nil {
				t.Fatal(err)
			}
		}
		offset[p.Dir] += uint64(len(p.Data))
		at = p.At
	}
	r.End(parse.End{At: at, Closed: true, Recorded: [2]bool{true, true}})
	return recorder.Calls
}

// Where the content type refers to an entry that was not recorded, what is certain is said all the same.
func TestUnknownContentType(t *testing.T) {
	before := func(t *talk) int {
		t.rpc(1, "Get")
		t.data(in, 1, true, message(""))
		t.answer(1, false, "200", "content-type: application/grpc")
		t.head(out, 1, true, "!grpc-status: 0")
		t.get(3, "/page")
		t.answer(3, true, "200", "content-type: text/html")
		t.pause()
		return len(t.session)
	}
	for _, c := range []struct {
		name string
		make func(*talk)
		want []string
	}{
		{"the status is in the trailers", func(t *talk) {
			t.rpc(101, "Get")
			t.data(in, 101, true, message(""))
			t.answer(101, false, "200", "content-type: application/grpc")
			t.head(out, 101, true, "!grpc-status: 5")
		}, []string{"11 grpc POST  [NOT_FOUND 5 failed] 1ms unknown_fields"}},
		{"the status is in the head, as gRPC-Web has it", func(t *talk) {
			t.rpc(101, "Get")
			t.data(in, 101, true, message(""))
			t.answer(101, true, "200", "content-type: application/grpc", "!grpc-status: 5")
		}, []string{"11 http/2 POST  [200 200] 1ms unknown_fields"}},
		{"the content type of the answer is another one", func(t *talk) {
			t.rpc(101, "Get")
			t.data(in, 101, true, message(""))
			t.answer(101, false, "200", "!content-type: text/plain")
			t.head(out, 101, true, "!grpc-status: 5")
		}, []string{"11 http/2 POST  [200 200] 1ms unknown_fields"}},
		{"a reset before the trailers", func(t *talk) {
			t.post(101, "/shop.Cart/Get", "!content-type: application/grpc")
			t.data(in, 101, true, message(""))
			t.answer(101, false, "200", "content-type: application/grpc")
			t.reset(in, 101, http2.ErrCodeCancel)
		}, []string{"11 grpc POST  [CANCELLED 1 failed] 1ms unknown_fields"}},
		{"the connection ends before the trailers", func(t *talk) {
			t.post(101, "/shop.Cart/Get", "!content-type: application/grpc")
			t.data(in, 101, true, message(""))
			t.answer(101, false, "200", "content-type: application/grpc")
		}, []string{"11 grpc POST  [ 0 failed] 1ms unknown_fields"}},
		{"trailers that are unknown", func(t *talk) {
			t.post(101, "/shop.Cart/Get", "!content-type: application/grpc")
			t.data(in, 101, true, message(""))
			t.answer(101, false, "200", "!content-type: application/grpc")
			t.head(out, 101, true, "content-type: text/html")
		}, []string{"11 grpc POST  [ 0] 1ms unknown_fields"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			talk := newTalk()
			from := before(talk)
			// Streams that show where the frames are.
			for id := uint32(5); id < 25; id += 2 {
				talk.get(id, "/more")
				talk.answer(id, true, "200")
			}
			c.make(talk)
			var calls []call.Call
			for _, of := range decodeFrom(t, talk.session, from) {
				if of.Request.Present && of.Method == http.MethodPost {
					calls = append(calls, of)
				}
			}
			check(t, calls, c.want...)
		})
	}
}

// Nothing of a connection that is recorded from its middle on was lost: what is not certain is so because of what
// came before.
func TestMiddleIsNoGap(t *testing.T) {
	talk := newTalk()
	talk.get(1, "/before")
	talk.answer(1, false, "200")
	talk.data(out, 1, false, strings.Repeat("x", 3000))
	talk.pause()
	from := len(talk.session)
	for id := uint32(3); id < 43; id += 2 {
		talk.get(id, fmt.Sprint("/a", id))
		talk.answer(id, true, "200")
	}
	check := func(s parsetest.Session, first string) {
		t.Helper()
		calls := decodeFrom(t, s, from)
		if len(calls) != 20 {
			t.Fatalf("%d calls", len(calls))
		}
		for i := range calls {
			want := ""
			if i < 2 { // what came until it was clear where the frames are
				want = first
			}
			if got := strings.Join((calls[i].Incomplete &^ call.UnknownFields).Words(), ","); got != want || calls[i].Status != "200" {
				t.Errorf("call %s: %q, want %q", line(&calls[i]), got, want)
			}
		}
	}
	check(talk.session, "")

	// The answers begin within a frame, of which the end came when the first request had come.
	s := slices.Clone(talk.session)
	cut := &s[from+1]
	if cut.Dir != out {
		t.Fatal("the first piece of the answers is elsewhere")
	}
	tail := append([]byte(nil), s[from-1].Data...)
	tail = tail[len(tail)-100:]
	s[from-1].Data = s[from-1].Data[:len(s[from-1].Data)-100]
	cut.Data = append(tail, cut.Data...)
	check(s, "began_before")
}
