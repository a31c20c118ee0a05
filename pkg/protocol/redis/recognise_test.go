package redis_test

import (
	"runtime"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/redis"
	"mosn.io/tcpcopy/pkg/record"
)

// decode returns what a decoder finds in a session, and the protocol at its end.
func decode(s parsetest.Session, from int) (calls []call.Call, name string) {
	var r parsetest.Recorder
	d := protocol.New(&r, protocol.Limits{})
	var next record.PerDirection
	for i, p := range s {
		if i == from {
			d.Open(next)
		}
		if i >= from {
			d.Data(p.Dir, next.Of(p.Dir), p.At, p.Data)
		}
		next.Add(p.Dir, uint64(len(p.Data)))
	}
	d.Close(parsetest.Start, record.CloseRemote, next)
	d.End(parsetest.Start)
	return r.Calls, d.Protocol()
}

// Redis is recognised by either side, and other protocols are not recognised as it.
func TestRecognised(t *testing.T) {
	for _, test := range []struct {
		name    string
		session parsetest.Session
		want    string
	}{
		{"command", parsetest.Talk(">" + cmd("PING")), call.Redis},
		{"command in pieces", parsetest.Talk(">*", ">2\r\n$3\r\nG", ">ET\r\n$1\r\nk\r\n"), call.Redis},
		{"inline", parsetest.Talk(">PING\r\n", "<+PONG\r\n"), call.Redis},
		{"inline with values", parsetest.Talk(">get k\r\n", "<$1\r\nv\r\n"), call.Redis},
		{"refused", parsetest.Talk("<-ERR max number of clients reached\r\n"), call.Redis},
		{"protected", parsetest.Talk("<-DENIED Redis is running in protected mode\r\n"), call.Redis},
		{"memcached", parsetest.Talk(">get k\r\n", "<VALUE k 0 1\r\nv\r\nEND\r\n"), call.TCP},
		{"POP3", parsetest.Talk("<+OK POP3 server ready <1@x>\r\n", ">USER bob\r\n", "<+OK\r\n"), call.TCP},
		{"SMTP", parsetest.Talk("<220 mail\r\n", ">QUIT\r\n", "<221 bye\r\n"), call.TCP},
		{"list", parsetest.Talk(">* a list\r\n"), call.TCP},
		{"HTTP", parsetest.Talk(">GET / HTTP/1.1\r\nHost: a\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), call.HTTP1},
	} {
		if _, name := decode(test.session, 0); name != test.want {
			t.Errorf("%s: %q, want %q", test.name, name, test.want)
		}
	}
	for _, s := range sessions {
		if _, name := decode(s.session, 0); name != call.Redis {
			t.Errorf("%s: %q", s.name, name)
		}
	}
	for from := 1; from < 8; from++ {
		calls, name := decode(sessions[0].session, from)
		if name != call.Redis || len(calls) == 0 {
			t.Errorf("from piece %d on: %q, %d calls", from, name, len(calls))
		}
	}
}

// What follows the answer to PSYNC are no answers.
func TestReplication(t *testing.T) {
	snapshot := "$5\r\nREDIS*1\r\n$4\r\nPING\r\n"
	for _, test := range []struct{ ask, answer, want string }{
		{cmd("PSYNC", "?", "-1"), "\n\n+FULLRESYNC 8de1 0\r\n", "PSYNC \"\" OK\n"},
		{cmd("SYNC"), "\n", "SYNC \"\" OK\n"},
	} {
		s := parsetest.Talk(">"+cmd("REPLCONF", "capa", "psync2"), "<+OK\r\n", ">"+test.ask, "<"+test.answer, "<"+snapshot, ">"+cmd("REPLCONF", "ACK", "0"), "<"+cmd("SET", "k", "v"))
		calls, name := decode(s, 0)
		if name != call.TCP {
			t.Errorf("%q: it goes on with %q", test.ask, name)
		}
		if got, want := lines(calls[:2]), "REPLCONF \"\" OK\n"+test.want; got != want {
			t.Errorf("%q: calls\n%swant\n%s", test.ask, got, want)
		}
		for _, c := range calls[2:] {
			if c.Protocol != call.TCP {
				t.Errorf("%q: %s", test.ask, line(&c))
			}
		}
	}
	s := parsetest.Talk(">"+cmd("PSYNC", "?", "-1"), "<-NOMASTERLINK Can't SYNC\r\n", ">"+cmd("PING"), "<+PONG\r\n")
	if calls, _ := decode(s, 0); lines(calls) != "PSYNC \"\" NOMASTERLINK failed\nPING \"\" OK\n" {
		t.Errorf("refused: calls\n%s", lines(calls))
	}
}

// However much a connection claims or sends, little of it is held.
func TestMemory(t *testing.T) {
	const mb = 1 << 20
	pieces := func(dir record.Direction, head, body string, n int) func(func(record.Direction, string)) {
		return func(data func(record.Direction, string)) {
			data(dir, head)
			for range n {
				data(dir, body)
			}
		}
	}
	for name, send := range map[string]func(func(record.Direction, string)){
		"a long string":          pieces(record.In, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\n", strings.Repeat("x", mb), 20),
		"a long key":             pieces(record.In, "*2\r\n$3\r\nGET\r\n$500000000\r\n", strings.Repeat("x", mb), 20),
		"many arguments":         pieces(record.In, "*1000000000\r\n$3\r\nDEL\r\n", strings.Repeat("$1\r\nk\r\n", mb/7), 10),
		"many elements":          pieces(record.Out, "*1000000000\r\n", strings.Repeat("$1\r\nk\r\n", mb/7), 10),
		"a long answer":          pieces(record.Out, "$500000000\r\n", strings.Repeat("x", mb), 20),
		"a long line":            pieces(record.Out, "+", strings.Repeat("x", mb), 20),
		"deep":                   pieces(record.Out, "", strings.Repeat("*1\r\n", mb/4), 10),
		"deep and without end":   pieces(record.Out, "", strings.Repeat("*?\r\n", mb/4), 2),
		"unanswered":             pieces(record.In, "", strings.Repeat(cmd("GET", "a key of some bytes"), mb/40), 20),
		"unanswered and special": pieces(record.In, "", strings.Repeat(cmd("SUBSCRIBE", "a channel"), mb/40), 20),
		"messages":               pieces(record.Out, "", strings.Repeat(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", mb/40), 10),
	} {
		t.Run(name, func(t *testing.T) {
			n, offsets := uint64(0), [2]uint64{}
			r := parse.NewRunner(&redis.Protocol, parse.Env{Sink: discard{}, Spans: true, Memory: mb, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			failed := false
			send(func(dir record.Direction, text string) {
				if !failed {
					failed = r.Data(dir, offsets[dir], parsetest.Start, []byte(text)) != nil
				}
				offsets[dir] += uint64(len(text))
			})
			runtime.GC()
			runtime.ReadMemStats(&after)
			if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 4*mb {
				t.Errorf("%d bytes are held", held)
			}
			runtime.KeepAlive(r)
		})
	}
}

// FuzzParser gives a parser any bytes of both sides, with a gap.
func FuzzParser(f *testing.F) {
	var seeds []parsetest.Session
	for _, s := range sessions {
		seeds = append(seeds, s.session)
	}
	parsetest.Fuzz(f, &redis.Protocol, seeds...)
}
