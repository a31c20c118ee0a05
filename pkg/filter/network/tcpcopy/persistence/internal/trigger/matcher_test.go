package trigger

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// feed is a matcher with what came of it, and with the connections that it is fed.
type feed struct {
	t      testing.TB
	set    *Set
	m      *Matcher
	events []Event
	next   map[uint32]*[2]uint64
	at     int64
}

func newFeed(t testing.TB, o Options, triggers ...Trigger) *feed {
	t.Helper()
	set, err := Compile(triggers, o)
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{t: t, set: set, next: map[uint32]*[2]uint64{}, at: parsetest.Start.UnixNano()}
	f.m = set.NewMatcher(f.fire)
	t.Cleanup(func() {
		f.m.Stop()
		if memory, open := f.set.memory.Load(), f.set.connections.Load(); memory != 0 || open != 0 {
			t.Errorf("after Stop %d bytes of %d connections are accounted", memory, open)
		}
	})
	return f
}

func (f *feed) fire(e Event) { f.events = append(f.events, e) }

func connOf(slot uint32) string { return fmt.Sprintf("k3v9qa-%d", slot) }

func endpoint(slot uint32) *record.Endpoint {
	return &record.Endpoint{Identity: record.Identity{Conn: connOf(slot), Port: "2046", Network: "tcp", Peer: fmt.Sprintf("10.0.0.1:%d", slot), Listener: "10.0.0.5:2046"}}
}

func (f *feed) open(slot uint32, base ...uint64) {
	next := [2]uint64{}
	copy(next[:], base)
	f.next[slot] = &next
	f.m.Open(slot, endpoint(slot), record.PerDirection{In: next[0], Out: next[1]}, f.at)
}

func (f *feed) data(slot uint32, dir record.Direction, p []byte) {
	if f.next[slot] == nil {
		f.open(slot)
	}
	own := append([]byte(nil), p...)
	f.m.Data(slot, dir, f.next[slot][dir], f.at, own)
	for i := range own { // it must not be kept
		own[i] = 0xee
	}
	f.next[slot][dir] += uint64(len(p))
}

func (f *feed) gap(slot uint32, dir record.Direction, n int) {
	f.m.Gap(slot, dir, f.next[slot][dir], uint64(n), record.ReasonBufferFull, f.at)
	f.next[slot][dir] += uint64(n)
}

// talk feeds texts that begin with ">" or "<", a millisecond apart.
func (f *feed) talk(slot uint32, texts ...string) {
	for _, text := range texts {
		dir, _ := record.ParseArrow(text[0])
		f.data(slot, dir, []byte(text[1:]))
		f.at += 1e6
	}
}

func (f *feed) close(slot uint32, reason record.CloseReason) {
	next := f.next[slot]
	f.m.Close(slot, reason, record.PerDirection{In: next[0], Out: next[1]}, f.at)
	delete(f.next, slot)
}

// later lets time pass, in which the matcher looks a few times.
func (f *feed) later(d time.Duration) {
	for until := f.at + int64(d); f.at < until; {
		f.at = min(f.at+int64(200*time.Millisecond), until)
		f.m.Tick(f.at)
	}
}

// names returns the names of the triggers of all events so far, in their order, and
// forgets them.
func (f *feed) names() string {
	var all []string
	for _, e := range f.events {
		name := f.set.Name(e.Trigger)
		if e.Count != 1 {
			name += fmt.Sprintf("×%d", e.Count)
		}
		all = append(all, name)
	}
	f.events = nil
	return strings.Join(all, " ")
}

func (f *feed) want(names string) {
	f.t.Helper()
	if got := f.names(); got != names {
		f.t.Fatalf("events %q, want %q", got, names)
	}
}

