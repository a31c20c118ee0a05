package postgresql

import (
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

// The sessions in testdata were recorded between clients and PostgreSQL 15.
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
		if name == "cancel" || name == "gss" {
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
		t.Errorf("of %d streams of random bytes, %d begin like PostgreSQL, and %d have messages of it", rounds, begins, within)
	}
}

// A message is found in the middle of a connection, where it is.
func TestWithin(t *testing.T) {
	for name, session := range sessions(t) {
		for _, dir := range record.Directions() {
			data := stream(session, dir)
			if len(data) < 300 {
				continue
			}
			starts := map[int]bool{}
			at := 0
			for at < len(data) {
				starts[at] = true
				switch {
				case dir == record.In && data[at] == 0:
					at += int(data[at+3])
				case dir == record.Out && at == 0 && data[at+1] != 0:
					at++
				default:
					at += 1 + int(data[at+3])<<8 + int(data[at+4])
				}
			}
			for from := 1; from < len(data); from++ {
				at, needed, found := Protocol.Within(dir, data[from:])
				if !found {
					continue
				}
				if !starts[from+at] {
					t.Fatalf("%s: %s: from %d on a message is found at %d, where there is none", name, dir, from, from+at)
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

func BenchmarkRows(b *testing.B) {
	row := []byte("D\x00\x00\x00\x61\x00\x03\x00\x00\x00\x0212\x00\x00\x00\x46" + strings.Repeat("x", 70) + "\x00\x00\x00\x03abc")
	row[4] = byte(len(row) - 1)
	answer := append([]byte("T\x00\x00\x00\x06\x00\x00"), []byte(strings.Repeat(string(row), 10000))...)
	answer = append(answer, "C\x00\x00\x00\x11SELECT 10000\x00Z\x00\x00\x00\x05I"...)
	ask := []byte("Q\x00\x00\x00\x0dSELECT 1\x00")
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	sink, n := &callSink{}, uint64(0)
	r := parse.NewRunner(&Protocol, parse.Env{Sink: sink, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
	r.Start(record.In, 0)
	r.Start(record.Out, 0)
	var next [2]uint64
	login := []byte("\x00\x00\x00\x10\x00\x03\x00\x00user\x00me\x00\x00")
	login[3] = byte(len(login))
	if err := r.Data(record.In, 0, parsetest.Start, login); err != nil {
		b.Fatal(err)
	}
	ready := []byte("R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I")
	if err := r.Data(record.Out, 0, parsetest.Start, ready); err != nil {
		b.Fatal(err)
	}
	next = [2]uint64{uint64(len(login)), uint64(len(ready))}
	sink.calls = nil
	for range b.N {
		if err := r.Data(record.In, next[0], parsetest.Start, ask); err != nil {
			b.Fatal(err)
		}
		next[0] += uint64(len(ask))
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
		"long queries":  func(int) string { return clientMessage('Q', strings.Repeat("x", 60<<10)+"\x00") },
		"short queries": func(int) string { return clientMessage('Q', "SELECT 1\x00") },
		"statements": func(i int) string {
			return clientMessage('P', fmt.Sprintf("s%d\x00%s\x00\x00\x00", i, strings.Repeat("y", 20<<10)))
		},
		"names":   func(i int) string { return clientMessage('P', fmt.Sprintf("s%d\x00\x00\x00\x00", i)) },
		"portals": func(i int) string { return clientMessage('B', fmt.Sprintf("p%d\x00\x00\x00\x00\x00\x00\x00\x00", i)) },
		"long names": func(i int) string {
			return clientMessage('P', strings.Repeat("n", 30<<10)+fmt.Sprint(i)+"\x00\x00\x00\x00")
		},
		"long portals": func(i int) string {
			return clientMessage('B', strings.Repeat("n", 30<<10)+fmt.Sprint(i)+"\x00\x00\x00\x00\x00\x00\x00\x00")
		},
		"describe": func(int) string { return clientMessage('D', "Ss\x00") },
		"syncs":    func(int) string { return clientMessage('S', "") },
	} {
		sink, n := &callSink{}, uint64(0)
		env := parse.Env{Sink: sink, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
		p := newParser(env).(*parser)
		keep := Protocol
		keep.New = func(parse.Env) parse.Parser { return p }
		r := parse.NewRunner(&keep, env)
		r.Start(record.In, 0)
		next := uint64(0)
		p.Started = true
		for i := range 5000 {
			m := message(i)
			if err := r.Data(record.In, next, parsetest.Start, []byte(m)); err != nil {
				t.Fatal(name, err)
			}
			next += uint64(len(m))
			if i%1000 == 0 {
				if size := len(p.Queue)*unitMemory + p.texts() + p.Size + portals(p); size > memory {
					t.Fatalf("%s: after %d messages the state has %d bytes", name, i, size)
				}
				sink.calls = sink.calls[:0]
			}
		}
	}
}

func clientMessage(typ byte, body string) string {
	n := len(body) + 4
	return string([]byte{typ, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
}

// portals returns how many bytes the portals have.
func portals(p *parser) int {
	size := 0
	for name, portal := range p.Portals {
		size += 100 + len(name) + len(portal.Text)
	}
	return size
}

// A session of short requests and answers.
func BenchmarkSession(b *testing.B) {
	session := parsetest.Load(b, "testdata/extended.talk")
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
