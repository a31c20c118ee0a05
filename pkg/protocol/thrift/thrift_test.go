package thrift

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/rpc/rpctest"
)

func TestKnown(t *testing.T) { rpctest.Known(t, &Protocol) }

func TestProperties(t *testing.T) {
	others := map[string]parsetest.Session{}
	for name, s := range sessions {
		others[name] = s.session
	}
	rpctest.Check(t, &Protocol, others)
}

func FuzzParser(f *testing.F) { rpctest.Fuzz(f, &Protocol) }

func BenchmarkParser(b *testing.B) {
	for name, session := range parsetest.Sessions(b) {
		b.Run(name, func(b *testing.B) { rpctest.Bench(b, &Protocol, session) })
	}
}

func framed(payload string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(payload)))) + payload
}

func strict(kind byte, id uint32, name, fields string) string {
	b := []byte{0x80, 1, 0, kind}
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	b = append(b, name...)
	return string(binary.BigEndian.AppendUint32(b, id)) + fields
}

func compact(kind, id byte, name, fields string) string {
	return string([]byte{0x82, kind<<5 | 1, id, byte(len(name))}) + name + fields
}

// theader returns a frame with THeader: the header is padded.
func theader(id uint32, header, payload string) string {
	for len(header)%4 != 0 {
		header += "\x00"
	}
	b := []byte{0x0f, 0xff, 0, 0}
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(header)/4))
	return framed(string(b) + header + payload)
}

const (
	argument  = "\x0b\x00\x01\x00\x00\x00\x06secret\x00"
	success   = "\x08\x00\x00\x00\x00\x00\x01\x00"
	declared  = "\x0c\x00\x02\x0b\x00\x01\x00\x00\x00\x02no\x00\x00"
	unhandled = "\x0b\x00\x01\x00\x00\x00\x02no\x08\x00\x02\x00\x00\x00\x06\x00"

	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

var sessions = map[string]struct {
	session parsetest.Session
	want    string
}{
	"several services, always 0": {parsetest.Talk(
		">"+framed(strict(1, 0, "Cart:add", argument)), "<"+framed(strict(2, 0, "add", success)),
		">"+framed(strict(1, 0, "Shop:add", argument)), "<"+framed(strict(2, 0, "add", declared)),
		">"+framed(strict(1, 0, "ping", "\x00")), "<"+framed(strict(2, 0, "ping", "\x00")),
		">"+framed(strict(4, 0, "log", argument))+framed(strict(1, 0, "ping", "\x00")), "<"+framed(strict(3, 0, "ping", unhandled)),
		">"+framed(strict(1, 0, "Cart:add", argument)), "<"+framed(strict(2, 0, "add", success)),
		">"+framed(strict(1, 0, "Cart:add", argument)), "<"+framed(strict(2, 0, "add", declared)),
		">"+framed(strict(1, 0, "Cart:add", argument)), "<"+framed(strict(2, 0, "add", success)),
	), `add "Cart" "Cart" "OK" 0
add "Shop" "Shop" "EXCEPTION" 0 failed
ping "" "" "OK" 0
log "" "" "" 0 no_answer
ping "" "" "EXCEPTION" 0 failed
add "Cart" "Cart" "OK" 0
add "Cart" "Cart" "EXCEPTION" 0 failed
add "Cart" "Cart" "OK" 0
`},
	"THeader": {parsetest.Talk(
		">"+theader(1, "\x00\x00\x01\x02\x05token\x03abc\x0btraceparent\x37"+traceparent, strict(1, 9, "add", argument)), "<"+theader(1, "\x00\x00", strict(2, 9, "add", declared)),
		">"+theader(2, "\x02\x00", compact(1, 2, "get", "\x00"))+theader(3, "\x02\x01\x01", "\x78\x9czlib"), "<"+theader(3, "\x02\x01\x01", "\x78\x9czlib"),
		"<"+theader(2, "\x02\x00", compact(2, 2, "get", "\x05\x00\x02\x00")), ">"+theader(4, "\x02\x00", compact(1, 4, "get", "\x00")), "<"+theader(4, "\x02\x00", compact(2, 4, "get", "\x1c\x00\x00")),
	), `add "" "" "EXCEPTION" 0 failed
get "" "" "OK" 0
 "" "" "" 0 unknown_fields
get "" "" "EXCEPTION" 0 failed
`},
	"no answer": {parsetest.Talk(
		">"+framed(compact(1, 1, "a", "\x00")), "<"+framed(compact(2, 1, "a", "\x00")), ">"+framed(compact(1, 2, "b", "\x00"))+framed(compact(1, 3, "c", "\x00")),
		"<"+framed(compact(2, 3, "c", "\x00")),
	), `a "" "" "OK" 0
b "" "" "" 0 failed no_answer
c "" "" "OK" 0
`},
}

func TestSessions(t *testing.T) {
	for name, s := range sessions {
		got, err := parsetest.Decode(&Protocol, s.session, true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		lines := make([]string, len(got.Calls)+1)
		for i := range got.Calls {
			lines[got.Calls[i].N-1], _, _ = strings.Cut(rpctest.Line(&got.Calls[i]), " request ")
		}
		if got := strings.Join(lines, "\n"); got != s.want {
			t.Errorf("%s: calls\n%swant\n%s", name, got, s.want)
		}
	}
}

func TestTraceAndSpans(t *testing.T) {
	got, err := parsetest.Decode(&Protocol, sessions["THeader"].session, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := (call.Trace{TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331"}); got.Calls[0].Trace != want {
		t.Errorf("trace %v, want %v", got.Calls[0].Trace, want)
	}
	var spans []string
	for _, s := range got.Spans {
		if s.Call == 1 {
			spans = append(spans, fmt.Sprintf("%s %s %s=%q", s.Direction, s.Kind, s.Name, s.Value))
		}
	}
	want := []string{
		`in header token="abc"`, `in header traceparent="` + traceparent + `"`, `in method ="add"`, fmt.Sprintf("in body =%q", argument),
		`out method ="add"`, fmt.Sprintf("out body =%q", declared),
	}
	if fmt.Sprint(spans) != fmt.Sprint(want) {
		t.Errorf("spans\n%s\nwant\n%s", strings.Join(spans, "\n"), strings.Join(want, "\n"))
	}
}