const (
	get = "GET /a?b=1 HTTP/1.1\r\nHost: shop\r\nX-Request-Id: 77\r\n\r\n"
	ok  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	bad = "HTTP/1.1 503 No\r\nContent-Length: 7\r\n\r\ntimeout"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{},
		Trigger{Name: "in", Bytes: []string{"-----BEGIN"}, Direction: "in"},
		Trigger{Name: "out", Bytes: []string{"-----BEGIN", "\\x00\\xff\\r\\n"}, Direction: "out"},
		Trigger{Name: "both", Bytes: []string{"BEGIN"}})
	f.talk(1, ">x-----BEGINx")
	f.want("in both")
	f.talk(1, "<-----BE")
	f.talk(2, "<GIN") // of another connection
	f.talk(1, ">GIN") // of the other direction
	f.want("")
	f.talk(1, "<GIN \x00")
	f.want("out both")
	f.talk(1, "<\xff\r\n")
	f.want("out")
	f.talk(1, ">BEGINBEGIN-----BEGIN")
	f.want("in both×3")

	// A gap is between what came before and what comes after.
	f.talk(1, "<-----BE")
	f.gap(1, record.Out, 3)
	f.talk(1, "<GIN")
	f.want("")
	f.talk(1, "<-----BE")
	f.gap(1, record.In, 3) // of the other direction
	f.talk(1, "<GIN")
	f.want("out both")

	// A slot that is used again begins anew.
	f.talk(1, "<-----BE")
	f.close(1, record.CloseRemote)
	f.talk(1, "<GIN")
	f.want("")
	f.m.Data(77, record.In, 0, f.at, []byte("BEGIN")) // of no connection
	f.want("")

	st := f.set.Status()
	if st.Triggers[0].Fired != 2 || st.Triggers[1].Fired != 3 || st.Triggers[2].Fired != 6 {
		t.Errorf("status %+v", st)
	}
}

func TestEventsOfBytes(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "p", Bytes: []string{"panic: "}})
	f.talk(7, "<ok", "<panic: x")
	if len(f.events) != 1 {
		t.Fatalf("events %+v", f.events)
	}
	if e := f.events[0]; e.Slot != 7 || e.Conn != "k3v9qa-7" || e.Time != parsetest.Start.UnixNano()+1e6 || e.Call != nil || e.Count != 1 {
		t.Errorf("event %+v", e)
	}
	if st := f.set.Status().Triggers[0]; !st.Last.Equal(parsetest.Start.Add(time.Millisecond)) {
		t.Errorf("last %v", st.Last)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "resets", Close: []record.CloseReason{record.CloseReadError, record.CloseWriteTimeout}}, Trigger{Name: "remote", Close: []record.CloseReason{record.CloseRemote}})
	for _, c := range []struct {
		reason record.CloseReason
		want   string
	}{{record.CloseReadError, "resets"}, {record.CloseWriteTimeout, "resets"}, {record.CloseRemote, "remote"}, {record.CloseWriteError, ""}, {record.CloseMoved, ""}} {
		f.talk(1, ">x")
		f.close(1, c.reason)
		f.want(c.want)
	}
}

func TestWhere(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "errors", Where: "failed"}, Trigger{Name: "path", Where: `path == "/a" and code == 200`},
		Trigger{Name: "id", Where: `request.headers["x-request-id"] == "77" and failed`}, Trigger{Name: "body", Where: `response.body contains "timeout"`},
		Trigger{Name: "conn", Where: `conn == "k3v9qa-2" and peer == "10.0.0.1:2" and port == "2046"`})
	f.talk(1, ">"+get, "<"+ok)
	f.want("path")
	f.talk(1, ">"+get, "<"+bad)
	f.want("errors id body")
	f.talk(2, ">"+get[:20], ">"+get[20:], "<"+ok[:20], "<"+ok[20:], ">"+get)
	f.want("path conn")
	f.close(2, record.CloseRemote)
	f.want("errors id conn")
	f.talk(3, ">"+get+get+get, "<"+ok+bad)
	f.want("path errors id body")
	f.close(3, record.CloseRemote)
	f.want("errors id")
}

