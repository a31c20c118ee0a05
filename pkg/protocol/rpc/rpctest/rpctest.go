// Package rpctest has what the tests of the RPC protocols have in common.
package rpctest

import (
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

// Line returns a call as the files of testdata have it.
func Line(c *call.Call) string {
	text := fmt.Sprintf("%s %q %q %q %d", c.Method, c.Target, c.Service, c.Status, c.Code)
	if c.Failed {
		text += " failed"
	}
	return strings.Join(append([]string{text}, c.Incomplete.Words()...), " ") + " request " + where(&c.Request) + " answer " + where(&c.Response)
}

func where(m *call.Message) string {
	if !m.Present {
		return "-"
	}
	return fmt.Sprintf("%d+%d", m.Offset, m.Length)
}

// Known checks the calls of each session in testdata against those that its client
// knows, in the file beside it.
func Known(t *testing.T, p *parse.Protocol) {
	t.Helper()
	for name, session := range parsetest.Sessions(t) {
		t.Run(name, func(t *testing.T) {
			got, err := parsetest.Decode(p, session, true)
			if err != nil {
				t.Fatal(err)
			}
			// The order of the client's is that of the requests.
			found := make([]string, len(got.Calls))
			for i := range got.Calls {
				c := &got.Calls[i]
				if c.N < 1 || c.N > uint64(len(found)) || found[c.N-1] != "" {
					t.Fatalf("call %d of %d, or twice", c.N, len(found))
				}
				found[c.N-1] = Line(c)
			}
			text, err := os.ReadFile(filepath.Join("testdata", name+".calls"))
			if err != nil {
				t.Fatal(err)
			}
			_, want, _ := strings.Cut(string(text), "\n") // a comment
			if got := strings.Join(found, "\n") + "\n"; got != want {
				t.Errorf("calls\n%swant\n%s", got, want)
			}
		})
	}
}

// Check checks what all parsers must satisfy, with the sessions in testdata and others.
func Check(t *testing.T, p *parse.Protocol, others map[string]parsetest.Session) {
	t.Helper()
	all := parsetest.Sessions(t)
	for name, session := range others {
		all[name] = session
	}
	var seeds []parsetest.Session
	for name, session := range all {
		seeds = append(seeds, session)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsetest.Check(t, p, session)
			Recognised(t, p, session)
			Sync(t, p, session)
			Changed(t, p, session)
			parsetest.WithoutSpans(t, p, session)
		})
	}
	t.Run("hostile", func(t *testing.T) {
		t.Parallel()
		parsetest.Hostile(t, p, seeds...)
	})
}

// Recognised checks that the first bytes of each direction decide the protocol, and that the verdict stays
// the same when there are more.
func Recognised(t *testing.T, p *parse.Protocol, session parsetest.Session) {
	t.Helper()
	for _, dir := range record.Directions() {
		stream := session.Stream(dir)
		if len(stream) == 0 {
			continue
		}
		before := parse.Maybe
		for n := 1; n <= min(len(stream), 16<<10); n += 1 + n/64 {
			v := p.Begins(dir, stream[:n])
			if v == parse.No || before == parse.Yes && v != before {
				t.Fatalf("%s: verdict %v of the first %d bytes, %v of fewer", dir, v, n, before)
			}
			before = v
		}
		if before != parse.Yes {
			t.Errorf("%s is not recognised", dir)
		}
	}
}

// Sync checks that a message that is found in the middle is the same however many bytes
// there are at a time, and that it is one.
func Sync(t *testing.T, p *parse.Protocol, session parsetest.Session) {
	t.Helper()
	begin := [2]map[int]bool{{}, {}}
	calls, err := parsetest.Decode(p, session, true)
	if err != nil {
		t.Fatal(err)
	}
	asked := false // by the server
	for _, c := range calls.Calls {
		asked = asked || !c.Request.Present && c.Method != ""
		begin[record.In][int(c.Request.Offset)] = true
		begin[record.Out][int(c.Response.Offset)] = true
	}
	for _, dir := range record.Directions() {
		stream := session.Stream(dir)
		random := rand.New(rand.NewPCG(uint64(dir), 7))
		for range 50 {
			if len(stream) == 0 || asked && dir == record.In {
				break // the client's answers are no messages of calls
			}
			from := random.IntN(len(stream))
			at, needed, found := p.Within(dir, stream[from:])
			if !found {
				continue
			}
			if again, same, ok := p.Within(dir, stream[from:from+needed]); !ok || again != at || same != needed {
				t.Fatalf("%s from %d: message at %d with %d bytes, %d without those that follow (%v)", dir, from, at, needed, again, ok)
			}
			if !begin[dir][from+at] {
				t.Errorf("%s from %d: no message begins at %d", dir, from, from+at)
			}
		}
	}
}

