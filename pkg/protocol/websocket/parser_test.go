package websocket_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/websocket"
)

// frame returns a frame as RFC 6455, section 5.2, draws it; first is its first byte.
func frame(first byte, masked bool, payload string) string {
	b := []byte{first}
	var mask byte
	if masked {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	data := []byte(payload)
	if masked {
		key := []byte{0x11, 0x22, 0x33, 0x44}
		b = append(b, key...)
		for i := range data {
			data[i] ^= key[i%4]
		}
	}
	return string(append(b, data...))
}

var session = parsetest.Talk(
	">"+frame(0x81, true, "hello"),
	"<"+frame(0x81, false, "you too"),
	"<"+frame(0x02, false, strings.Repeat("b", 200))+frame(0x89, false, "ping")+frame(0x00, false, "more")+frame(0x80, false, "end"),
	">"+frame(0x8a, true, "ping")+frame(0xc1, true, "squeezed"),
	">"+frame(0x82, true, strings.Repeat("x", 70_000)),
	"<"+frame(0x81, false, ""),
	"<"+frame(0x81, false, "bye")+frame(0x88, false, "\x03\xf3going down"),
	">"+frame(0x81, true, "wait")+frame(0x88, true, "\x03\xe8"),
	"<"+"\x81\x7e\x00\x02hi"+"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x02ho"+frame(0x88, false, ""),
)

func TestParser(t *testing.T) {
	parsetest.Check(t, &websocket.Protocol, session)
	parsetest.Hostile(t, &websocket.Protocol, session)
}

func TestMessages(t *testing.T) {
	r, err := parsetest.Decode(&websocket.Protocol, session, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range r.Calls {
		c := &r.Calls[i]
		side, m := ">", &c.Request
		if c.Response.Present {
			side, m = "<", &c.Response
		}
		line := side + c.Method + " " + c.Status
		if c.Failed {
			line += " failed"
		}
		got = append(got, line)
		if !m.Ended || c.Incomplete != 0 {
			t.Errorf("%s: %+v", line, c)
		}
	}
	want := ">text |<text |<binary |>text |>binary |<text |<text |<close 1011 failed|>text |>close 1000|<text |<text |<close 1005"
	if strings.Join(got, "|") != want {
		t.Errorf("calls %q, want %s", got, want)
	}
	bodies := map[uint64][]byte{}
	for _, s := range r.Spans {
		if s.Kind == call.KindBody {
			bodies[s.Call] = append(bodies[s.Call], s.Value...)
		}
	}
	if string(bodies[1]) != "hello" || !bytes.HasSuffix(bodies[3], []byte("bmoreend")) || len(bodies[5]) != 70_000 || bodies[5][69_999] != 'x' {
		t.Errorf("bodies: %.20q %.20q %d", bodies[1], bodies[3], len(bodies[5]))
	}
}

func FuzzParser(f *testing.F) { parsetest.Fuzz(f, &websocket.Protocol, session) }