func TestCause(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "errors", Where: "failed or latency > 2s"})
	f.talk(4, ">"+get, "<"+ok, ">"+get, "<"+bad)
	if len(f.events) != 1 || f.events[0].Call == nil {
		t.Fatalf("events %+v", f.events)
	}
	c := f.events[0].Call
	if c.ID != "k3v9qa-4#2" || c.Protocol != "http/1.1" || c.Status != "503" || !c.Failed || c.LatencyMS == nil || *c.LatencyMS != 1 || !c.Time.Equal(parsetest.Start.Add(2*time.Millisecond)) {
		t.Errorf("call %+v", c)
	}
	f.events = nil
	f.talk(4, ">"+get)
	f.later(3 * time.Second)
	if len(f.events) != 1 {
		t.Fatalf("events %+v", f.events)
	}
	if c := f.events[0].Call; c.ID != "k3v9qa-4#3" || c.Status != "" || c.Failed || c.LatencyMS == nil || *c.LatencyMS < 2000 {
		t.Errorf("call without an answer %+v", c)
	}
}

// A call without an answer is evaluated when its time passes each literal, and meets a trigger
// once.
func TestCallsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{},
		Trigger{Name: "2s", Where: "latency > 2s"},
		Trigger{Name: "between", Where: "latency > 1s and latency < 1500ms"},
		Trigger{Name: "either", Where: "latency >= 500ms and path == \"/none\" or latency > 4s"},
		Trigger{Name: "half", Where: "latency / 2 > 2s"},
		Trigger{Name: "answered", Where: `latency > 1s and "no_answer" not in incomplete`},
		Trigger{Name: "slow post", Where: `latency > 1s and method == "POST" and request.body contains "x1"`})
	f.talk(1, ">"+get, "<"+ok, ">"+get)
	f.later(900 * time.Millisecond)
	f.want("")
	f.later(400 * time.Millisecond)
	f.want("between")
	f.later(600 * time.Millisecond)
	f.want("")
	f.later(400 * time.Millisecond)
	f.want("2s")
	f.later(time.Second)
	f.want("")
	f.later(3 * time.Second)
	slices.SortFunc(f.events, func(a, b Event) int { return a.Trigger - b.Trigger })
	f.want("either half")
	f.talk(1, "<"+ok) // each has been met once
	f.want("answered")

	// It does not matter how seldom the matcher looks.
	f.talk(1, ">"+get)
	f.at += int64(time.Hour)
	f.m.Tick(f.at)
	slices.SortFunc(f.events, func(a, b Event) int { return a.Trigger - b.Trigger })
	f.want("2s between either half")
	f.talk(1, "<"+ok, ">"+get, "<"+ok)
	f.want("answered")

	// The time is that since the last byte of the request.
	f.talk(1, ">POST /x HTTP/1.1\r\nContent-Length: 4\r\n\r\n")
	f.later(3 * time.Second)
	f.talk(1, ">x1x2")
	f.want("")
	f.later(1200 * time.Millisecond)
	slices.SortFunc(f.events, func(a, b Event) int { return a.Trigger - b.Trigger })
	f.want("between slow post")
	f.talk(1, "<"+bad)
	f.want("answered")
}

// An answer that may have been lost, or that nobody records, is not waited for.
func TestUnknownAnswersAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{Answers: func(e *record.Endpoint) bool { return e.Conn != connOf(2) }}, Trigger{Name: "slow", Where: "latency > 1s"}, Trigger{Name: "failed", Where: "failed"})
	f.talk(1, ">"+get)
	f.gap(1, record.Out, 10)
	f.talk(2, ">"+get)
	f.later(3 * time.Second)
	f.want("")
	f.m.Close(2, record.CloseRemote, record.PerDirection{In: f.next[2][0], Out: 1000}, f.at)
	f.want("")
}

// What a server that never answers was asked is not known to be of any protocol.
func TestServersThatNeverAnswer(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "slow", Where: "latency > 1s"})
	f.talk(1, ">\x01\x02\x03\x04")
	f.talk(2, ">*1\r\n$4\r\nPING\r\n")
	f.talk(3, ">GET / HTTP/1.1\r\nHost:") // the request has not ended
	f.later(3 * time.Second)
	f.want("slow slow")
}

