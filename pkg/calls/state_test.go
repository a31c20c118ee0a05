package calls_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// Whatever the protocol: what is recorded of a connection from its middle on, with the state
// there, has the calls of the whole connection that end there, with their numbers. Calls that
// began before say so, and have no bytes of before.
func TestACaptureFromTheMiddle(t *testing.T) {
	sessions := map[string]parsetest.Session{
		"grpc":      parsetest.GRPC(t, 30),
		"pipelined": parsetest.Talk(">"+strings.Repeat(get, 3), "<"+ok, "<"+ok+ok, ">"+get, "<"+ok),
		"redis":     parsetest.Talk(">*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n", "<$1\r\n1\r\n", "<-ERR no\r\n", ">*1\r\n$4\r\nPING\r\n", "<+PONG\r\n"),
	}
	files, err := filepath.Glob("../protocol/*/testdata/*.talk")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		sessions[filepath.Base(filepath.Dir(filepath.Dir(file)))+" "+filepath.Base(file)] = parsetest.Load(t, file)
	}
	for name, s := range sessions {
		step := max(1, len(s)/25)
		for cut := 1; cut < len(s); cut += step {
			resumed(t, fmt.Sprintf("%s from %d of %d", name, cut, len(s)), s, cut)
		}
	}
}

// callSink keeps the calls of a decoder as lines, and which of them ended after a mark.
type callSink struct {
	calls []call.Call
}

func (s *callSink) Call(c *call.Call) { s.calls = append(s.calls, *c) }
func (s *callSink) Span(call.Span)    {}
func (s *callSink) WantsSpans() bool  { return false }

// line is what a call says that does not depend on where the window begins.
func line(c *call.Call) string {
	return fmt.Sprintf("%d %s %s %s %s %s %v %v %v %v", c.N, c.Protocol, c.Method, c.Target, c.Service, c.Status, c.Failed, c.Request.Present, c.Response.Present, (c.Incomplete &^ call.BeganBefore).Words())
}

