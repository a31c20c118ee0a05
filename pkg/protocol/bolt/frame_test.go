package bolt

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/rpc/rpctest"
	"mosn.io/tcpcopy/pkg/record"
)

// frame returns a frame of version 1, or of version 2 with a CRC.
func frame(two bool, kind byte, command uint16, id uint32, status uint16, class string, header []string, content string) string {
	var h []byte
	for _, text := range header {
		h = binary.BigEndian.AppendUint32(h, uint32(len(text)))
		h = append(h, text...)
	}
	b := []byte{1}
	if two {
		b = []byte{2, 2}
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, command)
	b = append(b, 1)
	b = binary.BigEndian.AppendUint32(b, id)
	b = append(b, 1)
	if two {
		b = append(b, crcSwitch)
	}
	if kind == typeAnswer {
		b = binary.BigEndian.AppendUint16(b, status)
	} else {
		b = binary.BigEndian.AppendUint32(b, 3000)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(class)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(h)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = append(b, class...)
	b = append(b, h...)
	b = append(b, content...)
	if two {
		b = append(b, "crc!"...)
	}
	return string(b)
}

const (
	requestClass = "com.alipay.sofa.rpc.core.request.SofaRequest"
	answerClass  = "com.alipay.sofa.rpc.core.response.SofaResponse"
)

func request(id uint32, header ...string) string {
	return frame(id%2 == 0, typeRequest, cmdRequest, id, 0, requestClass, header, "secret")
}

func answer(id uint32, status uint16, header ...string) string {
	return frame(id%2 == 0, typeAnswer, cmdAnswer, id, status, answerClass, header, "result")
}

var sessions = map[string]struct {
	session parsetest.Session
	want    string
}{
	"both versions and odd fields": {parsetest.Talk(
		">"+request(1, "service", "s1", "sofa_head_target_service", "s2", "rpc_trace_context.sofaTraceId", "0A0FE91D1512345678100112345"),
		">"+request(2, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		"<"+answer(2, 7), "<"+answer(1, 0, "sofa_head_response_error", "true"),
		">"+request(3, "k", "")+request(4), "<"+answer(4, 99)+answer(3, 0),
	), `REQUEST "s2" "s2" "SUCCESS" 0 failed
REQUEST "` + requestClass + `" "" "TIMEOUT" 7 failed
REQUEST "` + requestClass + `" "" "SUCCESS" 0
REQUEST "` + requestClass + `" "" "99" 99 failed
`},
	"requests of the server": {parsetest.Talk(
		">"+request(1), "<"+frame(false, typeRequest, cmdHeartbeat, 7, 0, "", nil, ""), ">"+frame(false, typeAnswer, cmdHeartbeat, 7, 0, "", nil, ""),
		"<"+frame(true, typeRequest, cmdRequest, 1, 0, requestClass, []string{"service", "callback"}, "x"), "<"+answer(1, 0),
		">"+frame(true, typeAnswer, cmdAnswer, 1, 2, answerClass, nil, "failed"), "<"+frame(false, typeOneWay, cmdGoAway, 9, 0, "", nil, ""),
		">"+request(2), "<"+answer(2, 0),
	), `REQUEST "` + requestClass + `" "" "SUCCESS" 0
HEARTBEAT "" "" "SUCCESS" 0 no_request
REQUEST "callback" "callback" "SERVER_EXCEPTION" 2 failed no_request
GOAWAY "" "" "" 0 no_request
REQUEST "` + requestClass + `" "" "SUCCESS" 0
`},
	"no answers": {parsetest.Talk(
		">"+request(1), "<"+answer(1, 0), "<"+answer(5, 0), ">"+request(2)+request(3), "<"+answer(3, 0)[:60],
	), `REQUEST "` + requestClass + `" "" "SUCCESS" 0
 "" "" "SUCCESS" 0 no_request
REQUEST "` + requestClass + `" "" "" 0 failed no_answer
REQUEST "` + requestClass + `" "" "" 0 failed no_answer
`},
	"a number that is used again": {parsetest.Talk(
		">"+request(1), "<"+answer(1, 0), ">"+request(1), "<"+answer(1, 7), ">"+request(1), "<"+answer(1, 0),
		">"+request(1), "<"+answer(1, 0), ">"+request(1), "<"+answer(1, 2), ">"+request(1), "<"+answer(1, 0),
	), `REQUEST "` + requestClass + `" "" "SUCCESS" 0
REQUEST "` + requestClass + `" "" "TIMEOUT" 7 failed
REQUEST "` + requestClass + `" "" "SUCCESS" 0
REQUEST "` + requestClass + `" "" "SUCCESS" 0
REQUEST "` + requestClass + `" "" "SERVER_EXCEPTION" 2 failed
REQUEST "` + requestClass + `" "" "SUCCESS" 0
`},
	"a number that waits twice": {parsetest.Talk(
		">"+request(1)+request(1)+request(1), "<"+answer(1, 0)+answer(1, 7), "<"+answer(1, 2), ">"+request(1)+request(2), "<"+answer(1, 3)+answer(2, 0),
		">"+request(3), "<"+answer(3, 0),
	), `REQUEST "` + requestClass + `" "" "SUCCESS" 0
REQUEST "` + requestClass + `" "" "TIMEOUT" 7 failed
REQUEST "` + requestClass + `" "" "SERVER_EXCEPTION" 2 failed
REQUEST "` + requestClass + `" "" "UNKNOWN" 3 failed
REQUEST "` + requestClass + `" "" "SUCCESS" 0
REQUEST "` + requestClass + `" "" "SUCCESS" 0
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
	got, err := parsetest.Decode(&Protocol, sessions["both versions and odd fields"].session, true)
	if err != nil {
		t.Fatal(err)
	}
	traces := map[uint64]call.Trace{}
	for _, c := range got.Calls {
		traces[c.N] = c.Trace
	}
	if want := (call.Trace{TraceID: "0a0fe91d1512345678100112345"}); traces[1] != want {
		t.Errorf("trace %v, want %v", traces[1], want)
	}
	if want := (call.Trace{TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331"}); traces[2] != want {
		t.Errorf("trace %v, want %v", traces[2], want)
	}
	var spans []string
	for _, s := range got.Spans {
		if s.Call == 1 {
			spans = append(spans, fmt.Sprintf("%s %s %s=%s", s.Direction, s.Kind, s.Name, s.Value))
		}
	}
	want := []string{
		"in target class=" + requestClass, "in header service=s1", "in header sofa_head_target_service=s2",
		"in header rpc_trace_context.sofaTraceId=0A0FE91D1512345678100112345", "in body =secret",
		"out target class=" + answerClass, "out header sofa_head_response_error=true", "out body =result",
	}
	if fmt.Sprint(spans) != fmt.Sprint(want) {
		t.Errorf("spans\n%s\nwant\n%s", strings.Join(spans, "\n"), strings.Join(want, "\n"))
	}
}

// What is not of the protocol is refused, after what was.
func TestNotBolt(t *testing.T) {
	for _, bad := range []string{"x", "\x01\x03", "\x03\x01\x01", "GET / HTTP/1.1\r\n\r\n"} {
		got, err := parsetest.Decode(&Protocol, parsetest.Talk(">"+request(1)+bad), true)
		if err == nil || len(got.Calls) != 0 {
			t.Errorf("%q: error %v, %d calls", bad, err, len(got.Calls))
		}
	}
	for _, bad := range []string{
		"\x01\x00\x00\x00\x0a", // MySQL's
		"\x01\x01\x00\x01\x02", "\x02\x03", "\x00\x00\x00\x08\x04\xd2\x16\x2f", strings.Repeat("\x01", 64), strings.Repeat("\x02", 64),
	} {
		for len(bad) < 24 {
			bad += "\x09"
		}
		for _, dir := range record.Directions() {
			if v := Protocol.Begins(dir, []byte(bad)); v != 1 {
				t.Errorf("%q: verdict %v", bad, v)
			}
		}
	}
}