// Changed checks that the calls of a session with random bytes changed do not depend on how it is cut.
func Changed(t *testing.T, p *parse.Protocol, session parsetest.Session) {
	t.Helper()
	for round := range 100 {
		random := rand.New(rand.NewPCG(uint64(round), 8))
		var changed parsetest.Session
		size := 0
		for _, piece := range session {
			piece.Data = append([]byte(nil), piece.Data...)
			changed = append(changed, piece)
			if size += len(piece.Data); len(changed) > 12 || size > 8<<10 {
				break
			}
		}
		for range 1 + random.IntN(3) {
			data := changed[random.IntN(len(changed))].Data
			at := random.IntN(min(len(data), 40)) // most are in a head
			data[at] = []byte{data[at] ^ 1<<random.IntN(8), byte(random.IntN(256)), 0, 0xff}[random.IntN(4)]
		}
		cuts(t, p, changed, 1+random.IntN(4))
	}
}

// cuts checks that the calls are the same where the pieces are cut into such of most bytes.
func cuts(t *testing.T, p *parse.Protocol, session parsetest.Session, most int) {
	t.Helper()
	var cut parsetest.Session
	for _, piece := range session {
		for b := piece.Data; len(b) > 0; b = b[min(most, len(b)):] {
			cut = append(cut, parsetest.Piece{Dir: piece.Dir, At: piece.At, Data: b[:min(most, len(b))]})
		}
	}
	want, wantErr := parsetest.Decode(p, session, true)
	got, gotErr := parsetest.Decode(p, cut, true)
	if (wantErr == nil) != (gotErr == nil) || parsetest.Text(got.Calls) != parsetest.Text(want.Calls) {
		t.Errorf("in pieces of %d bytes (%v)\n%swhole (%v)\n%s", most, gotErr, parsetest.Text(got.Calls), wantErr, parsetest.Text(want.Calls))
	}
}

// Fuzz fuzzes a parser: data are pieces, each with its length, and whose first bit is
// its direction. It checks that a parser that gets them byte by byte finds the same.
func Fuzz(f *testing.F, p *parse.Protocol) {
	for _, session := range parsetest.Sessions(f) {
		var data []byte
		for _, piece := range session {
			for b := piece.Data; len(b) > 0; {
				n := min(len(b), 0x7f)
				data = append(append(data, byte(piece.Dir)<<7|byte(n)), b[:n]...)
				b = b[n:]
			}
			if len(data) > 4<<10 {
				break
			}
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var session parsetest.Session
		for i := 0; len(data) > 0; i++ {
			dir, n := record.Direction(data[0]>>7), min(int(data[0]&0x7f), len(data)-1)
			if n > 0 {
				session = append(session, parsetest.Piece{Dir: dir, At: parsetest.Start.Add(time.Duration(i)), Data: data[1 : 1+n]})
			}
			data = data[1+n:]
		}
		cuts(t, p, session, 1)
	})
}

type nothing struct{}

func (nothing) Call(*call.Call) {}
func (nothing) Span(call.Span)  {}

// Bench measures how fast a parser is with a session again and again, in pieces of 16
// KiB.
func Bench(b *testing.B, p *parse.Protocol, session parsetest.Session) {
	streams := [2][]byte{session.Stream(record.In), session.Stream(record.Out)}
	const piece = 16 << 10
	b.SetBytes(int64(len(streams[0]) + len(streams[1])))
	b.ReportAllocs()
	n := uint64(0)
	env := parse.Env{Sink: nothing{}, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
	runner := parse.NewRunner(p, env)
	var next [2]uint64
	for range b.N {
		for dir, stream := range streams {
			for len(stream) > 0 {
				k := min(len(stream), piece)
				if err := runner.Data(record.Direction(dir), next[dir], parsetest.Start, stream[:k]); err != nil {
					b.Fatal(err)
				}
				next[dir] += uint64(k)
				stream = stream[k:]
			}
		}
	}
}
