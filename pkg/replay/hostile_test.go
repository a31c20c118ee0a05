package replay_test

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/replay"
)

func newLineReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// refusing returns an address that nothing listens on.
func refusing(t testing.TB) replay.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return replay.Server{Address: listener.Addr().String()}
}

// onThird serves the line protocol, but gives the third connection to hostile.
func onThird(hostile func(net.Conn)) func(net.Conn) {
	var count atomic.Int64
	return func(conn net.Conn) {
		if count.Add(1) == 3 {
			hostile(conn)
			return
		}
		lines(shout)(conn)
	}
}

// Whatever one connection suffers is reported of it, and the others go on.
func TestAHostileConnectionDoesNotDisturbOthers(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 1<<20)
	now := newManualClock() // of the replay with the connection that hangs
	var hanging atomic.Bool
	for name, c := range map[string]struct {
		hostile func(net.Conn)
		counts  replay.Counts // of the one connection
		err     string
	}{
		"closes at once": {func(net.Conn) {}, replay.Counts{Turns: 1, Missing: 1}, "closed the connection early|reset|broken pipe"},
		"closes early": {func(conn net.Conn) {
			if line, err := newLineReader(conn).ReadString('\n'); err == nil {
				_, _ = io.WriteString(conn, "you said "+line)
			}
		}, replay.Counts{Turns: 2, Equal: 1, Missing: 1}, "closed the connection early|reset|broken pipe"},
		"hangs": {func(conn net.Conn) {
			hanging.Store(true)
			now.Advance(0) // so that the schedule sees it
			_, _ = io.Copy(io.Discard, conn)
			hanging.Store(false)
		}, replay.Counts{Turns: 5, Missing: 5}, ""},
		"floods": {func(conn net.Conn) {
			for {
				if _, err := conn.Write(zeros); err != nil {
					return
				}
			}
		}, replay.Counts{Turns: 1, Different: 1}, "more than was recorded"},
		"trickles": {func(conn net.Conn) {
			in := newLineReader(conn)
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				for _, c := range "you said " + line {
					if _, err := conn.Write([]byte{byte(c)}); err != nil {
						return
					}
				}
			}
		}, replay.Counts{Turns: 5, Equal: 5}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newManualClock()
			if name == "hangs" {
				clock = now
			}
			result := lineScenario(6, 5).runOn(t, clock, replay.Options{
				Target: serve(t, onThird(c.hostile)), Speed: math.Inf(1), Concurrency: 1, OnConn: func(got *replay.Conn) {
					if got.Conn != "k3v9qa-3" {
						if got.Err != nil || inTime(got.Counts).Equal != 5 {
							t.Errorf("%s: %+v, %v", got.Conn, got.Counts, got.Err)
						}
						return
					}
					if counts := inTime(got.Counts); counts != c.counts {
						t.Errorf("counts %+v, want %+v", counts, c.counts)
					}
					matches := c.err == "" && got.Err == nil
					for _, text := range strings.Split(c.err, "|") {
						matches = matches || c.err != "" && got.Err != nil && strings.Contains(got.Err.Error(), text)
					}
					if !matches {
						t.Errorf("error %v, want %q", got.Err, c.err)
					}
				},
			}, func(now, at time.Duration) int {
				// Only the turn timeout passes, up to an eighth late, and only while the
				// connection hangs.
				const timeout = replay.DefaultTurnTimeout
				if name == "hangs" && hanging.Load() && at-now >= timeout && at-now < timeout*6/5 {
					return 1
				}
				return soon(now, at)
			})
			if result.Connections != 6 || (result.Failed > 0) != (c.err != "") {
				t.Errorf("%d connections, %d failed", result.Connections, result.Failed)
			}
		})
	}
}

func TestATargetThatRefusesIsUnconnected(t *testing.T) {
	t.Parallel()
	result := lineScenario(3, 5).run(t, replay.Options{Target: refusing(t), Speed: math.Inf(1)})
	want(t, result, replay.Counts{})
	if result.Failed != 3 || result.Unconnected != 3 || result.Same() || !strings.Contains(result.Conns[0].Err.Error(), "refused") {
		t.Errorf("%+v", result)
	}
}