func resumed(t *testing.T, name string, s parsetest.Session, cut int) {
	t.Helper()
	whole := &callSink{}
	d := protocol.New(whole, protocol.Limits{})
	at := start
	var records []record.Record
	two := &session{window: "w2", conn: "lk3xtg-2", at: &at, records: &records}
	ended := 0
	for i, p := range s {
		if i == cut {
			ended = len(whole.calls)
			state := d.Checkpoint()
			base := record.PerDirection{In: two.offsets[0], Out: two.offsets[1]}
			if got, ok := protocol.CheckpointAt(state); !ok || got != base {
				t.Errorf("%s: the state is of %v, want %v", name, got, base)
			}
			records = nil
			two.open()
			two.add(record.Record{Kind: record.KindState, HasBase: true, Base: base, Data: state, Length: uint64(len(state))})
		}
		if len(p.Data) == 0 {
			continue
		}
		two.data(p.Dir, string(p.Data))
		r := records[len(records)-1]
		d.Data(p.Dir, r.Offset, r.Time, r.Data)
	}
	two.close()
	d.Close(at, record.CloseRemote, record.PerDirection{In: two.offsets[0], Out: two.offsets[1]})
	d.End(at)
	var got, want []string
	for _, c := range whole.calls[ended:] {
		want = append(want, line(&c))
	}
	base := records[0].Base
	station := calls.New(calls.Options{}, func(c *calls.Call) error {
		got = append(got, line(&c.Call))
		original := whole.calls[ended+len(got)-1]
		began := original.Request.Present && original.Request.Offset < base.In || original.Response.Present && original.Response.Offset < base.Out
		if began != (c.Incomplete&call.BeganBefore != 0) && original.Incomplete&call.BeganBefore == 0 {
			t.Errorf("%s: call %d: incomplete %v", name, c.N, c.Incomplete.Words())
		}
		for dir, m := range []call.Message{c.Request, c.Response} {
			before := []call.Message{original.Request, original.Response}[dir]
			if m.Present && (m.Offset < base.Of(record.Direction(dir)) || m.End() != max(before.End(), base.Of(record.Direction(dir))) || m.Between+m.Missing > 2*m.Length) {
				t.Errorf("%s: call %d: range %+v of %+v", name, c.N, m.Range, before.Range)
			}
			if m.HasBody && m.Body.Length > 0 && (m.Body.Offset < m.Offset || m.Body.End() > m.End()) {
				t.Errorf("%s: call %d: body %+v of %+v", name, c.N, m.Body, m.Range)
			}
		}
		return nil
	})
	for i := range records {
		if err := station.Add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := station.Finish(); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: calls\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if c := station.Coverage(); c.Undecoded > c.Seen || c.Lost != 0 {
		t.Errorf("%s: coverage %+v", name, c)
	}
}

// A state that does not fit is as none, whatever its bytes are: the connection is decoded
// from its middle on as without it.
func TestStatesThatDoNotFit(t *testing.T) {
	at := start
	var records []record.Record
	s := &session{window: "w", conn: "lk3xtg-2", at: &at, records: &records}
	d := protocol.New(&callSink{}, protocol.Limits{})
	for range 3 {
		s.data(record.In, get)
		d.Data(record.In, s.offsets[0]-uint64(len(get)), at, []byte(get))
		s.data(record.Out, ok)
		d.Data(record.Out, s.offsets[1]-uint64(len(ok)), at, []byte(ok))
	}
	state, base := d.Checkpoint(), record.PerDirection{In: s.offsets[0], Out: s.offsets[1]}
	records = nil
	s.data(record.In, get)
	s.data(record.Out, ok)
	with := func(base record.PerDirection, state []byte) []record.Record {
		r := record.Record{Kind: record.KindState, Identity: records[0].Identity, Time: start, HasBase: true, Base: base, Data: state}
		return append([]record.Record{r}, records...)
	}
	version := bytes.Clone(state)
	version[0]++
	off := base
	off.Out--
	for name, c := range map[string]struct {
		o       calls.Options
		records []record.Record
		want    string
	}{
		"as it is":         {calls.Options{}, with(base, state), "w lk3xtg-2#4 http/1.1 GET /a 200 []"},
		"none":             {calls.Options{}, records, "w lk3xtg-2#1 http/1.1 GET /a 200 []"},
		"another version":  {calls.Options{}, with(base, version), "w lk3xtg-2#1 http/1.1 GET /a 200 []"},
		"nothing":          {calls.Options{}, with(base, nil), "w lk3xtg-2#1 http/1.1 GET /a 200 []"},
		"cut":              {calls.Options{}, with(base, state[:len(state)-1]), "w lk3xtg-2#1 http/1.1 GET /a 200 []"},
		"another protocol": {calls.Options{Protocols: map[string]string{"2046": "tcp"}}, with(base, state), "w lk3xtg-2#1 tcp turn   [cut_by_window]"},
		"the protocol":     {calls.Options{Protocols: map[string]string{"2046": "http/1.1"}}, with(base, state), "w lk3xtg-2#4 http/1.1 GET /a 200 []"},
		"too long":         {calls.Options{Memory: len(state) - 1}, with(base, state), "w lk3xtg-2#1 http/1.1 GET /a 200 []"},
		"late":             {calls.Options{}, append(records[:1:1], append(with(base, state)[:1:1], records[1:]...)...), "w lk3xtg-2#1 http/1.1 GET /a 200 []"},
	} {
		lines, _ := run(t, c.o, c.records)
		if got := strings.Join(lines, "\n"); !strings.HasPrefix(got, c.want) || len(lines) != 1 {
			t.Errorf("%s: calls\n%s\nwant\n%s", name, got, c.want)
		}
	}
	if lines, _ := run(t, calls.Options{}, with(off, state)); len(lines) == 0 || strings.Contains(lines[0], "#4") {
		t.Errorf("other offsets: calls\n%s", strings.Join(lines, "\n"))
	}
}

// Whatever a file has as a state, the tool reads on.
func TestHostileStates(t *testing.T) {
	sessions := []parsetest.Session{parsetest.GRPC(t, 10)}
	files, err := filepath.Glob("../protocol/*/testdata/*.talk")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		sessions = append(sessions, parsetest.Load(t, file))
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for round := range 3000 {
		s := sessions[random.IntN(len(sessions))]
		cut := random.IntN(len(s))
		d := protocol.New(&callSink{}, protocol.Limits{})
		var next [2]uint64
		for _, p := range s[:cut] {
			d.Data(p.Dir, next[p.Dir], p.At, p.Data)
			next[p.Dir] += uint64(len(p.Data))
		}
		state := d.Checkpoint()
		for range 1 + random.IntN(4) {
			switch at := random.IntN(len(state)); random.IntN(3) {
			case 0:
				state[at] = byte(random.Uint32())
			case 1:
				state[at] ^= 1 << random.IntN(8)
			default:
				state = append(state[:at:at], append(bytes.Repeat([]byte{0xff}, random.IntN(4)), state[at:]...)...)
			}
		}
		base := record.PerDirection{In: next[0], Out: next[1]}
		if at, ok := protocol.CheckpointAt(state); ok && round%2 == 0 {
			base, next = at, [2]uint64{at.In, at.Out}
		}
		d, err := protocol.ResumeAt(&callSink{}, protocol.Limits{Memory: 64 << 10}, base, state)
		if err != nil {
			refused++
			continue
		}
		for _, p := range s[cut:] {
			d.Data(p.Dir, next[p.Dir], p.At, p.Data)
			next[p.Dir] += uint64(len(p.Data))
		}
		d.Gap(record.Out, next[1], 10, record.ReasonLimit)
		d.Data(record.Out, next[1]+10, start, []byte(ok))
		d.Checkpoint()
		d.End(start)
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}
