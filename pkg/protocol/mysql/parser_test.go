package mysql

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

var update = flag.Bool("update", false, "write the calls that are found to testdata")

// The sessions in testdata were recorded between clients and MariaDB 10.11.
func sessions(t testing.TB) map[string]parsetest.Session {
	t.Helper()
	files, err := filepath.Glob("testdata/*.talk")
	if err != nil || len(files) == 0 {
		t.Fatal("no sessions: ", err)
	}
	all := map[string]parsetest.Session{}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), ".talk")] = parsetest.Load(t, file)
	}
	return all
}

// lines returns calls as lines.
func lines(calls []call.Call) string {
	var b strings.Builder
	for i := range calls {
		c := &calls[i]
		latency := "-"
		if d, ok := c.Latency(); ok {
			latency = d.Round(time.Microsecond).String()
		}
		fmt.Fprintf(&b, "%d %s %q %s failed=%v %v request %d+%d answer %d+%d latency %s\n", c.N, c.Method, c.Target, c.Status, c.Failed, c.Incomplete.Words(),
			c.Request.Offset, c.Request.Length, c.Response.Offset, c.Response.Length, latency)
	}
	return b.String()
}

func TestSessions(t *testing.T) {
	for name, session := range sessions(t) {
		t.Run(name, func(t *testing.T) {
			got, err := parsetest.Decode(&Protocol, session, true)
			text := lines(got.Calls)
			if err != nil {
				text += err.Error() + "\n"
			}
			file := filepath.Join("testdata", name+".calls")
			if *update {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("calls\n%swant\n%s", text, want)
			}
		})
	}
}

// Without spans rows and values are passed over in fewer steps.
func TestWithoutSpans(t *testing.T) {
	for name, session := range sessions(t) {
		with, _ := parsetest.Decode(&Protocol, session, true)
		if got := decode(session); lines(got) != lines(with.Calls) {
			t.Errorf("%s: calls\n%swith spans\n%s", name, lines(got), lines(with.Calls))
		}
	}
}

type callSink struct{ calls []call.Call }

func (s *callSink) Call(c *call.Call) { s.calls = append(s.calls, *c) }
func (s *callSink) Span(call.Span)    {}

