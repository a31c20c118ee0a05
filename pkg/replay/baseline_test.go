package replay_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/replay"
)

// stamped answers as shout does, with a time and an identifier of any length that
// differ in each answer.
func stamped(seed uint64, change string) func(net.Conn) {
	var count atomic.Uint64
	return func(conn net.Conn) {
		rng := rand.New(rand.NewPCG(seed, count.Add(1)))
		lines(func(line string) []byte {
			said := "said"
			if line == change {
				said = "sang"
			}
			now := time.Unix(int64(rng.Uint32()), 0).UTC().Format(time.RFC3339Nano)
			return fmt.Appendf(nil, "you %s %s id=%x at %s shard %d of 9", said, line, rng.Uint64()>>rng.IntN(60), now, rng.IntN(10))
		})(conn)
	}
}

func TestWhatDiffersInTheBaselineIsNoise(t *testing.T) {
	t.Parallel()
	const n, turns = 8, 12
	r := newScenario()
	stampedScenario(t, r, n, turns)
	old := serve(t, stamped(2, ""))
	result := r.run(t, replay.Options{Target: serve(t, stamped(3, "")), Baseline: &old, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: n * turns, Equal: n * turns, Noise: n * turns})
	if !result.Same() {
		t.Errorf("%+v", result)
	}
	result = r.run(t, replay.Options{Target: serve(t, stamped(4, "line 7 of 3")), Baseline: &old, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: n * turns, Equal: n*turns - 1, Different: 1, Noise: n*turns - 1})
	if d := result.Conns[0].Differences; len(d) != 1 || d[0].Turn != 8 || d[0].At != len("you s")+1 && d[0].At != len("you s") {
		t.Errorf("%+v", d)
	}
	// Without the baseline all of it is different.
	result = r.run(t, replay.Options{Target: old, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: n * turns, Different: n * turns})
}

// stampedScenario records sessions with the server of seed 1.
func stampedScenario(t *testing.T, r *scenario, n, turns int) {
	t.Helper()
	proxy := newProxy(t, serve(t, stamped(1, "")).Address)
	for i := range n {
		conn, err := net.Dial("tcp", proxy.address)
		if err != nil {
			t.Fatal(err)
		}
		answers := newLineReader(conn)
		for j := range turns {
			fmt.Fprintf(conn, "line %d of %d\n", j, i)
			if _, err := answers.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
	}
	*r = *proxy.recorded()
}

// With HTTP, dates and request ids stand in header fields.
func TestHTTPFieldsThatDifferInTheBaselineAreNoise(t *testing.T) {
	t.Parallel()
	var ids atomic.Int64
	id := func() string { return fmt.Sprintf("%x", 1<<20*ids.Add(7)) }
	server := httpServer(t, id, nil)
	scenario := httpScenario(t, server.Listener.Addr().String(), 2)
	old := serverOf(server)
	result := scenario.run(t, replay.Options{Target: serverOf(httpServer(t, id, nil)), Baseline: &old, Speed: math.Inf(1), Rules: noDates})
	want(t, result, replay.Counts{Turns: 36, Equal: 36, Noise: 36})
	changed := httpServer(t, id, func(path string) string {
		if path == "/json" {
			return " "
		}
		return ""
	})
	result = scenario.run(t, replay.Options{Target: serverOf(changed), Baseline: &old, Speed: math.Inf(1), Rules: noDates})
	// HEAD has the length of the body that it leaves out.
	want(t, result, replay.Counts{Turns: 36, Equal: 30, Different: 6, Noise: 30})
}

func TestABaselineThatRefusesFailsTheConnection(t *testing.T) {
	t.Parallel()
	gone := refusing(t)
	result := lineScenario(2, 3).run(t, replay.Options{Target: serve(t, lines(shout)), Baseline: &gone, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 6, Equal: 6})
	if result.Failed != 2 || result.Same() {
		t.Errorf("%d failed", result.Failed)
	}
}
