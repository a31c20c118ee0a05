package redis_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/redis"
	"mosn.io/tcpcopy/pkg/record"
)

// exchange returns a random command with its answer.
func exchange(random *rand.Rand, i int) (command, answer string) {
	key := fmt.Sprint("k", i)
	switch random.IntN(5) {
	case 0:
		return cmd("GET", key), fmt.Sprintf("$%d\r\n%s\r\n", len(key)+1, "v"+key)
	case 1:
		return cmd("INCR", key), fmt.Sprintf(":%d\r\n", i)
	case 2:
		return cmd("MSET", key, "v"), "+OK\r\n"
	case 3:
		return cmd("MGET", key, key), "*2\r\n$1\r\na\r\n$-1\r\n"
	}
	return cmd("LPUSH", key, "v"), fmt.Sprintf("-WRONGTYPE %d\r\n", i)
}

// always returns a session of a client that always has so many commands waiting. pause
// is how long it is quiet after each answer.
func always(random *rand.Rand, waiting, commands int, pause func(i int) time.Duration) parsetest.Session {
	var s parsetest.Session
	at := parsetest.Start
	add := func(dir record.Direction, text string) {
		s = append(s, parsetest.Piece{Dir: dir, At: at, Data: []byte(text)})
		at = at.Add(time.Millisecond)
	}
	var answers []string
	for i := range commands {
		command, answer := exchange(random, i)
		add(record.In, command)
		if answers = append(answers, answer); len(answers) >= waiting {
			add(record.Out, answers[0])
			answers = answers[1:]
			at = at.Add(pause(i))
		}
	}
	for _, a := range answers {
		add(record.Out, a)
	}
	return s
}

// However many commands a client has waiting, no answer is given to the wrong one without
// a mark.
func TestPipelines(t *testing.T) {
	pauses := map[string]func(int) time.Duration{
		"busy":  func(int) time.Duration { return 0 },
		"quiet": func(i int) time.Duration { return time.Duration(i%7/6) * time.Second },
	}
	for name, pause := range pauses {
		for _, waiting := range []int{1, 2, 5} {
			t.Run(fmt.Sprint(name, waiting), func(t *testing.T) {
				t.Parallel()
				s := always(rand.New(rand.NewPCG(uint64(waiting), 1)), waiting, 60, pause)
				parsetest.Gaps(t, &redis.Protocol, s)
				parsetest.Middle(t, &redis.Protocol, s)
			})
		}
	}
}

// decodeFrom returns the calls of a session without its first pieces.
func decodeFrom(t *testing.T, s parsetest.Session, pieces int) []call.Call {
	t.Helper()
	var r parsetest.Recorder
	var n uint64
	runner := parse.NewRunner(&redis.Protocol, parse.Env{Sink: &r, Memory: 1 << 20, Next: func() uint64 { n++; return n }})
	next := [2]uint64{}
	for i, p := range s {
		if i >= pieces {
			if err := runner.Data(p.Dir, next[p.Dir], p.At, p.Data); err != nil {
				t.Fatal(err)
			}
		}
		next[p.Dir] += uint64(len(p.Data))
	}
	runner.End(parse.End{Closed: true, Recorded: [2]bool{true, true}})
	return r.Calls
}

// A connection that is recorded from its middle on is in doubt until that is certainly
// over.
func TestDoubtEnds(t *testing.T) {
	for name, test := range map[string]struct {
		waiting int
		pause   func(int) time.Duration
		ends    bool
	}{
		"one after the other": {1, func(int) time.Duration { return 0 }, true},
		"with pauses":         {1, func(i int) time.Duration { return time.Duration(i%5/4) * time.Second }, true},
		"always two":          {2, func(int) time.Duration { return 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := always(rand.New(rand.NewPCG(7, 7)), test.waiting, 200, test.pause)
			calls := decodeFrom(t, s, 11)
			unmarked := 0
			for i := range calls {
				if calls[i].Incomplete == 0 {
					unmarked++
				}
			}
			if test.ends && unmarked < 100 || !test.ends && unmarked > 0 {
				t.Errorf("%d of %d calls are without a mark:\n%s", unmarked, len(calls), lines(calls[:20]))
			}
		})
	}
}

