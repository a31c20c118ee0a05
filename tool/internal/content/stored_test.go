package content

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// What is stored comes back as it was, beside what is in a file and stays.
func TestStoredContent(t *testing.T) {
	k := NewCollector(everything, Limits{})
	conn := &dump.Connection{Identity: record.Identity{Window: "w", Conn: "k3v9qa-1"}}
	long := strings.Repeat("x", maxBody+1)
	for _, s := range []call.Span{
		{Call: 1, Kind: call.KindHeader, Name: "a", Value: []byte("1\xff"), More: true},
		{Call: 1, Kind: call.KindHeader, Name: "a", Value: []byte(strings.Repeat("v", maxValue+1))},
		{Call: 1, Direction: record.Out, Kind: call.KindBody, Name: "b", Encoding: "resp", Value: []byte("one"), More: true},
		{Call: 1, Direction: record.Out, Kind: call.KindBody, Name: "b", Encoding: "resp", Value: []byte("two")},
		{Call: 1, Direction: record.Out, Kind: call.KindBody, Name: "c", Encoding: "resp", Value: []byte("three"), More: true},
		{Call: 2, Kind: call.KindBody, Value: []byte(long), More: true},
		{Call: 3, Kind: call.KindHeader, Name: "d", Value: []byte("e")},
		{Call: 3, Kind: call.KindBody, Value: []byte("f")},
	} {
		k.Span(conn, s)
	}
	in := k.find(conn)
	want := map[uint64]Content{1: *in.calls[1], 3: *in.calls[3]}
	size, held := k.Size(conn), k.held
	state := k.Store(nil, conn)
	if len(in.calls) != 1 || in.calls[2] == nil || k.Size(conn) != 0 || k.held != 0 {
		t.Errorf("after storing there are %d calls of %d bytes, %d of bodies", len(in.calls), k.Size(conn), k.held)
	}
	if err := k.Restore(conn, state); err != nil {
		t.Fatal(err)
	}
	in = k.find(conn)
	for n, of := range want {
		if !reflect.DeepEqual(*in.calls[n], of) {
			t.Errorf("call %d is\n%+v, want\n%+v", n, *in.calls[n], of)
		}
	}
	if len(in.calls) != 3 || k.Size(conn) != size || k.held != held {
		t.Errorf("after restoring there are %d calls of %d bytes, %d of bodies; want 3, %d, %d", len(in.calls), k.Size(conn), k.held, size, held)
	}
	for n := range state {
		other := NewCollector(everything, Limits{})
		if err := other.Restore(conn, state[:n]); n > 0 && err == nil && len(other.find(conn).calls) == 2 {
			t.Errorf("%d bytes of %d are enough", n, len(state))
		}
	}
	k.Forget(conn)
	if len(k.open) != 0 || k.held != 0 || k.files != 0 {
		t.Errorf("at the end there are %d connections, %d bytes, %d files", len(k.open), k.held, k.files)
	}
}

// The content of calls that are open on many connections at the same time does not stay in memory.
func TestContentOfManyOpenCalls(t *testing.T) {
	const connections = 20_000
	k := NewCollector(everything, Limits{})
	found, most := 0, 0
	s := calls.New(calls.Options{Span: k.Span, Keeper: k}, func(c *calls.Call) error {
		of := k.Take(c)
		defer func() { _ = of.Close() }() // it was only read
		n := strings.TrimPrefix(c.Target, "/")
		host, _ := of.header(record.In, "host")
		sent, _ := of.Raw(record.In)
		got, _ := of.Raw(record.Out)
		request, _ := io.ReadAll(sent)
		answer, _ := io.ReadAll(got)
		if host != "host-"+n || string(request) != "body-"+n || string(answer) != "answer-"+n {
			t.Errorf("call %s of %s: host %q, bodies %q and %q", c.Target, c.Conn, host, request, answer)
		}
		found++
		return nil
	})
	at := time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)
	add := func(i int, dir record.Direction, text string) {
		t.Helper()
		if err := s.Add(&record.Record{
			Kind: record.KindData, Time: at, Identity: record.Identity{Window: "w", Conn: fmt.Sprintf("k3v9qa-%d", i)},
			Direction: dir, Length: uint64(len(text)), Data: []byte(text),
		}); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(k.open))
	}
	for i := range connections {
		body := fmt.Sprintf("body-%d", i)
		add(i, record.In, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: host-%d\r\nContent-Length: %d\r\n\r\n%s", i, i, len(body), body))
	}
	for i := range connections {
		answer := fmt.Sprintf("answer-%d", i)
		add(i, record.Out, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer))
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if found != connections || len(k.open) != 0 || k.held != 0 {
		t.Errorf("%d calls, want %d; at the end %d connections and %d bytes are kept", found, connections, len(k.open), k.held)
	}
	if most > connections/4 {
		t.Errorf("the content of up to %d connections was in memory", most)
	}
}
