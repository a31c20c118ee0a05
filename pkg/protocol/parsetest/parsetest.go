// Package parsetest checks what every parser must satisfy, whatever its protocol: the
// same calls however the bytes are cut, nothing wrong where bytes are missing, the same
// after a checkpoint, spans where they say that they are. The tests of the protocols'
// packages call it with sessions of their own.
package parsetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Piece is what passed at one time in one direction.
type Piece struct {
	Dir  record.Direction
	At   time.Time
	Data []byte
}

// Session is a whole connection in the order in which its bytes passed.
type Session []Piece

// Start is when the sessions of In and Out begin.
var Start = time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)

// Talk returns a session of texts that begin with ">" (from the client) or "<" (from the
// server), which is cut off. They are a millisecond apart.
func Talk(texts ...string) Session {
	var s Session
	for i, text := range texts {
		dir, ok := record.ParseArrow(text[0])
		if !ok {
			panic("no direction: " + text)
		}
		s = append(s, Piece{dir, Start.Add(time.Duration(i) * time.Millisecond), []byte(text[1:])})
	}
	return s
}

// Recorder is a sink that keeps what it gets.
type Recorder struct {
	Calls   []call.Call
	Spans   []call.Span
	Skipped [2]uint64
}

// Call implements call.Sink.
func (r *Recorder) Call(c *call.Call) { r.Calls = append(r.Calls, *c) }

// Span implements call.Sink.
func (r *Recorder) Span(s call.Span) {
	s.Value = append([]byte(nil), s.Value...)
	r.Spans = append(r.Spans, s)
}

// Skipped implements call.SkipSink.
func (r *Recorder) skipped(dir record.Direction, g call.Range) { r.Skipped[dir] += g.Length }

type skipRecorder struct{ *Recorder }

func (r skipRecorder) Skipped(dir record.Direction, g call.Range) { r.skipped(dir, g) }

// feed is a stretch of a direction as a runner gets it.
type feed struct {
	Piece
	offset uint64
	gap    bool
}

// feeds returns the session as it was, from offset 0 on.
func (s Session) feeds() []feed {
	var next [2]uint64
	var out []feed
	for _, p := range s {
		out = append(out, feed{p, next[p.Dir], false})
		next[p.Dir] += uint64(len(p.Data))
	}
	return out
}

// cut cuts feeds at random.
func cut(feeds []feed, random *rand.Rand, most int) []feed {
	var out []feed
	for _, f := range feeds {
		for !f.gap && len(f.Data) > 1 {
			n := 1 + random.IntN(min(most, len(f.Data)))
			if n == len(f.Data) {
				break
			}
			head := f
			head.Data = f.Data[:n]
			out = append(out, head)
			f.Data = f.Data[n:]
			f.offset += uint64(n)
		}
		out = append(out, f)
	}
	return out
}

// Decode returns what a parser finds in a session. closed says that the connection
// ended after it. The error is the parser's.
func Decode(p *parse.Protocol, s Session, closed bool) (*Recorder, error) {
	return run(p, s.feeds(), [2]uint64{}, closed, nil)
}

const memory = 1 << 20

func env(r *Recorder) parse.Env {
	n := uint64(0)
	return parse.Env{Sink: skipRecorder{r}, Spans: true, Memory: memory, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }}
}

// run gives feeds to a new runner. base is how many bytes of each direction came before them. At the indexes of checkpoints it goes on with a new one.
func run(p *parse.Protocol, feeds []feed, base [2]uint64, closed bool, checkpoints map[int]bool) (*Recorder, error) {
	r := &Recorder{}
	e := env(r)
	for _, dir := range record.Directions() {
		e.FromStart[dir] = base[dir] == 0
	}
	runner := parse.NewRunner(p, e)
	var end time.Time
	for i, f := range feeds {
		if checkpoints[i] {
			state, err := runner.MarshalBinary()
			if err != nil {
				return r, fmt.Errorf("checkpoint: %w", err)
			}
			runner = parse.NewRunner(p, e)
			if err := runner.Restore(state); err != nil {
				return r, fmt.Errorf("restore: %w", err)
			}
		}
		var err error
		if f.gap {
			err = runner.Gap(f.Dir, f.offset, uint64(len(f.Data)))
		} else {
			data := append([]byte(nil), f.Data...) // it must not be kept
			err = runner.Data(f.Dir, f.offset, f.At, data)
			for i := range data {
				data[i] = 0xee
			}
		}
		if err != nil {
			return r, err
		}
		end = f.At
	}
	runner.End(parse.End{At: end, Closed: closed, Recorded: [2]bool{closed, closed}})
	return r, nil
}