// The calls that meet a condition are those that the tool lists for it, in all protocols,
// however the bytes are cut.
func TestTheSameCallsAsTheTool(t *testing.T) {
	t.Parallel()
	conditions := []string{
		"failed", "not failed", "latency > 1ms", "duration > 500us and status != \"\"", `target contains "t" or request.length > 50B`, `protocol == "mysql" and failed`,
		`protocol in ["redis", "dubbo"] and not failed`, `"no_answer" in incomplete`, `len(request.body) > 20B or len(response.body) > 10B`, `service != "" and code != 0`,
	}
	files, err := filepath.Glob("../../../../../../protocol/*/testdata/*.talk")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d sessions, %v", len(files), err)
	}
	met := map[string]int{}
	for _, file := range files {
		session := parsetest.Load(t, file)
		for round := range 3 {
			random := rand.New(rand.NewPCG(uint64(round), 9))
			var triggers []Trigger
			for i, where := range conditions {
				triggers = append(triggers, Trigger{Name: fmt.Sprint(i), Where: where})
			}
			f := newFeed(t, Options{}, triggers...)
			for _, p := range session {
				f.at = p.At.UnixNano()
				for data := p.Data; len(data) > 0; {
					n := len(data)
					if round > 0 {
						n = 1 + random.IntN(min(n, 1<<(4*round)))
					}
					f.data(5, p.Dir, data[:n])
					data = data[n:]
				}
			}
			f.close(5, record.CloseRemote)
			got := map[string]bool{}
			for _, e := range f.events {
				key := fmt.Sprintf("%s %s", conditions[e.Trigger], e.Call.ID)
				if got[key] {
					t.Fatalf("%s: %s has met it twice", file, key)
				}
				got[key] = true
			}
			want := callsOf(t, session, conditions)
			for key := range want {
				if !got[key] {
					t.Errorf("%s, round %d: %s has not met it", file, round, key)
				}
				met[key[:4]]++
			}
			for key := range got {
				if !want[key] {
					t.Errorf("%s, round %d: %s has met it", file, round, key)
				}
			}
		}
	}
	for _, where := range conditions {
		if met[where[:4]] == 0 {
			t.Errorf("no call has met %s", where)
		}
	}
}

// everything is a sink that keeps all contents.
type everything struct {
	calls    []call.Call
	contents map[uint64]*content
	plan     plan
}

func (e *everything) Call(c *call.Call) { e.calls = append(e.calls, *c) }
func (e *everything) Span(s call.Span) {
	if e.contents[s.Call] == nil {
		e.contents[s.Call] = &content{}
	}
	e.contents[s.Call].add(&e.plan, &s)
}

// callsOf returns which conditions the calls of a session meet.
func callsOf(t *testing.T, s parsetest.Session, conditions []string) map[string]bool {
	t.Helper()
	sink := &everything{contents: map[uint64]*content{}, plan: plan{bodies: [2]bool{true, true}, headers: [2][]string{codingFields, codingFields}}}
	d := protocol.New(sink, protocol.Limits{})
	var next [2]uint64
	var at time.Time
	for _, p := range s {
		d.Data(p.Dir, next[p.Dir], p.At, p.Data)
		next[p.Dir] += uint64(len(p.Data))
		at = p.At
	}
	d.Close(at, record.CloseRemote, record.PerDirection{In: next[0], Out: next[1]})
	d.End(at)
	met := map[string]bool{}
	for _, where := range conditions {
		q, err := query.Compile(where)
		if err != nil {
			t.Fatal(err)
		}
		e := q.Evaluator()
		for i := range sink.calls {
			c := &sink.calls[i]
			one := query.Call{Call: c, Identity: &endpoint(5).Identity, Content: &contentOf{content: sink.contents[c.N], call: c}}
			if matched, _ := e.Match(&one); matched {
				met[where+" "+one.ID()] = true
			}
		}
	}
	return met
}

