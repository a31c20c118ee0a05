package calls_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

var start = time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)

// session makes the records of one connection in one window, a millisecond apart.
type session struct {
	window, conn string
	at           *time.Time
	offsets      [2]uint64
	records      *[]record.Record
}

func (s *session) add(r record.Record) {
	*s.at = s.at.Add(time.Millisecond)
	r.Identity = record.Identity{Window: s.window, Conn: s.conn, Port: "2046", Peer: "10.1.2.3:4711", Listener: "10.0.0.5:2046"}
	r.Time = *s.at
	*s.records = append(*s.records, r)
}

func (s *session) open() {
	s.add(record.Record{Kind: record.KindOpen, Start: s.offsets == [2]uint64{}, HasBase: true, Base: record.PerDirection{In: s.offsets[0], Out: s.offsets[1]}})
}

func (s *session) data(dir record.Direction, text string) {
	s.add(record.Record{Kind: record.KindData, Direction: dir, Offset: s.offsets[dir], Length: uint64(len(text)), Data: []byte(text)})
	s.offsets[dir] += uint64(len(text))
}

func (s *session) gap(dir record.Direction, length uint64, reason string) {
	s.add(record.Record{Kind: record.KindGap, Direction: dir, Offset: s.offsets[dir], Length: length, Reason: reason})
	s.offsets[dir] += length
}

func (s *session) close() {
	s.add(record.Record{Kind: record.KindClose, Reason: string(record.CloseRemote), Totals: record.PerDirection{In: s.offsets[0], Out: s.offsets[1]}})
}

