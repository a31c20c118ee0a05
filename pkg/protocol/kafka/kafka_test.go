package kafka_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// recorded returns a session between franz-go and its broker for tests.
func recorded(t testing.TB, name string) parsetest.Session {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var pieces []struct {
		Dir  string
		At   int64
		Data []byte
	}
	if err := json.Unmarshal(b, &pieces); err != nil {
		t.Fatal(err)
	}
	var s parsetest.Session
	for _, p := range pieces {
		dir := record.In
		if p.Dir == "out" {
			dir = record.Out
		}
		s = append(s, parsetest.Piece{Dir: dir, At: parsetest.Start.Add(time.Duration(p.At)), Data: p.Data})
	}
	return s
}

// message returns a message with its length.
func message(parts ...any) []byte {
	b := []byte{0, 0, 0, 0}
	for _, part := range parts {
		switch p := part.(type) {
		case int8:
			b = append(b, byte(p))
		case int16:
			b = binary.BigEndian.AppendUint16(b, uint16(p))
		case int32:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(p))
		case string: // with its length
			b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		default:
			panic(part)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func talk(pieces ...any) parsetest.Session {
	var s parsetest.Session
	for i := 0; i < len(pieces); i += 2 {
		s = append(s, parsetest.Piece{
			Dir: pieces[i].(record.Direction), At: parsetest.Start.Add(time.Duration(i) * time.Millisecond), Data: pieces[i+1].([]byte),
		})
	}
	return s
}

const in, out = record.In, record.Out

// produceOld returns a Produce of version 2, and its answer.
func produceOld(id int32, acks int16, topic string, records []byte, code int16) (request, answer []byte) {
	request = message(int16(0), int16(2), id, "app", acks, int32(1000), int32(1), topic, int32(1), int32(0), int32(len(records)), records)
	return request, message(id, int32(1), topic, int32(1), int32(0), code, int64(5), int64(-1), int32(0))
}

// login is what a client sends that authenticates itself as before Kafka 1.0.
func login() parsetest.Session {
	request, answer := produceOld(2, 1, "orders", []byte("xyz"), 0)
	return talk(
		in, message(int16(17), int16(0), int32(1), "app", "PLAIN"), out, message(int32(1), int16(0), int32(1), "PLAIN"),
		in, message([]byte("\x00user\x00secret")), out, message(),
		in, request, out, answer,
	)
}

// big is a session with a long message in each direction.
func big() parsetest.Session {
	records := []byte(strings.Repeat("a record ", 500))
	request, answer := produceOld(1, -1, "orders", records, 3)
	fetch := message(int16(1), int16(4), int32(2), "app", int32(-1), int32(100), int32(1), int32(1<<20), int8(0), int32(1), "orders", int32(1), int32(0), int64(0), int32(1<<20))
	fetched := message(int32(2), int32(0), int32(2),
		"orders", int32(1), int32(0), int16(0), int64(9), int64(9), int32(-1), int32(len(records)), records,
		"news", int32(1), int32(7), int16(6), int64(9), int64(9), int32(0), int32(-1))
	meta := message(int16(3), int16(0), int32(3), "app", int32(1), "news")
	metaAnswer := message(int32(3), int32(0), int32(1), int16(0), "news", int32(0))
	return talk(in, request, out, answer, in, fetch, out, fetched, in, meta, out, metaAnswer)
}

func line(c *call.Call) string {
	s := fmt.Sprintf("%s %q", c.Method, c.Target)
	if c.Response.Present {
		s += " " + c.Status
	}
	if c.Failed {
		s += " failed"
	}
	return strings.Join(append([]string{s}, c.Incomplete.Words()...), " ")
}

func lines(calls []call.Call) string {
	var b strings.Builder
	for i := range calls {
		b.WriteString(line(&calls[i]) + "\n")
	}
	return b.String()
}

func sessions(t testing.TB) map[string]parsetest.Session {
	all := map[string]parsetest.Session{"login": login(), "big": big()}
	for _, name := range []string{"group-5", "group-6", "group-7", "produce-old-2", "no-acks-2", "produce-3", "admin-2", "admin-3"} {
		all[name] = recorded(t, name)
	}
	return all
}

func TestCalls(t *testing.T) {
	want := map[string]string{
		"login": `SaslHandshake "" 0
SaslToken "" 0
Produce "orders" 0
`,
		"big": `Produce "orders" 3 failed
Fetch "orders" 6 failed
Metadata "news" 0
`,
		"admin-2": `ApiVersions "" 0
CreateTopics "t-1795842277837611518" 0
CreateTopics "t-1795842277837611518" 36 failed
CreateTopics "t-1795842277837611518" 36 failed
CreateTopics "t-1795842277837611518" 36 failed
CreateTopics "t-1795842277837611518" 36 failed
DeleteTopics "t-1795842277837611518,nowhere" 3 failed
`,
		"group-5": `ApiVersions "" 0
FindCoordinator "mix" 0
OffsetFetch "ISPzyF6Obv4mGigXfYzfsg" 0
ListOffsets "orders" 0
OffsetCommit "ISPzyF6Obv4mGigXfYzfsg" 0
Heartbeat "mix" 0
LeaveGroup "mix" 0
`,
		"group-6": `ApiVersions "" 0
JoinGroup "mix" 79 failed
JoinGroup "mix" 0
SyncGroup "mix" 0
`,
	}
	for name, s := range sessions(t) {
		got, err := parsetest.Decode(&kafka.Protocol, s, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if w := want[name]; w != "" && lines(got.Calls) != w {
			t.Errorf("%s: calls\n%swant\n%s", name, lines(got.Calls), w)
		}
	}
}

// What all parsers must satisfy.
func TestProperties(t *testing.T) {
	for name, s := range sessions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsetest.Check(t, &kafka.Protocol, s)
		})
	}
}