// decode returns the calls of a session that a sink without spans gets.
func decode(session parsetest.Session) []call.Call {
	sink, n := &callSink{}, uint64(0)
	r := parse.NewRunner(&Protocol, parse.Env{Sink: sink, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
	var next [2]uint64
	for _, p := range session {
		if r.Data(p.Dir, next[p.Dir], p.At, p.Data) != nil {
			break
		}
		next[p.Dir] += uint64(len(p.Data))
	}
	r.End(parse.End{Closed: true, Recorded: [2]bool{true, true}})
	return sink.calls
}

func TestProperties(t *testing.T) {
	for name, session := range sessions(t) {
		if name == "toomany" {
			continue // there is no call left after a gap
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsetest.Check(t, &Protocol, session)
		})
	}
}

func TestHostile(t *testing.T) {
	var all []parsetest.Session
	for _, session := range sessions(t) {
		all = append(all, session)
	}
	parsetest.Hostile(t, &Protocol, all...)
}

func stream(s parsetest.Session, dir record.Direction) []byte {
	var b []byte
	for _, p := range s {
		if p.Dir == dir {
			b = append(b, p.Data...)
		}
	}
	return b
}

// Of the first bytes of a session one direction says Yes and none says No; a verdict that was given does not change.
func TestBegins(t *testing.T) {
	for name, session := range sessions(t) {
		yes := false
		for _, dir := range record.Directions() {
			data, last := stream(session, dir), parse.Maybe
			for n := 1; n <= min(len(data), 500); n++ {
				v := Protocol.Begins(dir, data[:n])
				if last != parse.Maybe && v != last || v == parse.No {
					t.Fatalf("%s: %s: %d after %d at %d bytes", name, dir, v, last, n)
				}
				last = v
			}
			yes = yes || last == parse.Yes
		}
		if !yes {
			t.Errorf("%s is not recognised", name)
		}
	}
}

// Bytes of other protocols are not recognised.
func TestRandomBytesAreNotRecognised(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const rounds = 3000
	data := make([]byte, 4096)
	begins, within := 0, 0
	for range rounds {
		for i := range data {
			data[i] = byte(random.Uint32())
			if random.IntN(2) == 0 {
				data[i] = 0 // binary protocols have many
			}
		}
		for _, dir := range record.Directions() {
			if Protocol.Begins(dir, data) == parse.Yes {
				begins++
			}
			if _, _, ok := Protocol.Within(dir, data[:512]); ok {
				within++
			}
		}
	}
	if begins > 0 || within > 0 {
		t.Errorf("of %d streams of random bytes, %d begin like MySQL, and %d have messages of it", rounds, begins, within)
	}
}

// A packet is found in the middle of a connection, where it is.
func TestWithin(t *testing.T) {
	for name, session := range sessions(t) {
		if name == "compressed" {
			continue
		}
		for _, dir := range record.Directions() {
			data := stream(session, dir)
			if len(data) < 300 {
				continue
			}
			starts := map[int]bool{}
			for at := 0; at < len(data); at += header + length(data[at:]) {
				starts[at] = true
			}
			for from := 1; from < len(data); from++ {
				at, needed, found := Protocol.Within(dir, data[from:])
				if !found {
					continue
				}
				if !starts[from+at] {
					t.Fatalf("%s: %s: from %d on a packet is found at %d, where there is none", name, dir, from, from+at)
				}
				if at2, needed2, found := Protocol.Within(dir, data[from:from+needed]); !found || at2 != at || needed2 != needed {
					t.Fatalf("%s: %s: with the %d bytes that were needed, it is found at %d instead of %d", name, dir, needed, at2, at)
				}
			}
		}
	}
}

func FuzzParser(f *testing.F) {
	for _, session := range sessions(f) {
		f.Add(stream(session, record.In), stream(session, record.Out), uint16(100))
	}
	f.Fuzz(func(_ *testing.T, in, out []byte, gap uint16) {
		sink, n := &parsetest.Recorder{}, uint64(0)
		r := parse.NewRunner(&Protocol, parse.Env{Sink: sink, Spans: true, Memory: 1 << 16, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
		var next [2]uint64
		for i := 0; len(in)+len(out) > 0; i++ {
			for dir, data := range []*[]byte{&in, &out} {
				n := min(len(*data), 1+i*37%200)
				piece := (*data)[:n]
				*data = (*data)[n:]
				at := parsetest.Start.Add(time.Duration(i) * time.Millisecond)
				var err error
				if i == int(gap) {
					err = r.Gap(record.Direction(dir), next[dir], uint64(n))
				} else {
					err = r.Data(record.Direction(dir), next[dir], at, piece)
				}
				if err != nil {
					return
				}
				next[dir] += uint64(n)
			}
		}
		r.End(parse.End{Closed: true})
	})
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
	sink, n := &callSink{}, uint64(0)
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
	sink.calls = nil
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
		if len(sink.calls) != 1 || sink.calls[0].Status != "OK" {
			b.Fatal(lines(sink.calls))
		}
		sink.calls = sink.calls[:0]
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
		sink, n := &callSink{}, uint64(0)
		env := parse.Env{Sink: sink, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
		p := newParser(env).(*parser)
		p.Phase = commands
		keep := Protocol
		keep.New = func(parse.Env) parse.Parser { return p }
		r := parse.NewRunner(&keep, env)
		next := uint64(0)
		for i := range 10000 {
			m := message(i)
			if err := r.Data(record.In, next, parsetest.Start, []byte(m)); err != nil {
				t.Fatal(name, err)
			}
			next += uint64(len(m))
			if i%1000 == 0 {
				if size := len(p.Queue)*unitMemory + p.texts() + p.Size; size > memory {
					t.Fatalf("%s: after %d packets the state has %d bytes", name, i, size)
				}
				sink.calls = sink.calls[:0]
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
	size, calls := 0, len(decode(session))
	for _, p := range session {
		size += len(p.Data)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for range b.N {
		if got := decode(session); len(got) != calls {
			b.Fatalf("%d calls, want %d", len(got), calls)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*calls), "ns/call")
}