func TestBodiesAreDecoded(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte("a timeout of the shop")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	answer := func(encoding, body string) string {
		return fmt.Sprintf("<HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", encoding, len(body)/2, body[:len(body)/2], len(body)-len(body)/2, body[len(body)/2:])
	}
	f := newFeed(t, Options{}, Trigger{Name: "body", Where: `response.body contains "timeout"`})
	f.talk(1, ">"+get, answer("gzip", zipped.String()))
	f.want("body")
	f.talk(1, ">"+get, answer("identity", "a timeout"))
	f.want("body")
	f.talk(1, ">"+get, answer("br", "a timeout"))
	f.want("")
	f.talk(1, ">"+get, answer("identity", strings.Repeat("x", maxBody)+"timeout"))
	f.want("")
	if st := f.set.Status().Triggers[0]; st.Unknown != 2 || st.Fired != 2 {
		t.Errorf("status %+v", st)
	}
	if held := f.m.connections[1].decoding.held; held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// grpcCall returns the frames of a call and of its answer.
func grpcCall(t testing.TB, henc *hpack.Encoder, block *bytes.Buffer, stream uint32, path, status, message string) (request, answer string) {
	t.Helper()
	fields := func(pairs ...string) []byte {
		block.Reset()
		for i := 0; i < len(pairs); i += 2 {
			if err := henc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}); err != nil {
				t.Fatal(err)
			}
		}
		return bytes.Clone(block.Bytes())
	}
	data := append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	var out bytes.Buffer
	framer := http2.NewFramer(&out, nil)
	check := func(errs ...error) {
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	check(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, BlockFragment: fields(":method", "POST", ":scheme", "http", ":path", path, ":authority", "shop", "content-type", "application/grpc")}),
		framer.WriteData(stream, true, data))
	request = out.String()
	out.Reset()
	plain := func(pairs ...string) []byte { // the answers' table stays empty
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		e.SetMaxDynamicTableSize(0)
		for i := 0; i < len(pairs); i += 2 {
			check(e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
		}
		return b.Bytes()
	}
	check(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, BlockFragment: plain(":status", "200", "content-type", "application/grpc")}),
		framer.WriteData(stream, false, data),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, EndHeaders: true, EndStream: true, BlockFragment: plain("grpc-status", status)}))
	return request, out.String()
}

func preface(t testing.TB) string {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	if err := http2.NewFramer(&b, nil).WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "unavailable", Where: `protocol == "grpc" and code == 14`}, Trigger{Name: "slow", Where: `latency > 2s and target contains ".Cart/"`}, Trigger{Name: "body", Where: `response.body contains "milk"`})
	var block bytes.Buffer
	henc := hpack.NewEncoder(&block)
	f.talk(1, ">"+preface(t))
	hung, _ := grpcCall(t, henc, &block, 1, "/shop.Cart/Get", "0", "x")
	f.talk(1, ">"+hung)
	for stream := uint32(3); stream < 40; stream += 2 { // the connection is busy meanwhile
		status := "0"
		if stream == 21 {
			status = "14"
		}
		request, answer := grpcCall(t, henc, &block, stream, "/shop.Cart/Add", status, "eggs")
		f.talk(1, ">"+request, "<"+answer)
		f.later(100 * time.Millisecond)
	}
	f.want("unavailable")
	f.later(time.Second)
	f.want("slow")
	request, answer := grpcCall(t, henc, &block, 41, "/shop.Cart/Add", "0", "milk")
	f.talk(1, ">"+request, "<"+answer)
	f.want("body")

	// From a checkpoint everything is known, in the middle not.
	state := f.m.Checkpoint(1)
	if state == nil || f.m.Checkpoint(2) != nil {
		t.Fatalf("a checkpoint of %d bytes", len(state))
	}
	recorder := &parsetest.Recorder{}
	d, err := protocol.Resume(recorder, state)
	if err != nil {
		t.Fatal(err)
	}
	request, answer = grpcCall(t, henc, &block, 43, "/shop.Cart/Add", "14", "x")
	d.Data(record.In, f.next[1][record.In], time.Unix(0, f.at), []byte(request))
	d.Data(record.Out, f.next[1][record.Out], time.Unix(0, f.at), []byte(answer))
	if len(recorder.Calls) != 1 || recorder.Calls[0].Path != "/shop.Cart/Add" || recorder.Calls[0].Status != "UNAVAILABLE" || recorder.Calls[0].Incomplete != 0 {
		t.Errorf("calls from the checkpoint: %s", parsetest.Text(recorder.Calls))
	}
	f.talk(1, ">"+request, "<"+answer)
	f.want("unavailable")
}