// A target that does not read is not waited for without end.
func TestATargetThatDoesNotReadTimesOut(t *testing.T) {
	t.Parallel()
	recording := loadTurns(t, replay.LoadOptions{}, 1, [2]string{strings.Repeat("x", 32<<20), "ok"})
	stop := make(chan struct{})
	defer close(stop)
	result := run(t, recording, replay.Options{Target: serve(t, func(net.Conn) { <-stop }), Speed: math.Inf(1), TurnTimeout: silenceTimeout})
	if result.Failed != 1 || !strings.Contains(result.Conns[0].Err.Error(), "does not take what is sent") {
		t.Errorf("%+v", result.Conns[0].Err)
	}
}

// Requests and answers that are longer than any buffer do not block one another.
func TestLongRequestsAndAnswersDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	var turns [][2]string
	for i := range 3 {
		text := strings.Repeat(string(rune('a'+i)), 24<<20)
		turns = append(turns, [2]string{text, text})
	}
	recording := loadTurns(t, replay.LoadOptions{}, 2, turns...)
	for _, mode := range []replay.Mode{replay.Turns, replay.Timed} {
		result := run(t, recording, replay.Options{Target: serve(t, echo), Mode: mode, Speed: math.Inf(1)})
		want(t, result, replay.Counts{Turns: 6, Equal: 6})
	}
	changed := serve(t, func(conn net.Conn) {
		buf := make([]byte, 64<<10)
		for at := 0; ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			// Far after what is kept of an answer.
			if where := 30<<20 - at; where >= 0 && where < n {
				buf[where] = '!'
			}
			at += n
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	result := run(t, recording, replay.Options{Target: changed, Speed: math.Inf(1)})
	want(t, result, replay.Counts{Turns: 6, Equal: 4, Different: 2})
	if d := result.Conns[0].Differences[0]; d.Turn != 2 || !strings.Contains(d.Note, "what is behind them is not") {
		t.Errorf("%d %q", d.Turn, d.Note)
	}
}

// What is recorded may be more than the memory that is allowed for it, and so may
// what floods in.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("moves much memory")
	}
	const bound = 160 << 20
	piece := strings.Repeat("0123456789abcdef", 64<<10)
	turns := make([][2]string, 256)
	for i := range turns {
		turns[i] = [2]string{"go\n", piece}
	}
	recording := loadTurns(t, replay.LoadOptions{Memory: 4 << 20, Dir: t.TempDir()}, 1, turns...)
	runtime.GC()
	zeros := make([]byte, 1<<20)
	flood := serve(t, func(conn net.Conn) {
		for {
			if _, err := conn.Write(zeros); err != nil {
				return
			}
		}
	})
	mute := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, o := range []replay.Options{
		{Target: flood, Speed: math.Inf(1)},
		{Target: mute, Speed: math.Inf(1), Mode: replay.Timed, TurnTimeout: 100 * time.Millisecond},
		{Target: mute, Baseline: &flood, Speed: math.Inf(1), Mode: replay.Timed, TurnTimeout: 100 * time.Millisecond},
	} {
		replayer, err := replay.New(recording, o)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan *replay.Result)
		go func() { // ends with the replay
			result, err := replayer.Run(context.Background())
			if err != nil {
				t.Error(err)
			}
			done <- result
		}()
		var most uint64
		tick := time.NewTicker(10 * time.Millisecond)
		for result := (*replay.Result)(nil); result == nil; {
			select {
			case result = <-done:
			case <-tick.C:
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
		}
		tick.Stop()
		if grown := int64(most) - int64(before.HeapAlloc); grown > bound {
			t.Errorf("%+v took %d MiB", o.Target, grown>>20)
		}
	}
}

func TestAnInterruptedReplayReturnsWhatItHas(t *testing.T) {
	t.Parallel()
	r := lineScenario(4, 20)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var said atomic.Int64
	server := serve(t, lines(func(line string) []byte {
		if said.Add(1) == 30 {
			cancel()
		}
		return shout(line)
	}))
	replayer, err := replay.New(r.load(t, replay.LoadOptions{}), replay.Options{Target: server, Speed: math.Inf(1), Concurrency: 1, Loops: 1000})
	if err != nil {
		t.Fatal(err)
	}
	result, err := replayer.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Interrupted || result.Same() || result.Failed > 0 || result.Different+result.Missing > 0 || result.Equal < 28 || result.Equal > 100 {
		t.Errorf("%+v, %+v", result.Counts, result.Failed)
	}
	if _, err := replayer.Run(ctx); err == nil {
		t.Error("ran twice")
	}
}
