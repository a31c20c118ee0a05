package postgresql

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// windowed returns a session of a client that always has so many queries under way. A
// pause comes behind every so many queries, if that is not 0.
func windowed(random *rand.Rand, queries, window, pause int) parsetest.Session {
	s := parsetest.Talk(start()...)
	at := parsetest.Start.Add(time.Second)
	put := func(dir record.Direction, text string) {
		s = append(s, parsetest.Piece{Dir: dir, At: at, Data: []byte(text)})
	}
	sent := 0
	send := func() {
		if sent < queries {
			put(record.In, clientMessage('Q', fmt.Sprintf("SELECT %d\x00", sent)))
			sent++
		}
	}
	for range window {
		send()
	}
	for i := range queries {
		at = at.Add(time.Duration(100+random.IntN(900)) * time.Microsecond)
		if i%7 == 3 {
			put(record.Out, clientMessage('E', fmt.Sprintf("SERROR\x00VERROR\x00C%05d\x00Mno\x00\x00", i))+ready)
		} else {
			put(record.Out, done+ready)
		}
		if pause > 0 && i%pause == pause-1 {
			// All are answered before the client goes on.
			if sent-i-1 == 0 {
				at = at.Add(time.Second)
				for range window {
					send()
				}
			}
			continue
		}
		if pause == 0 || sent%pause != 0 {
			at = at.Add(time.Duration(random.IntN(100)) * time.Microsecond)
			send()
		}
	}
	return s
}

// A client that sends ahead looks like one that waits. Nothing is said of it that is not certain.
func TestClientsThatSendAhead(t *testing.T) {
	for _, window := range []int{1, 2, 5} {
		for _, pause := range []int{0, 10} {
			t.Run(fmt.Sprint(window, "/", pause), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(uint64(window), uint64(pause)))
				session := windowed(random, 80, window, pause)
				parsetest.Middle(t, &Protocol, session)
				parsetest.Gaps(t, &Protocol, session)
			})
		}
	}
}

// Marks end where it is certain again.
func TestDoubtEnds(t *testing.T) {
	for name, c := range map[string]struct {
		session parsetest.Session
		from    int // pieces that were not recorded
		most    int // how many calls may be marked
	}{
		"pauses":                    {windowed(rand.New(rand.NewPCG(1, 1)), 60, 1, 1), 20, 4},
		"pauses, and sent ahead":    {windowed(rand.New(rand.NewPCG(1, 2)), 60, 3, 10), 20, 40},
		"a habit, and then a gap":   {windowed(rand.New(rand.NewPCG(1, 3)), 60, 1, 0), -61, 6},
		"a pool under load":         {busy(rand.New(rand.NewPCG(1, 5)), 1000), 20, 400},
		"sent ahead without a stop": {windowed(rand.New(rand.NewPCG(1, 4)), 60, 3, 0), 20, 60},
	} {
		t.Run(name, func(t *testing.T) {
			sink, n := &parsetest.Calls{}, uint64(0)
			whole := c.from <= 0
			r := parse.NewRunner(&Protocol, parse.Env{Sink: sink, Memory: 1 << 20, FromStart: [2]bool{whole, whole}, Next: func() uint64 { n++; return n }})
			var next [2]uint64
			for i, p := range c.session {
				switch {
				case i == -c.from:
					if err := r.Gap(p.Dir, next[p.Dir], uint64(len(p.Data))); err != nil {
						t.Fatal(err)
					}
				case i >= c.from:
					if err := r.Data(p.Dir, next[p.Dir], p.At, p.Data); err != nil {
						t.Fatal(err)
					}
				}
				next[p.Dir] += uint64(len(p.Data))
			}
			r.End(parse.End{Closed: true, Recorded: [2]bool{true, true}})
			marked := 0
			for _, c := range sink.List {
				if c.Incomplete&call.Gap != 0 {
					marked++
				}
			}
			if marked == 0 || marked > c.most {
				t.Errorf("%d of %d calls are marked, want at most %d", marked, len(sink.List), c.most)
			}
		})
	}
}

// busy returns a session of a client that waits for each answer, and sends the next query when it has it, as
// connections of a pool under load do.
func busy(random *rand.Rand, queries int) parsetest.Session {
	s := parsetest.Talk(start()...)
	at := parsetest.Start.Add(time.Second)
	later := func(typical time.Duration) {
		at = at.Add(time.Duration(float64(typical) * math.Exp(random.NormFloat64()/2)))
	}
	for i := range queries {
		later(100 * time.Microsecond)
		s = append(s, parsetest.Piece{Dir: record.In, At: at, Data: []byte(clientMessage('Q', fmt.Sprintf("SELECT %d\x00", i)))})
		later(100 * time.Microsecond)
		s = append(s, parsetest.Piece{Dir: record.Out, At: at, Data: []byte(done + ready)})
	}
	return s
}

// A server that owes answers gives them when they are ready. It never looks like one that waits for the client
// for long.
func TestServersThatOweAnswers(t *testing.T) {
	for window := 2; window <= 4; window++ {
		for round := range 15 {
			random := rand.New(rand.NewPCG(uint64(window), uint64(round)))
			s := parsetest.Talk(start()...)
			at := parsetest.Start.Add(time.Second)
			var owed []time.Time // when the client sent
			var free time.Time   // when the server has time
			think, work := time.Duration(1+random.IntN(200))*time.Microsecond, time.Duration(1+random.IntN(400))*time.Microsecond
			jitter := func(typical time.Duration) time.Duration {
				return time.Duration(float64(typical) * math.Exp(random.NormFloat64()/[]float64{2, 5, 20}[round%3]))
			}
			type event struct {
				at   time.Time
				dir  record.Direction
				text string
			}
			var events []event
			for i := range 300 {
				if i >= window {
					at = owed[i-window].Add(jitter(think)) // of the answer that it has waited for
				}
				events = append(events, event{at, record.In, clientMessage('Q', fmt.Sprintf("SELECT %d\x00", i))})
				begin := at
				if free.After(begin) {
					begin = free
				}
				free = begin.Add(jitter(work))
				owed = append(owed, free)
				status := done + ready
				if i%5 == 0 {
					status = clientMessage('E', fmt.Sprintf("SERROR\x00VERROR\x00C%05d\x00Mno\x00\x00", i)) + ready
				}
				events = append(events, event{free, record.Out, status})
			}
			slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
			for _, e := range events {
				s = append(s, parsetest.Piece{Dir: e.dir, At: e.at, Data: []byte(e.text)})
			}
			parsetest.Middle(t, &Protocol, s)
		}
	}
}