// A recording that begins in the middle of a connection is joined there.
func TestConnectionsInTheMiddle(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "failed", Where: "failed"}, Trigger{Name: "bytes", Bytes: []string{"timeout"}})
	f.open(1, 1000, 2000)
	f.talk(1, ">rest of a body", ">"+get, "<rest of an answer", "<"+bad)
	f.talk(1, ">"+get, "<"+bad, ">"+get, "<"+ok)
	if got := f.names(); !strings.Contains(got, "failed") || strings.Count(got, "bytes") != 2 {
		t.Errorf("events %q", got)
	}
}

// Only what conditions can need is decoded.
func TestOnlyWhatIsNeededIsDecoded(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "redis", Where: `protocol == "redis" and failed`}, Trigger{Name: "kafka", Where: `protocol == "kafka" and failed`})
	f.talk(1, ">"+get, "<"+ok)
	f.talk(2, ">*1\r\n$4\r\nPING\r\n", "<-ERR no\r\n")
	f.talk(3, ">\x01\x02 nothing\r\n", "<known\r\n", ">at all\r\n", "<\r\n")
	f.want("redis")
	if f.m.connections[1].decoding != nil || f.m.connections[2].decoding == nil {
		t.Error("HTTP is decoded, or Redis is not")
	}
	if f.m.connections[2].decoding.WantsSpans() {
		t.Error("values are read")
	}
	// A connection may change to what is asked for.
	f = newFeed(t, Options{}, Trigger{Name: "websocket", Where: `protocol == "websocket" and method == "text"`})
	f.talk(1, ">"+get, "<"+ok)
	f.talk(2, ">GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "<HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "<\x81\x02yo")
	f.want("websocket")
	if f.m.connections[1].decoding != nil || f.m.connections[2].decoding == nil {
		t.Error("HTTP is decoded, or WebSocket is not")
	}
	f = newFeed(t, Options{}, Trigger{Name: "bytes", Bytes: []string{"x"}})
	f.talk(1, ">"+get, "<"+ok)
	if f.m.connections[1].decoding != nil || f.set.Decodes() {
		t.Error("it is decoded although nobody asks for calls")
	}
	f = newFeed(t, Options{}, Trigger{Name: "body", Where: `request.body contains "secret" and request.headers["x"] == "1"`})
	f.talk(1, ">"+strings.Replace(get, "\r\n\r\n", "\r\nX: 1\r\nContent-Length: 7\r\n\r\nsecret", 1), "<HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("y", 50_000))
	if held := f.m.connections[1].decoding.held; held > 1000 {
		t.Errorf("%d bytes are held of which nobody asks for", held)
	}
	// What speaks nothing that is known is not searched for ever.
	f = newFeed(t, Options{}, Trigger{Name: "failed", Where: `failed`})
	f.open(1, 5000, 5000)
	noise := make([]byte, 32<<10)
	random := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		f.data(1, record.In, noise)
	}
	if f.m.connections[1].decoding != nil || f.set.Status().Undecided != 1 {
		t.Errorf("noise is searched on: %+v", f.set.Status())
	}
	f.talk(1, ">"+get, "<"+bad)
	f.want("")
	f.at += firstRetry
	f.talk(1, ">"+get, "<"+bad, ">"+get, "<"+bad)
	if got := f.names(); !strings.Contains(got, "failed") {
		t.Errorf("it is not looked at again: %q", got)
	}
}

func TestCompileFindsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := Compile([]Trigger{
		{Name: "", Where: "failed"},
		{Name: "a", Where: "latency > 2"},
		{Name: "a", Bytes: []string{"x"}},
		{Name: "b"},
		{Name: "c", Where: "failed", Bytes: []string{"x"}},
		{Name: "d", Bytes: []string{"\\q", "", strings.Repeat("x", maxPattern+1)}, Direction: "left"},
		{Name: "e", Close: []record.CloseReason{"OnReadErrClose", "Reset"}},
		{Name: "f", Where: "failed", Direction: "in"},
		{Name: "g", Where: `response.headers["content-encoding"] == "br" and response.body contains "x"`},
		{Name: "h", Where: `protocol == "redis" and path == "/x"`},
		{Name: "i\n", Close: []record.CloseReason{"moved"}},
		{Name: "j", Where: `failed and window != "x"`},
	}, Options{})
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatal(err)
	}
	want := map[string]string{
		"flight.triggers[0].name": "1 … 64", "flight.triggers[1].where": "write 2ms or 2s", "flight.triggers[2].name": "no other trigger", "flight.triggers[3]": "exactly one", "flight.triggers[4]": "exactly one",
		"flight.triggers[5].bytes[0]": "escapes", "flight.triggers[5].bytes[1]": "1 … 1024 bytes", "flight.triggers[5].bytes[2]": "1 … 1024 bytes", "flight.triggers[5].direction": "in, out",
		"flight.triggers[6].close[1]": "RemoteClose, LocalClose, OnShutdown, OnReadErrClose, OnWriteErrClose, OnWriteTimeout, moved", "flight.triggers[7].direction": "only together with bytes",
		"flight.triggers[8].where": "br and zstd", "flight.triggers[9].where": "no call of any protocol", "flight.triggers[10].name": "printable",
		"flight.triggers[11].where": "without window",
	}
	for _, e := range joined.Unwrap() {
		var f *model.FieldError
		if !errors.As(e, &f) || !strings.Contains(f.Error(), want[f.Field]) || want[f.Field] == "" {
			t.Errorf("fault %v, want %q", e, want[f.Field])
		}
		delete(want, f.Field)
	}
	if len(want) > 0 {
		t.Errorf("no fault of %v", want)
	}
	for _, c := range []Options{{}, {Field: "x"}} {
		if _, err := Compile(slices.Repeat([]Trigger{{Name: "a", Where: "failed"}}, 65), c); err == nil || !strings.Contains(err.Error(), "at most 64") {
			t.Errorf("too many triggers: %v", err)
		}
	}
	var many []Trigger
	for i := range 9 {
		many = append(many, Trigger{Name: fmt.Sprint(i), Bytes: []string{strings.Repeat(string(rune('a'+i)), 1000)}})
	}
	if _, err := Compile(many, Options{}); err == nil || !strings.Contains(err.Error(), "at most 8192 bytes") {
		t.Errorf("too long patterns: %v", err)
	}
	if s, err := Compile(nil, Options{}); err != nil || s.Len() != 0 {
		t.Errorf("no triggers: %v", err)
	}
}

func TestEscapes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`-----BEGIN`: "-----BEGIN", `\r\n\x00\xff`: "\r\n\x00\xff", `\u00e9\U0001F600é`: "é😀é", `\"a"b'\'`: `"a"b''`, `\\x41`: `\x41`, `\101\a\b\f\n\r\t\v`: "A\a\b\f\n\r\t\v", "a\nb": "a\nb", "\\xe9": "\xe9",
	} {
		if got, err := unescape(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`\q`, `\x4`, `\u12`, `abc\`, `\400`, `\xzz`, `\ud800`} {
		if got, err := unescape(text); err == nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestDependOnAnswers(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "a", Where: "failed"}, Trigger{Name: "b", Where: `path == "/x"`}, Trigger{Name: "c", Bytes: []string{"x"}, Direction: "out"},
		Trigger{Name: "d", Bytes: []string{"x"}}, Trigger{Name: "e", Close: []record.CloseReason{"moved"}})
	if got := f.set.DependOnAnswers(); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("%v", got)
	}
}
