package replay_test

import (
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/replay"
)

// lineScenario is n sessions of turns lines each, answered by shout.
func lineScenario(n, turns int) *scenario {
	r := newScenario()
	for i := range n {
		at := time.Duration(i) * time.Millisecond
		c := r.open(at, 7000)
		for j := range turns {
			line := fmt.Sprintf("line %d of %d", j, i)
			at += time.Millisecond
			c.at(at).in(line + "\n").at(at + 500*time.Microsecond).out(string(shout(line)) + "\n")
		}
		c.close("RemoteClose")
	}
	return r
}

func TestEqualAnswersAreFoundEqual(t *testing.T) {
	t.Parallel()
	for _, speed := range []float64{1, math.Inf(1)} {
		for _, mode := range []replay.Mode{replay.Turns, replay.Timed} {
			result := lineScenario(8, 20).run(t, replay.Options{Target: serve(t, lines(shout)), Speed: speed, Mode: mode, Loops: 2})
			want(t, result, replay.Counts{Turns: 320, Equal: 320})
			if !result.Same() || result.Connections != 16 || result.Sent != 320 || len(result.Conns) > 0 || result.Recorded.Count != 320 || result.Replayed.Count != 320 {
				t.Errorf("speed %v, mode %s: %+v", speed, mode, result)
			}
		}
	}
}

func TestTheOneDifferenceIsFound(t *testing.T) {
	t.Parallel()
	changed := func(line string) []byte {
		if line == "line 7 of 3" {
			return []byte("you sang " + line)
		}
		return shout(line)
	}
	result := lineScenario(8, 20).run(t, replay.Options{Target: serve(t, lines(changed)), Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 160, Equal: 159, Different: 1})
	if len(result.Conns) != 1 || len(result.Conns[0].Differences) != 1 {
		t.Fatalf("%d connections", len(result.Conns))
	}
	d := result.Conns[0].Differences[0]
	if result.Conns[0].Conn != "k3v9qa-4" || d.Turn != 8 || d.At != len("you sa") || string(d.Recorded.Bytes) != "you said line 7 of 3\n" || string(d.Replayed.Bytes) != "you sang line 7 of 3\n" || string(d.Request) != "line 7 of 3\n" {
		t.Errorf("%s: %+v", result.Conns[0].Conn, d)
	}
	if result.Same() {
		t.Error("the result is the same")
	}
}

func TestMissingLongerAndShorterAnswersAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string // to line 2 of 0
		counts replay.Counts
	}{
		"nothing": {"", replay.Counts{Turns: 5, Equal: 4, Missing: 1}},
		"shorter": {"you", replay.Counts{Turns: 5, Equal: 4, Different: 1}},
		"longer":  {"you said line 2 of 0 and more", replay.Counts{Turns: 5, Equal: 4, Different: 1}},
		"other":   {strings.Repeat("x", 100), replay.Counts{Turns: 5, Equal: 4, Different: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, lines(func(line string) []byte {
				switch {
				case line != "line 2 of 0":
					return shout(line)
				case c.answer == "":
					return nil
				}
				return []byte(c.answer)
			}))
			want(t, lineScenario(1, 5).run(t, replay.Options{Target: server, Speed: math.Inf(1), TurnTimeout: silenceTimeout}), c.counts)
		})
	}
}

// An answer that comes after the replay has gone on is late, not different, and
// does not disturb those after it.
func TestLateAnswersAreNotDifferent(t *testing.T) {
	t.Parallel()
	server := serve(t, func(conn net.Conn) {
		lines(func(line string) []byte {
			if line == "line 2 of 0" {
				return nil // until the next line has come
			}
			if line == "line 3 of 0" {
				return append(append(shout("line 2 of 0"), '\n'), shout(line)...)
			}
			return shout(line)
		})(conn)
	})
	for _, mode := range []replay.Mode{replay.Turns, replay.Timed} {
		const step, timeout = 20 * time.Millisecond, 15 * time.Millisecond
		result := lineScenario(1, 5).runOnClock(t, replay.Options{Target: server, Speed: 0.05, Mode: mode, TurnTimeout: timeout}, func(_, at time.Duration) int {
			// The answer to the third line took half a millisecond; what waits for one
			// waits up to an eighth longer.
			givenUp := 3*step + (timeout+500*time.Microsecond)*9/8
			if at%step == 0 && at <= 5*step || at == 5*step+leaveTimeout || mode == replay.Turns && at == givenUp {
				return 1
			}
			return never
		})
		want(t, result, replay.Counts{Turns: 5, Equal: 5})
		if result.Late == 0 {
			t.Errorf("mode %s: nothing was late", mode)
		}
	}
}