// Text returns calls as lines, for comparing and printing.
func Text(calls []call.Call) string {
	var b strings.Builder
	for i := range calls {
		line, err := json.Marshal(&calls[i])
		if err != nil {
			panic(err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// Check checks all properties on a session, which the parser must understand whole.
func Check(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	t.Run("cuts", func(t *testing.T) { Cuts(t, p, s) })
	t.Run("gaps", func(t *testing.T) { Gaps(t, p, s) })
	t.Run("middle", func(t *testing.T) { Middle(t, p, s) })
	t.Run("checkpoints", func(t *testing.T) { Checkpoints(t, p, s) })
	t.Run("spans", func(t *testing.T) { Spans(t, p, s) })
}

// most is how often each property is checked, of sessions that are not long.
const most = 60

// rounds returns how often a property is checked, so that long sessions do not take more
// time than short ones.
func (s Session) rounds(times int) int {
	const bytes = 200_000 // that a property's rounds have together
	size := 1
	for _, p := range s {
		size += len(p.Data)
	}
	return min(max(bytes/size, 3), most) * times
}

// Cuts checks that the calls do not depend on how the bytes are cut.
func Cuts(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	want := whole(t, p, s)
	for round := range s.rounds(1) {
		random := rand.New(rand.NewPCG(uint64(round), 1))
		most := []int{1000, 20, 3, 1}[round%4]
		got, err := run(p, cut(s.feeds(), random, most), [2]uint64{}, true, nil)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got, want := Text(got.Calls), Text(want.Calls); got != want {
			t.Fatalf("round %d, pieces of at most %d bytes: calls\n%swant\n%s", round, most, got, want)
		}
	}
}

func whole(t *testing.T, p *parse.Protocol, s Session) *Recorder {
	t.Helper()
	want, err := Decode(p, s, true)
	if err != nil {
		t.Fatalf("the session is not understood: %v", err)
	}
	if len(want.Calls) == 0 {
		t.Fatal("there are no calls")
	}
	return want
}

// Checkpoints checks that a new parser can go on everywhere.
func Checkpoints(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	want := whole(t, p, s)
	for round := range s.rounds(1) {
		random := rand.New(rand.NewPCG(uint64(round), 2))
		feeds := cut(s.feeds(), random, 40)
		at := map[int]bool{}
		for range 3 {
			at[random.IntN(len(feeds))] = true
		}
		got, err := run(p, feeds, [2]uint64{}, true, at)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got, want := Text(got.Calls), Text(want.Calls); got != want {
			t.Fatalf("round %d: after a checkpoint, calls\n%swant\n%s", round, got, want)
		}
	}
}

// Spans checks that values are where they are said to be.
func Spans(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	var streams [2][]byte
	for _, piece := range s {
		streams[piece.Dir] = append(streams[piece.Dir], piece.Data...)
	}
	for round := range 8 {
		random := rand.New(rand.NewPCG(uint64(round), 3))
		got, err := run(p, cut(s.feeds(), random, 1+30*round), [2]uint64{}, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range got.Spans {
			if span.Range.End() > uint64(len(streams[span.Direction])) {
				t.Fatalf("span %+v is beyond the end", span)
			}
			is := streams[span.Direction][span.Offset:span.Range.End()]
			if span.Encoding == "" && span.Length > 0 && string(is) != string(span.Value) {
				t.Fatalf("span %+v: the stream has %q there", span, is)
			}
		}
	}
}

// Gaps checks that with bytes missing no call is wrong, only marked.
func Gaps(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	want := whole(t, p, s)
	unmarked := 0
	for round := range s.rounds(4) {
		random := rand.New(rand.NewPCG(uint64(round), 4))
		feeds := cut(s.feeds(), random, []int{10, 100, 1000}[round%3])
		holes := 1 + random.IntN(3)
		for range holes {
			// A stretch of pieces of one direction.
			at, dir := random.IntN(len(feeds)), record.Direction(random.IntN(2))
			for n := 1 + random.IntN(4); at < len(feeds) && n > 0; at++ {
				if feeds[at].Dir == dir {
					feeds[at].gap = true
					n--
				}
			}
		}
		got, err := run(p, feeds, [2]uint64{}, true, nil)
		if err != nil {
			t.Fatalf("round %d: a gap has turned the connection off: %v", round, err)
		}
		unmarked += compare(t, round, got.Calls, want.Calls)
	}
	if unmarked == 0 {
		t.Error("no call without marks was found in any round")
	}
}

// Middle checks the same for a recording that begins in the middle of the connection.
func Middle(t *testing.T, p *parse.Protocol, s Session) {
	t.Helper()
	want := whole(t, p, s)
	for round := range s.rounds(2) {
		random := rand.New(rand.NewPCG(uint64(round), 5))
		feeds := cut(s.feeds(), random, 50)
		from, base := random.IntN(len(feeds)), [2]uint64{}
		for _, f := range feeds[:from] {
			base[f.Dir] += uint64(len(f.Data))
		}
		got, err := run(p, feeds[from:], base, true, nil)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		compare(t, round, got.Calls, want.Calls)
	}
}

// compare checks calls of a recording with parts missing against those of the whole one, and returns
// how many have no mark.
func compare(t *testing.T, round int, got, want []call.Call) (unmarked int) {
	t.Helper()
	requests, answers := map[uint64]*call.Call{}, map[uint64]*call.Call{}
	for i := range want {
		c := &want[i]
		if c.Request.Present {
			requests[c.Request.Offset] = c
		}
		if c.Response.Present {
			answers[c.Response.Offset] = c
		}
	}
	for i := range got {
		c := got[i]
		fail := func(why string, w *call.Call) {
			t.Helper()
			t.Fatalf("round %d: %s: call\n%swhole recording\n%sall calls\n%s", round, why, Text([]call.Call{c}), Text([]call.Call{*w}), Text(got))
		}
		none := &call.Call{}
		asked, answered := requests[c.Request.Offset], answers[c.Response.Offset]
		const marks = call.BeganBefore | call.Gap | call.UnknownFields | call.CutByWindow
		if c.Incomplete&marks == 0 {
			unmarked++
			w := asked
			if !c.Request.Present {
				w = answered
			}
			if w == nil {
				fail("it is not in the whole recording", none)
			}
			same := *w
			same.N = c.N
			if Text([]call.Call{c}) != Text([]call.Call{same}) {
				fail("it is wrong without a mark", w)
			}
			continue
		}
		if c.Request.Present && asked != nil && c.Incomplete&call.UnknownFields == 0 && (c.Method != asked.Method || c.Target != asked.Target) {
			fail("method or target is wrong", asked)
		}
		if c.Failed && c.Status == "" {
			w := asked
			if w == nil {
				w = none
			}
			if !w.Failed {
				fail("it is failed without an answer", w)
			}
		}
		if c.Response.Present && answered != nil && c.Status != "" && answered.Status != "" && c.Status != answered.Status && c.Incomplete&call.UnknownFields == 0 {
			fail("status is wrong", answered)
		}
	}
	return unmarked
}

// Hostile gives a parser bytes that mean it harm, and checks that it holds no more than it may. seeds are sessions
// that are changed at random.
func Hostile(t *testing.T, p *parse.Protocol, seeds ...Session) {
	t.Helper()
	states(t, p, seeds)
	for round := range seeds[0].rounds(20) {
		random := rand.New(rand.NewPCG(uint64(round), 6))
		feeds := cut(seeds[random.IntN(len(seeds))].feeds(), random, 200)
		for range 1 + random.IntN(5) {
			f := &feeds[random.IntN(len(feeds))]
			if len(f.Data) == 0 {
				continue
			}
			f.Data = append([]byte(nil), f.Data...)
			switch at := random.IntN(len(f.Data)); random.IntN(3) {
			case 0:
				f.Data[at] ^= 1 << random.IntN(8)
			case 1:
				f.Data[at] = []byte{0, 0xff, 0x7f, 0x80}[random.IntN(4)]
			default:
				f.gap = true
			}
		}
		_, _ = run(p, feeds, [2]uint64{}, random.IntN(2) == 0, nil)
	}
}
