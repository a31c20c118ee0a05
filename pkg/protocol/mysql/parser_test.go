package mysql

import (
	"encoding/binary"
	"flag"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

var update = flag.Bool("update", false, "write the calls that are found to testdata")

// The sessions in testdata were recorded between clients and MariaDB 10.11.
func TestSessions(t *testing.T) { parsetest.Golden(t, &Protocol, *update) }

func TestProperties(t *testing.T) {
	for name, session := range parsetest.Sessions(t) {
		if name == "toomany" {
			continue // there is no call left after a gap
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsetest.Check(t, &Protocol, session)
			parsetest.WithoutSpans(t, &Protocol, session)
		})
	}
}

func TestHostile(t *testing.T) {
	var all []parsetest.Session
	for _, session := range parsetest.Sessions(t) {
		all = append(all, session)
	}
	parsetest.Hostile(t, &Protocol, all...)
}

func TestBegins(t *testing.T) {
	for name, session := range parsetest.Sessions(t) {
		t.Run(name, func(t *testing.T) { parsetest.Begins(t, &Protocol, session) })
	}
}

func TestRandomBytesAreNotRecognised(t *testing.T) { parsetest.Random(t, &Protocol) }

// A packet is found in the middle of a connection, where it is.
func TestWithin(t *testing.T) {
	for name, session := range parsetest.Sessions(t) {
		if name == "compressed" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsetest.Within(t, &Protocol, session, func(_ record.Direction, stream []byte) map[int]bool {
				starts := map[int]bool{}
				for at := 0; at < len(stream); at += header + length(stream[at:]) {
					starts[at] = true
				}
				return starts
			})
		})
	}
}

func FuzzParser(f *testing.F) {
	var seeds []parsetest.Session
	for _, session := range parsetest.Sessions(f) {
		seeds = append(seeds, session)
	}
	parsetest.Fuzz(f, &Protocol, seeds...)
}

func packet(number byte, body string) string {
	n := len(body)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), number}) + body
}

const (
	hello  = "\n8.0.39\x00\x01\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00caching_sha2_password\x00"
	okay   = "\x00\x00\x00\x02\x00\x00\x00"
	column = "\x03def\x00\x00\x00\x01x\x00\x0c\x3f\x00\x01\x00\x00\x00\xfd\x00\x00\x00\x00\x00"
	ending = "\xfe\x00\x00\x02\x00\x00\x00"
)

// loginOf is a login with capabilities besides those that all have.
func loginOf(caps uint32) string {
	caps |= capMySQL | capProtocol41 | capSecure | capPluginAuth | capDeprecateEOF
	return string(binary.LittleEndian.AppendUint32(nil, caps)) + "\x00\x00\x00\x01\x2d" + strings.Repeat("\x00", 23) + "me\x00\x04pass" + "caching_sha2_password\x00"
}

func BenchmarkRows(b *testing.B) {
	var answer []byte
	answer = append(answer, packet(1, "\x01")+packet(2, column)...)
	for i := range 10000 {
		answer = append(answer, packet(byte(3+i), "\x0212\x46"+strings.Repeat("x", 70)+"\x03abc")...)
	}
	answer = append(answer, packet(19, ending)...)
	ask := []byte(packet(0, "\x03SELECT 1"))
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	sink, n := &parsetest.Calls{}, uint64(0)
	r := parse.NewRunner(&Protocol, parse.Env{Sink: sink, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
	var next [2]uint64
	give := func(dir record.Direction, data string) {
		if err := r.Data(dir, next[dir], parsetest.Start, []byte(data)); err != nil {
			b.Fatal(err)
		}
		next[dir] += uint64(len(data))
	}
	give(record.Out, packet(0, hello))
	give(record.In, packet(1, loginOf(0)))
	give(record.Out, packet(2, okay))
	sink.List = nil
	b.ResetTimer()
	for range b.N {
		give(record.In, string(ask))
		for rest := answer; len(rest) > 0; {
			piece := rest[:min(len(rest), 16<<10)]
			rest = rest[len(piece):]
			if err := r.Data(record.Out, next[1], parsetest.Start, piece); err != nil {
				b.Fatal(err)
			}
			next[1] += uint64(len(piece))
		}
		if len(sink.List) != 1 || sink.List[0].Status != "OK" {
			b.Fatal(parsetest.Lines(sink.List))
		}
		sink.List = sink.List[:0]
	}
}

// A client that sends much and never gets an answer costs no more than the memory that there is.
func TestMemoryIsBounded(t *testing.T) {
	const memory = 1 << 20
	for name, message := range map[string]func(i int) string{
		"long queries":  func(int) string { return packet(0, "\x03"+strings.Repeat("x", 60<<10)) },
		"short queries": func(int) string { return packet(0, "\x03SELECT 1") },
		"long data":     func(int) string { return packet(0, "\x18\x01\x00\x00\x00\x00\x00"+strings.Repeat("x", 20<<10)) },
		"executes":      func(int) string { return packet(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00") },
	} {
		sink, n := &parsetest.Calls{}, uint64(0)
		env := parse.Env{Sink: sink, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
		p := newParser(env).(*parser)
		p.Phase = commands
		keep := Protocol
		keep.New = func(parse.Env) parse.Parser { return p }
		r := parse.NewRunner(&keep, env)
		next := uint64(0)
		for i := 0; i < 10000 && next < 16*memory; i++ {
			m := message(i)
			if err := r.Data(record.In, next, parsetest.Start, []byte(m)); err != nil {
				t.Fatal(name, err)
			}
			next += uint64(len(m))
			if i%100 == 0 {
				if size := len(p.Queue)*unitMemory + p.texts() + p.Size; size > memory {
					t.Fatalf("%s: after %d packets the state has %d bytes", name, i, size)
				}
				sink.List = sink.List[:0]
			}
		}
	}
}

// Statements that are prepared and never closed are forgotten, the oldest first.
func TestStatementsAreBounded(t *testing.T) {
	p := newParser(parse.Env{Memory: 1 << 20}).(*parser)
	for i := range 10000 {
		p.define(uint32(i), raw(strings.Repeat("x", 1000)), 3)
		if p.Size > 1<<18 {
			t.Fatalf("%d bytes after %d statements", p.Size, i)
		}
	}
	if _, ok := p.Statements[9999]; !ok || len(p.Statements) < 100 {
		t.Errorf("%d statements are left", len(p.Statements))
	}
	p.forget()
	if p.Size != 0 || len(p.Statements) != 0 {
		t.Errorf("%d bytes of %d statements are left", p.Size, len(p.Statements))
	}
}

// A session of short requests and answers.
func BenchmarkSession(b *testing.B) {
	session := parsetest.Load(b, "testdata/modern.talk")
	all, err := parsetest.CallsOf(&Protocol, session)
	if err != nil {
		b.Fatal(err)
	}
	size, calls := 0, len(all)
	for _, p := range session {
		size += len(p.Data)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for range b.N {
		if got, err := parsetest.CallsOf(&Protocol, session); err != nil || len(got) != calls {
			b.Fatalf("%d calls, want %d", len(got), calls)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*calls), "ns/call")
}