func TestHostile(t *testing.T) {
	var seeds []parsetest.Session
	for _, s := range sessions(t) {
		seeds = append(seeds, s)
	}
	parsetest.Hostile(t, &kafka.Protocol, seeds...)
}

// Requests that wait while an answer does not end cost no more memory than there is.
func TestWaitingBehindAnAnswer(t *testing.T) {
	const memory, requests = 1 << 20, 20_000
	r, n := &parsetest.Recorder{}, uint64(0)
	runner := parse.NewRunner(&kafka.Protocol, parse.Env{
		Sink: r, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n },
	})
	offset := uint64(0)
	for i := range int32(requests) {
		b := message(int16(18), int16(0), i+1, "me")
		if err := runner.Data(record.In, offset, parsetest.Start, b); err != nil {
			t.Fatal(err)
		}
		offset += uint64(len(b))
		if i == 0 {
			if err := runner.Data(record.Out, 0, parsetest.Start, []byte("\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if given := len(r.Calls); given < requests/2 {
		t.Errorf("%d calls of %d were given up", given, requests)
	}
	runner.End(parse.End{At: parsetest.Start})
	seen := map[uint64]bool{}
	for _, c := range r.Calls {
		seen[c.N] = true
	}
	if len(r.Calls) != requests || len(seen) != requests {
		t.Errorf("%d calls, %d of them different; want %d", len(r.Calls), len(seen), requests)
	}
}

// A request with more topics than a target can have names the first of them, and costs no more time than its bytes.
func TestManyTopics(t *testing.T) {
	const topics = 100_000
	parts := []any{int16(3), int16(0), int32(1), "me", int32(topics)}
	var first []string
	size := 0
	for i := range topics {
		name := fmt.Sprintf("t%05d", i)
		parts = append(parts, name)
		if size < 4<<10 {
			size += len(name)
			first = append(first, name)
		}
	}
	got, err := parsetest.Decode(&kafka.Protocol, parsetest.Talk(">"+string(message(parts...))), true)
	if err != nil || len(got.Calls) != 1 {
		t.Fatalf("%v, %d calls", err, len(got.Calls))
	}
	if want := strings.Join(first, ","); got.Calls[0].Target != want {
		t.Errorf("target of %d bytes, want %d", len(got.Calls[0].Target), len(want))
	}
}

// A broker that answers before it has the whole request: the call has all of both.
func TestEarlyAnswer(t *testing.T) {
	ask := string(message(int16(18), int16(0), int32(1), "me", string(make([]byte, 3000))))
	answer := string(message(int32(1), int16(35), int32(0)))
	next := string(message(int16(18), int16(0), int32(2), "me"))
	session := parsetest.Talk(">"+ask[:1000], "<"+answer, ">"+ask[1000:], ">"+next, "<"+string(message(int32(2), int16(0), int32(0))))
	got, err := parsetest.Decode(&kafka.Protocol, session, true)
	if err != nil || len(got.Calls) != 2 {
		t.Fatalf("%v; calls\n%s", err, parsetest.Text(got.Calls))
	}
	c := got.Calls[0]
	if c.Request.Length != uint64(len(ask)) || !c.Request.Ended || c.Response.Length != uint64(len(answer)) || !c.Response.Ended || c.Code != 35 {
		t.Errorf("%+v", c)
	}
	parsetest.Cuts(t, &kafka.Protocol, session)
	parsetest.Checkpoints(t, &kafka.Protocol, session)
}
