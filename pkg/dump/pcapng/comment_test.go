package pcapng

import (
	"encoding/binary"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/record"
)

// commentText returns the text of a comment option.
func commentText(option []byte) string {
	return string(option[4 : 4+binary.LittleEndian.Uint16(option[2:])])
}

func checkComments(t *testing.T, f *record.Flow, offset, length uint64, reason string) {
	t.Helper()
	f.State = &flowState{next: record.PerDirection{In: offset, Out: length}}
	cut := func(s string) string { return s[:min(len(s), maxValue)] }
	text := commentText(appendIdentity(nil, f, true))
	c, ok := parseComment(text)
	if ok != (f.Conn != "") {
		t.Fatalf("parse %q: %t", text, ok)
	}
	if ok {
		want := record.Identity{
			Window: cut(f.Window), Conn: cut(f.Conn), Port: cut(f.Port), Network: cut(f.Network),
			Peer: cut(f.Peer), Listener: cut(f.Listener), ListenerName: cut(f.ListenerName),
		}
		if got := *c.identity; got.Identity != want || got.start != f.FromStart || !got.again || got.base != (record.PerDirection{In: offset, Out: length}) {
			t.Fatalf("%q reads as %+v, want %+v", text, got, want)
		}
	}
	n := comment{kind: commentGap, dir: record.Out, offset: offset, length: length, reason: reason}
	text = commentText(appendGap(nil, f, n))
	c, ok = parseComment(text)
	n.reason = cut(reason)
	if valid := length > 0 && offset+length > offset; ok != valid || ok && (c.comment != n || c.conn != cut(f.Conn)) {
		t.Fatalf("%q reads as %+v, %t", text, c, ok)
	}
	n = comment{kind: commentClose, reason: reason, totals: record.PerDirection{In: offset, Out: length}}
	text = commentText(appendClose(nil, f, n))
	c, ok = parseComment(text)
	n.reason = cut(reason)
	if !ok || c.comment != n || c.conn != cut(f.Conn) {
		t.Fatalf("%q reads as %+v, %t", text, c, ok)
	}
}

func TestCommentsKeepAnyValue(t *testing.T) {
	for _, v := range []string{"", "plain", "two words", "a=b", `"quoted"`, `back\slash`, "\x1b[2J", "\xff\xfe", "é", "conn=x window=y", strings.Repeat("x", 5000), "\u00a0", "\ufffd"} {
		f := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: v, Conn: v, Port: v, ListenerName: v, Network: v, Peer: v, Listener: v}}}
		checkComments(t, f, 7, 9, v)
	}
}

func FuzzComments(f *testing.F) {
	f.Add("w", "k3v9qa-1", "8080", "10.0.0.1:5", uint64(1), uint64(2), "limit", true)
	f.Fuzz(func(t *testing.T, window, conn, port, client string, offset, length uint64, reason string, start bool) {
		flow := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: window, Conn: conn, Port: port, Peer: client, Network: "tcp"}}, FromStart: start}
		checkComments(t, flow, offset, length, reason)
		_, _ = parseComment(window + conn + port)
	})
}
