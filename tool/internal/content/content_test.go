package content

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// answer gives a collector the answer of a call, its body in pieces of at most size
// bytes, and returns what it has of it.
func answer(k *Collector, protocol string, fields [][2]string, body string, size int) *Content {
	conn := &dump.Connection{Identity: record.Identity{Window: "w", Conn: "k3v9qa-1"}}
	for _, f := range fields {
		k.Span(conn, call.Span{Call: 1, Direction: record.Out, Kind: call.KindHeader, Name: f[0], Value: []byte(f[1])})
	}
	for rest := body; len(rest) > 0; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		k.Span(conn, call.Span{Call: 1, Direction: record.Out, Kind: call.KindBody, Value: []byte(piece), More: rest != ""})
	}
	c := &calls.Call{Identity: conn.Identity, Of: conn}
	c.N, c.Protocol = 1, protocol
	c.Response = call.Message{Present: true, HasBody: true, Ended: true}
	return k.Take(c)
}

var everything = Everything(func(*dump.Connection, uint64) bool { return true })

func TestBodiesAreDecoded(t *testing.T) {
	long := strings.Repeat("a long body, ", 100_000) // more than is kept in memory
	for name, c := range map[string]struct {
		fields [][2]string
		body   string
		want   string
	}{
		"plain":       {nil, "hello", "hello"},
		"gzip":        {[][2]string{{"content-encoding", "gzip"}}, gzipped(t, "hello"), "hello"},
		"gzip twice":  {[][2]string{{"content-encoding", "gzip, gzip"}}, gzipped(t, gzipped(t, "hello")), "hello"},
		"on the disk": {nil, long, long},
		"both":        {[][2]string{{"content-encoding", "gzip"}}, gzipped(t, long), long},
	} {
		k := NewCollector(everything, Limits{})
		of := answer(k, call.HTTP1, c.fields, c.body, 1000)
		got, err := of.Body(query.Response)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %d bytes %.30q, %v", name, len(got), got, err)
		}
		if err := of.Close(); err != nil || k.held != 0 || k.files != 0 {
			t.Errorf("%s: after Close %d bytes and %d files are held, %v", name, k.held, k.files, err)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	k := NewCollector(everything, Limits{Body: 100})
	if _, err := answer(k, call.HTTP1, nil, strings.Repeat("x", 101), 10).Body(query.Response); !errors.Is(err, errLong) {
		t.Errorf("a long body: %v", err)
	}
	k = NewCollector(everything, Limits{Decoded: 1000})
	bomb := gzipped(t, strings.Repeat("x", 100_000))
	if _, err := answer(k, call.HTTP1, [][2]string{{"content-encoding", "gzip"}}, bomb, 1000).Body(query.Response); err == nil {
		t.Error("a bomb is decoded")
	}
}

func TestHeaders(t *testing.T) {
	k := NewCollector(everything, Limits{})
	of := answer(k, call.HTTP1, [][2]string{{"set-cookie", "a=1"}, {"x", ""}, {"set-cookie", "b=2"}}, "", 1)
	for name, want := range map[string]string{"set-cookie": "a=1, b=2", "x": ""} {
		if got, ok, err := of.Header(query.Response, name); got != want || !ok || err != nil {
			t.Errorf("%s: %q, %v, %v", name, got, ok, err)
		}
	}
	if _, ok, err := of.Header(query.Response, "y"); ok || err != nil {
		t.Errorf("a field that is not there: %v, %v", ok, err)
	}
	if _, _, err := of.Header(query.Request, "x"); err == nil {
		t.Error("a field of a request that was not recorded is known")
	}
}

func TestMessagesOfGRPC(t *testing.T) {
	frame := func(flag byte, message string) string {
		return string(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message)))) + message
	}
	k := NewCollector(everything, Limits{})
	of := answer(k, call.GRPC, [][2]string{{"grpc-encoding", "gzip"}}, frame(0, "one")+frame(1, gzipped(t, "two"))+frame(0, "")+frame(0, "cut")[:6], 3)
	messages, err := of.Messages(record.Out)
	if err == nil || len(messages) != 3 || string(messages[0]) != "one" || string(messages[1]) != "two" || len(messages[2]) != 0 {
		t.Errorf("messages %q, %v", messages, err)
	}
}
