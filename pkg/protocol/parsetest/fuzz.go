package parsetest

import (
	"bytes"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// A session as fuzzing has it: one piece after the other. A piece is a byte of these bits, a byte with its length, and its bytes.
const (
	fuzzOut        = 1 << iota // from the server
	fuzzGap                    // it was not recorded
	fuzzCheckpoint             // a new parser goes on with it
	fuzzMany                   // it is there fuzzTimes, so that messages can be long
)

// fuzzTimes is how often a piece is there that is there often: enough to make one of a few bytes longer than what
// parsers wait for.
const fuzzTimes = 512

// How a session is recorded.
const (
	fuzzMiddle  = 1 << iota // from the middle of the connection on
	fuzzNoSpans             // spans are not wanted
	fuzzClosed              // up to the connection's end
	fuzzLittle              // with little memory
)

// Of what costs much time, a session has so much.
const (
	maxCheckpoints = 8
	maxMany        = 4
)

// maxSeed is how long a seed is at most: of a longer session it has the beginning.
const maxSeed = 8 << 10

// Fuzz fuzzes a parser with pieces of both directions, some of which are gaps, over checkpoints. Its seeds are sessions, beside those in
// testdata/fuzz. It checks what holds for any bytes: no call is there twice, and none has bytes that have not come.
func Fuzz(f *testing.F, p *parse.Protocol, seeds ...Session) {
	for _, session := range seeds {
		b := fuzzed(session)
		f.Add(b, byte(fuzzClosed))
		f.Add(b, byte(fuzzMiddle|fuzzNoSpans|fuzzLittle))
	}
	f.Fuzz(func(t *testing.T, b []byte, how byte) { fuzz(t, p, b, how) })
}

// fuzzed returns a session as fuzzing has it.
func fuzzed(s Session) []byte {
	var b []byte
	for _, piece := range s {
		for data := piece.Data; len(data) > 0 && len(b) < maxSeed; {
			n := min(len(data), 0xff)
			b = append(append(b, byte(piece.Dir), byte(n)), data[:n]...)
			data = data[n:]
		}
	}
	return b
}

func fuzz(t *testing.T, p *parse.Protocol, b []byte, how byte) {
	t.Helper()
	calls := &fuzzSink{t: t, seen: map[uint64]bool{}}
	e := env(&Recorder{})
	e.Sink, e.Spans, e.Memory = calls, how&fuzzNoSpans == 0, 64<<10
	if how&fuzzLittle != 0 {
		e.Memory = 8 << 10
	}
	if how&fuzzMiddle != 0 {
		e.FromStart, calls.came = [2]bool{}, [2]uint64{100, 100}
	}
	r := parse.NewRunner(p, e)
	checkpoints, many := maxCheckpoints, maxMany
	for i := 0; len(b) > 1; i++ {
		kind, n := b[0], min(int(b[1]), len(b)-2)
		data := b[2 : 2+n]
		b = b[2+n:]
		if kind&fuzzCheckpoint != 0 && checkpoints > 0 {
			checkpoints--
			state, err := r.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			r = parse.NewRunner(p, e)
			if err := r.Restore(state); err != nil {
				t.Fatal(err)
			}
		}
		if kind&fuzzMany != 0 && many > 0 {
			many--
			data = bytes.Repeat(data, fuzzTimes)
		}
		dir := record.Direction(kind & fuzzOut)
		offset := calls.came[dir]
		calls.came[dir] += uint64(len(data))
		var err error
		if kind&fuzzGap != 0 {
			err = r.Gap(dir, offset, uint64(len(data)))
		} else {
			err = r.Data(dir, offset, Start.Add(time.Duration(i)*time.Millisecond), data)
		}
		if err != nil {
			r.End(parse.End{Left: true})
			return
		}
	}
	closed := how&fuzzClosed != 0
	r.End(parse.End{At: Start, Closed: closed, Recorded: [2]bool{closed, closed}})
}

// fuzzSink checks calls.
type fuzzSink struct {
	t    *testing.T
	came [2]uint64 // offset behind what has come
	seen map[uint64]bool
}

// Call implements call.Sink.
func (s *fuzzSink) Call(c *call.Call) {
	if c.N == 0 || s.seen[c.N] {
		s.t.Errorf("call %d is there twice, or has no number", c.N)
	}
	s.seen[c.N] = true
	for dir, m := range []*call.Message{&c.Request, &c.Response} {
		if !m.Present {
			continue
		}
		if end := m.Range.End(); end < m.Offset || end > s.came[dir] {
			s.t.Errorf("call %d, %s: %d bytes from %d on, %d came", c.N, record.Direction(dir), m.Length, m.Offset, s.came[dir]) //nolint:gosec // 0 or 1
		}
		if end := m.Body.End(); m.HasBody && (end < m.Body.Offset || end > s.came[dir]) {
			s.t.Errorf("call %d, %s: a body of %d bytes from %d on, %d came", c.N, record.Direction(dir), m.Body.Length, m.Body.Offset, s.came[dir]) //nolint:gosec // 0 or 1
		}
	}
}

// Span implements call.Sink.
func (s *fuzzSink) Span(v call.Span) {
	if end := v.Range.End(); end < v.Range.Offset || end > s.came[v.Direction] {
		s.t.Errorf("a span of %d bytes from %d on, %d came", v.Range.Length, v.Range.Offset, s.came[v.Direction])
	}
}