// run returns the calls of records as lines, and what they are based on.
func run(t *testing.T, o calls.Options, records []record.Record) ([]string, calls.Coverage) {
	t.Helper()
	var lines []string
	s := calls.New(o, func(c *calls.Call) error {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %s %v", c.Window, c.ID(), c.Protocol, c.Method+" "+c.Target, c.Status, c.Incomplete.Words()))
		return nil
	})
	for i := range records {
		if err := s.Add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	return lines, s.Coverage()
}

const (
	get = "GET /a HTTP/1.1\r\n\r\n"
	ok  = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
)

// A connection that lives over two windows has calls of both, counted in each; a call
// that the end of a window cuts is not counted as a failed one.
func TestWindows(t *testing.T) {
	at := start
	var records []record.Record
	one := &session{window: "w1", conn: "lk3xtg-2", at: &at, records: &records}
	one.open()
	one.data(record.In, get)
	one.data(record.Out, ok)
	one.data(record.In, get)
	two := &session{window: "w2", conn: "lk3xtg-2", at: &at, records: &records, offsets: one.offsets}
	two.open()
	two.data(record.Out, ok)
	two.data(record.In, get)
	two.data(record.Out, strings.Replace(ok, "200", "503", 1))
	two.close()
	lines, coverage := run(t, calls.Options{}, records)
	want := []string{
		"w1 lk3xtg-2#1 http/1.1 GET /a 200 []",
		"w1 lk3xtg-2#2 http/1.1 GET /a  [cut_by_window no_answer]",
		"w2 lk3xtg-2#1 http/1.1   200 [began_before no_request]",
		"w2 lk3xtg-2#2 http/1.1 GET /a 503 []",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("calls\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if coverage.Windows != 2 || coverage.Lost != 0 || coverage.Undecoded != 0 || len(coverage.Uncertain) != 0 || coverage.Seen != uint64(3*len(get)+3*len(ok)) {
		t.Errorf("coverage %+v", coverage)
	}
	if !coverage.From.Equal(records[1].Time) || !coverage.To.Equal(records[len(records)-2].Time) {
		t.Errorf("coverage from %v to %v", coverage.From, coverage.To)
	}
}

// What was lost, and what it makes undecodable, is counted, with the connections.
func TestCoverage(t *testing.T) {
	at := start
	var records []record.Record
	s := &session{window: "w1", conn: "lk3xtg-3", at: &at, records: &records}
	s.open()
	s.data(record.In, get)
	s.gap(record.Out, 30, "limit")
	s.data(record.Out, "the rest of a body")
	s.data(record.In, get)
	s.data(record.Out, ok)
	s.close()
	quiet := &session{window: "w1", conn: "lk3xtg-4", at: &at, records: &records}
	quiet.open()
	quiet.data(record.In, get)
	quiet.data(record.Out, ok)
	quiet.close()
	lines, coverage := run(t, calls.Options{}, records)
	if len(lines) != 3 || !strings.Contains(lines[0], "[gap no_answer]") || !strings.HasSuffix(lines[2], "200 []") {
		t.Errorf("calls %q", lines)
	}
	if coverage.Lost != 30 || coverage.Undecoded != 18 || len(coverage.Uncertain) != 1 {
		t.Fatalf("coverage %+v", coverage)
	}
	if u := coverage.Uncertain[0]; u.Conn != "lk3xtg-3" || u.Lost != 30 || u.Undecoded != 18 || u.Protocol != call.HTTP1 {
		t.Errorf("uncertain %+v", u)
	}
}

// The protocol that the options name for a listener counts.
func TestProtocolOfAListener(t *testing.T) {
	at := start
	var records []record.Record
	s := &session{window: "w1", conn: "lk3xtg-5", at: &at, records: &records}
	s.open()
	s.data(record.In, get)
	s.data(record.Out, ok)
	s.close()
	lines, _ := run(t, calls.Options{Protocols: map[string]string{"2046": call.TCP}}, records)
	if len(lines) != 1 || !strings.Contains(lines[0], " tcp turn ") {
		t.Errorf("calls %q", lines)
	}
}

// Values come with their connection, before their call.
func TestSpans(t *testing.T) {
	at := start
	var records []record.Record
	s := &session{window: "w1", conn: "lk3xtg-6", at: &at, records: &records}
	s.open()
	s.data(record.In, get)
	s.data(record.Out, ok)
	s.close()
	var spans []string
	lines, _ := run(t, calls.Options{Span: func(c *dump.Connection, v call.Span) {
		if v.Kind == call.KindBody {
			spans = append(spans, fmt.Sprintf("%s#%d %s", c.Conn, v.Call, v.Value))
		}
	}}, records)
	if len(lines) != 1 || strings.Join(spans, "|") != "lk3xtg-6#1 body" {
		t.Errorf("calls %q, bodies %q", lines, spans)
	}
}

// The error of the function that gets the calls ends the reading.
func TestErrorOfTheReceiver(t *testing.T) {
	at := start
	var records []record.Record
	s := &session{window: "w1", conn: "lk3xtg-7", at: &at, records: &records}
	s.open()
	s.data(record.In, get)
	s.data(record.Out, ok)
	want := errors.New("enough")
	station := calls.New(calls.Options{}, func(*calls.Call) error { return want })
	var got error
	for i := range records {
		if got = station.Add(&records[i]); got != nil {
			break
		}
	}
	if !errors.Is(got, want) {
		t.Errorf("error %v", got)
	}
}

// More connections than memory has room for are decoded as few are: those that are
// still for long wait in a temporary file.
func TestManyOpenConnections(t *testing.T) {
	const n = 20_000
	at := start
	var records []record.Record
	sessions := make([]*session, n)
	add := func(f func(*session)) {
		for _, s := range sessions {
			f(s)
		}
	}
	for i := range sessions {
		sessions[i] = &session{window: "w1", conn: fmt.Sprintf("lk3xtg-%d", i), at: &at, records: &records}
	}
	add(func(s *session) { s.open(); s.data(record.In, get[:9]) })
	add(func(s *session) { s.data(record.In, get[9:]) })
	add(func(s *session) { s.data(record.Out, ok); s.close() })
	bodies := 0
	lines, coverage := run(t, calls.Options{Span: func(c *dump.Connection, v call.Span) {
		if v.Kind == call.KindBody && c.Window == "w1" && string(v.Value) == "body" {
			bodies++
		}
	}}, records)
	if len(lines) != n || bodies != n || len(coverage.Uncertain) != 0 || coverage.Seen != uint64(n*(len(get)+len(ok))) {
		t.Fatalf("%d calls, %d bodies, coverage %+v", len(lines), bodies, coverage)
	}
	for i, line := range lines {
		if want := fmt.Sprintf("w1 lk3xtg-%d#1 http/1.1 GET /a 200 []", i); line != want {
			t.Fatalf("%s, want %s", line, want)
		}
	}
}

// With EndAtClose, what closes ends its calls there and then; what comes again is no more
// of it.
func TestEndAtClose(t *testing.T) {
	for _, atClose := range []bool{false, true} {
		at := start
		var records []record.Record
		one := &session{window: "w1", conn: "lk3xtg-1", at: &at, records: &records}
		two := &session{window: "w1", conn: "lk3xtg-2", at: &at, records: &records}
		one.open()
		one.data(record.In, get)
		one.close()
		two.open()
		two.data(record.In, get)
		two.data(record.Out, ok)
		one.data(record.In, get)
		lines, coverage := run(t, calls.Options{EndAtClose: atClose}, records)
		gone, answered := "w1 lk3xtg-1#1 http/1.1 GET /a  [no_answer]", "w1 lk3xtg-2#1 http/1.1 GET /a 200 []"
		want := []string{gone, answered}
		if !atClose {
			want = []string{answered, lines[1], lines[2]} // whatever is made of bytes after the end
		}
		if !slices.Equal(lines, want) {
			t.Errorf("EndAtClose %v: calls\n%s", atClose, strings.Join(lines, "\n"))
		}
		if coverage.Seen != uint64(3*len(get)+len(ok)) || atClose != (coverage.Undecoded == uint64(len(get))) {
			t.Errorf("EndAtClose %v: coverage %+v", atClose, coverage)
		}
	}
}

// The beginning of a message that is not all there is of no call, and counts as not decoded.
func TestHalfAHead(t *testing.T) {
	at := start
	var records []record.Record
	s := &session{window: "w1", conn: "lk3xtg-3", at: &at, records: &records}
	s.open()
	s.data(record.In, get)
	s.data(record.Out, ok)
	s.data(record.In, "GET /half HT")
	s.close()
	lines, coverage := run(t, calls.Options{}, records)
	if len(lines) != 1 || coverage.Undecoded != 12 || len(coverage.Uncertain) != 1 {
		t.Errorf("calls %q, coverage %+v", lines, coverage)
	}
}
