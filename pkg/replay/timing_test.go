package replay_test

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/replay"
)

// paced is sessions with a turn every step, over length.
func paced(sessions int, length, step time.Duration) *scenario {
	r := newScenario()
	for i := range sessions {
		c := r.open(0, 7000)
		for at := time.Duration(0); at <= length; at += step {
			line := fmt.Sprintf("%v of %d", at, i)
			c.at(at).in(line + "\n").at(at + time.Millisecond).out(string(shout(line)) + "\n")
		}
		c.at(length).close("RemoteClose")
	}
	return r
}

// onTime returns an error unless a replay at a speed took as long as it should, to
// within 2 %, and was seldom late.
func onTime(result *replay.Result, length time.Duration, speed float64) error {
	due := time.Duration(float64(length) / speed)
	if off := (result.Elapsed - due).Abs(); off > due/50 {
		return fmt.Errorf("speed %v took %v, not %v", speed, result.Elapsed, due)
	}
	if p50 := result.Lateness.Quantile(0.5); result.Lateness.Count == 0 || p50 > due/100 {
		return fmt.Errorf("speed %v: lateness %+v", speed, result.Lateness.Quantiles())
	}
	if !result.Same() {
		return fmt.Errorf("speed %v: %+v", speed, result.Counts)
	}
	return nil
}

func TestPaceDoesNotDrift(t *testing.T) {
	t.Parallel()
	const (
		length, step = 2 * time.Second, 20 * time.Millisecond
		sessions     = 4
	)
	r := paced(sessions, length, step)
	server := serve(t, lines(shout))
	for _, mode := range []replay.Mode{replay.Turns, replay.Timed} {
		for _, speed := range []float64{1, 2} {
			pace := time.Duration(float64(step) / speed)
			end := time.Duration(float64(length) / speed)
			// Whoever sends too early or too late waits for another moment.
			result := r.runOnClock(t, replay.Options{Target: server, Mode: mode, Speed: speed}, func(_, at time.Duration) int {
				if at%pace == 0 && at <= end || at == end+leaveTimeout {
					return sessions
				}
				return never
			})
			if err := onTime(result, length, speed); err != nil {
				t.Error(err)
			}
			if result.Elapsed != end+leaveTimeout || result.Lateness.Max != 0 {
				t.Errorf("mode %s, speed %v: took %v, lateness %+v", mode, speed, result.Elapsed, result.Lateness.Quantiles())
			}
		}
	}
}

// A target that is slower than the recorded one makes requests late, not the
// replay longer: time that was lost is made up for.
func TestLostTimeIsMadeUpFor(t *testing.T) {
	t.Parallel()
	const length, step = time.Second, 20 * time.Millisecond
	now := newManualClock()
	begin := now.Now()
	var count atomic.Int64
	server := serve(t, func(conn net.Conn) {
		lines(func(line string) []byte {
			if count.Add(1) == 10 {
				<-now.TimerAt(begin.Add(9*step + length/2)).C()
			}
			return shout(line)
		})(conn)
	})
	result := paced(1, length, step).runOn(t, now, replay.Options{Target: server}, func(_, at time.Duration) int {
		if at%step == 0 && at <= length || at == length+leaveTimeout {
			return 1
		}
		return never
	})
	if result.Elapsed > length+length/3 || result.Lateness.Max < length/4 || !result.Same() {
		t.Errorf("took %v, lateness %+v, %+v", result.Elapsed, result.Lateness.Quantiles(), result.Counts)
	}
}

func TestRateIsALimit(t *testing.T) {
	t.Parallel()
	result := lineScenario(4, 25).runOnClock(t, replay.Options{Target: serve(t, lines(shout)), Speed: math.Inf(1), Rate: 200}, soon)
	want(t, result, replay.Counts{Turns: 100, Equal: 100})
	if least := 99 * time.Second / 200; result.Elapsed < least || result.Elapsed > 2*least {
		t.Errorf("100 sends at 200 a second took %v", result.Elapsed)
	}
}

func TestConcurrencyIsALimit(t *testing.T) {
	t.Parallel()
	var open atomic.Int64
	var mu sync.Mutex
	var most int64 // guarded by mu
	server := serve(t, func(conn net.Conn) {
		now := open.Add(1)
		lines(shout)(conn)
		mu.Lock()
		most = max(most, now)
		mu.Unlock()
		open.Add(-1)
	})
	result := lineScenario(40, 5).runOnClock(t, replay.Options{Target: server, Speed: math.Inf(1), Concurrency: 3}, soon)
	want(t, result, replay.Counts{Turns: 200, Equal: 200})
	mu.Lock()
	defer mu.Unlock()
	if most > 3 {
		t.Errorf("%d connections at a time", most)
	}
}

// What the recorded client sent in the middle of an answer is not sent before it.
func TestATurnWaitsForWhatTheClientHadReceived(t *testing.T) {
	t.Parallel()
	r := newScenario()
	c := r.open(0, 7000)
	c.in("a").out("1234").in("b").out("56").in("c").out("78").close("RemoteClose")
	var mu sync.Mutex
	var order []string
	server := serve(t, func(conn net.Conn) {
		record := func(what string) {
			mu.Lock()
			order = append(order, what)
			mu.Unlock()
		}
		buf := make([]byte, 16)
		for _, answer := range []string{"12 34", "56", "78"} {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			record(string(buf[:n]))
			for _, part := range strings.Fields(answer) {
				record(part)
				if _, err := conn.Write([]byte(part)); err != nil {
					return
				}
			}
		}
	})
	want(t, r.run(t, replay.Options{Target: server, Speed: math.Inf(1)}), replay.Counts{Turns: 3, Equal: 3})
	mu.Lock()
	defer mu.Unlock()
	if wanted := []string{"a", "12", "34", "b", "56", "c", "78"}; !slices.Equal(order, wanted) {
		t.Errorf("%q, want %q", order, wanted)
	}
}