// The same commands over and over show nothing by their kinds, but answers that follow
// them show by their times that they are theirs.
func TestDoubtEndsByTimes(t *testing.T) {
	for name, test := range map[string]struct {
		waiting     int
		think, wait func(*rand.Rand) float64 // milliseconds
		ends        bool
	}{
		"one after the other": {1, func(r *rand.Rand) float64 { return 10 * r.ExpFloat64() }, func(r *rand.Rand) float64 { return 0.2 + 0.3*r.Float64() }, true},
		"always two":          {2, (*rand.Rand).ExpFloat64, (*rand.Rand).ExpFloat64, false},
		"always nine":         {9, (*rand.Rand).Float64, (*rand.Rand).Float64, false},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, 3))
			// The client sends the next command some time after an answer. The server answers when it is ready, whether
			// the client has sent another command or not.
			after := func(at time.Time, ms float64) time.Time {
				return at.Add(time.Duration(ms * float64(time.Millisecond)))
			}
			var s parsetest.Session
			var answered []time.Time
			at := parsetest.Start
			for i := range 400 {
				if i >= test.waiting {
					at = after(answered[i-test.waiting], test.think(random))
				}
				begin := at
				if i > 0 && answered[i-1].After(at) {
					begin = answered[i-1]
				}
				answered = append(answered, after(begin, test.wait(random)))
				s = append(s, parsetest.Piece{Dir: record.In, At: at, Data: []byte(cmd("GET", "k"))},
					parsetest.Piece{Dir: record.Out, At: answered[i], Data: []byte("$1\r\nv\r\n")})
			}
			slices.SortStableFunc(s, func(a, b parsetest.Piece) int { return a.At.Compare(b.At) })
			calls := decodeFrom(t, s, 20)
			unmarked := 0
			for i := range calls {
				if calls[i].Incomplete == 0 {
					unmarked++
				}
			}
			if test.ends && unmarked < 250 || !test.ends && unmarked > 0 {
				t.Errorf("%d of %d calls are without a mark", unmarked, len(calls))
			}
		})
	}
}

// The same commands over and over show nothing, but a client that has always waited
// does so after a gap too.
func TestHabit(t *testing.T) {
	var r parsetest.Recorder
	var n uint64
	runner := parse.NewRunner(&redis.Protocol, parse.Env{Sink: &r, Memory: 1 << 20, FromStart: [2]bool{true, true}, Next: func() uint64 { n++; return n }})
	command, answer := cmd("GET", "k"), "$1\r\nv\r\n"
	var next [2]uint64
	data := func(dir record.Direction, text string) {
		if err := runner.Data(dir, next[dir], parsetest.Start, []byte(text)); err != nil {
			t.Fatal(err)
		}
		next[dir] += uint64(len(text))
	}
	// As a pool does at the beginning of a connection.
	data(record.In, command+command)
	data(record.Out, answer+answer)
	r.Calls = nil
	for i := range 100 {
		data(record.In, command)
		if i == 50 {
			if err := runner.Gap(record.Out, next[1], uint64(len(answer))); err != nil {
				t.Fatal(err)
			}
			next[1] += uint64(len(answer))
			continue
		}
		data(record.Out, answer)
	}
	runner.End(parse.End{})
	if len(r.Calls) != 100 {
		t.Fatalf("%d calls", len(r.Calls))
	}
	for i, c := range r.Calls {
		switch {
		case i == 50:
			if c.Incomplete != call.Gap|call.NoAnswer || c.Response.Present {
				t.Errorf("the call with the gap: %s", line(&c))
			}
		case i < 50 || i > 68:
			if c.Incomplete != 0 || c.Status != "OK" {
				t.Errorf("call %d: %s", i, line(&c))
			}
		}
	}
}

// Batches that a client sends ahead are answered whole, also where the connection is recorded from its middle on.
func TestBatchesFromTheMiddle(t *testing.T) {
	var s parsetest.Session
	at := parsetest.Start
	for range 50 {
		s = append(s, parsetest.Piece{Dir: record.In, At: at, Data: []byte(strings.Repeat("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", 16))},
			parsetest.Piece{Dir: record.Out, At: at.Add(time.Millisecond), Data: []byte(strings.Repeat("+OK\r\n", 16))})
		at = at.Add(2 * time.Millisecond)
	}
	n := uint64(0)
	sink := &parsetest.Recorder{}
	r := parse.NewRunner(&redis.Protocol, parse.Env{Sink: sink, Memory: 1 << 20, Next: func() uint64 { n++; return n }})
	next := [2]uint64{47600, 5000}
	for _, p := range s[1:] { // it begins with answers
		if err := r.Data(p.Dir, next[p.Dir], p.At, p.Data); err != nil {
			t.Fatal(err)
		}
		next[p.Dir] += uint64(len(p.Data))
	}
	r.End(parse.End{Closed: true, Recorded: [2]bool{true, true}})
	answered, others := 0, 0
	for i := range sink.Calls {
		if c := &sink.Calls[i]; c.Request.Present && c.Response.Present {
			answered++
		} else {
			others++
		}
	}
	if answered != 49*16 || others != 16 {
		t.Errorf("%d calls are whole and %d are not, want %d and 16", answered, others, 49*16)
	}
}
