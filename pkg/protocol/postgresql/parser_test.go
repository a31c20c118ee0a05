package postgresql

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

var update = flag.Bool("update", false, "write the calls that are found to testdata")

// The sessions in testdata were recorded between clients and PostgreSQL 15.
func TestSessions(t *testing.T) { parsetest.Golden(t, &Protocol, *update) }

func TestProperties(t *testing.T) {
	for name, session := range parsetest.Sessions(t) {
		if name == "cancel" || name == "gss" {
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

// A message is found in the middle of a connection, where it is.
func TestWithin(t *testing.T) {
	for name, session := range parsetest.Sessions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsetest.Within(t, &Protocol, session, messageStarts)
		})
	}
}

func messageStarts(dir record.Direction, stream []byte) map[int]bool {
	starts := map[int]bool{}
	for at := 0; at < len(stream); {
		starts[at] = true
		switch {
		case dir == record.In && stream[at] == 0:
			at += int(stream[at+3])
		case dir == record.Out && at == 0 && stream[at+1] != 0:
			at++
		default:
			at += 1 + int(stream[at+3])<<8 + int(stream[at+4])
		}
	}
	return starts
}

func FuzzParser(f *testing.F) {
	var seeds []parsetest.Session
	for _, session := range parsetest.Sessions(f) {
		seeds = append(seeds, session)
	}
	parsetest.Fuzz(f, &Protocol, seeds...)
}

func BenchmarkRows(b *testing.B) {
	row := []byte("D\x00\x00\x00\x61\x00\x03\x00\x00\x00\x0212\x00\x00\x00\x46" + strings.Repeat("x", 70) + "\x00\x00\x00\x03abc")
	row[4] = byte(len(row) - 1)
	answer := append([]byte("T\x00\x00\x00\x06\x00\x00"), []byte(strings.Repeat(string(row), 10000))...)
	answer = append(answer, "C\x00\x00\x00\x11SELECT 10000\x00Z\x00\x00\x00\x05I"...)
	ask := []byte("Q\x00\x00\x00\x0dSELECT 1\x00")
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	sink, n := &parsetest.Calls{}, uint64(0)
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
	sink.List = nil
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
		sink, n := &parsetest.Calls{}, uint64(0)
		env := parse.Env{Sink: sink, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
		p := newParser(env).(*parser)
		keep := Protocol
		keep.New = func(parse.Env) parse.Parser { return p }
		r := parse.NewRunner(&keep, env)
		r.Start(record.In, 0)
		next := uint64(0)
		p.Started = true
		for i := 0; i < 5000 && next < 16*memory; i++ {
			m := message(i)
			if err := r.Data(record.In, next, parsetest.Start, []byte(m)); err != nil {
				t.Fatal(name, err)
			}
			next += uint64(len(m))
			if i%100 == 0 {
				if size := len(p.Queue)*unitMemory + p.texts() + p.Size + portals(p); size > memory {
					t.Fatalf("%s: after %d messages the state has %d bytes", name, i, size)
				}
				sink.List = sink.List[:0]
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
