package replay_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/pkg/replay"
)

// testTimeout bounds what a test waits for; only a failing one waits that long.
const testTimeout = 30 * time.Second

// silenceTimeout is the turn timeout of replays to servers that leave out an answer,
// or the rest of one. It passes in full. It is longer than any other delay, so that
// a test that runs beside others on a busy machine does not reach it.
const silenceTimeout = time.Second

// scenario records synthetic sessions with the recorder's own encoder.
type scenario struct {
	text    []byte
	encoder record.Encoder
	begin   time.Time
	conns   int
}

func newScenario() *scenario {
	return &scenario{encoder: hexlog.NewMetaEncoder(), begin: time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local)}
}

// scenarioConn is one connection of a scenario. Its methods record what happens to it at its
// clock, which at moves.
type scenarioConn struct {
	scenario *scenario
	flow     record.Flow
	next     record.PerDirection
	now      time.Duration
}

// open begins a connection of a listener's port at a moment.
func (r *scenario) open(at time.Duration, port int) *scenarioConn {
	r.conns++
	c := &scenarioConn{scenario: r, now: at}
	server := netip.MustParseAddrPort(fmt.Sprintf("10.9.9.9:%d", port))
	client := netip.MustParseAddrPort(fmt.Sprintf("10.0.0.1:%d", 40000+r.conns))
	c.flow = record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44", Conn: fmt.Sprintf("k3v9qa-%d", r.conns), Port: fmt.Sprint(port), Network: "tcp", Peer: client.String(), Listener: server.String()}, ClientAddr: client, ServerAddr: server}, FromStart: true}
	r.text = r.encoder.Open(r.text, c.time(), &c.flow)
	return c
}

func (c *scenarioConn) time() int64 { return c.scenario.begin.Add(c.now).UnixNano() }

// at moves the connection's clock.
func (c *scenarioConn) at(t time.Duration) *scenarioConn { c.now = t; return c }

func (c *scenarioConn) data(dir record.Direction, text string) *scenarioConn {
	c.scenario.text = c.scenario.encoder.Data(c.scenario.text, c.time(), &c.flow, dir, c.next.Of(dir), []byte(text))
	c.next.Add(dir, uint64(len(text)))
	return c
}

func (c *scenarioConn) in(text string) *scenarioConn  { return c.data(record.In, text) }
func (c *scenarioConn) out(text string) *scenarioConn { return c.data(record.Out, text) }

func (c *scenarioConn) gap(dir record.Direction, n uint64) *scenarioConn {
	c.scenario.text = c.scenario.encoder.Gap(c.scenario.text, c.time(), &c.flow, dir, c.next.Of(dir), n, record.ReasonLimit)
	c.next.Add(dir, n)
	return c
}

// skip lets bytes pass before the window.
func (c *scenarioConn) skip(in, out uint64) *scenarioConn {
	c.next.Add(record.In, in)
	c.next.Add(record.Out, out)
	return c
}

func (c *scenarioConn) close(reason string) {
	c.scenario.text = c.scenario.encoder.Close(c.scenario.text, c.time(), &c.flow, record.CloseReason(reason), c.next)
}

// load returns the scenario as a Recording that lives as long as the test.
func (r *scenario) load(t testing.TB, o replay.LoadOptions) *replay.Recording {
	t.Helper()
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: bytes.NewReader(r.text)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	o.Damaged = func(e *record.DamageError) { t.Errorf("the scenario is damaged: %v", e) }
	recording, err := replay.Load(d, o)
	return loaded(t, recording, err)
}

// loaded returns recording, which was loaded with err, and closes it when the test
// ends.
func loaded(t testing.TB, recording *replay.Recording, err error) *replay.Recording {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := recording.Close(); err != nil {
			t.Error(err)
		}
	})
	return recording
}

// loadTurns returns a Recording of connections with these requests and answers,
// the same each time, which are too long for a log's text.
func loadTurns(t testing.TB, o replay.LoadOptions, connections int, turns ...[2]string) *replay.Recording {
	t.Helper()
	l := replay.NewLoader(o)
	at := time.Unix(1_700_000_000, 0)
	for i := range connections {
		id := record.Identity{Window: "5f3c", Conn: fmt.Sprintf("k3v9qa-%d", i+1), Port: "7000", Network: "tcp"}
		var next record.PerDirection
		add := func(r record.Record) {
			r.Identity, r.Time = id, at
			if err := l.Add(&r); err != nil {
				t.Fatal(err)
			}
		}
		for _, turn := range turns {
			add(record.Record{Kind: record.KindData, Direction: record.In, Offset: next.In, Length: uint64(len(turn[0])), Data: []byte(turn[0])})
			add(record.Record{Kind: record.KindData, Direction: record.Out, Offset: next.Out, Length: uint64(len(turn[1])), Data: []byte(turn[1])})
			next.In += uint64(len(turn[0]))
			next.Out += uint64(len(turn[1]))
		}
		add(record.Record{Kind: record.KindClose, Reason: "RemoteClose", Totals: next})
	}
	recording, err := l.Finish()
	return loaded(t, recording, err)
}

// run replays the scenario with options and returns the result.
func (r *scenario) run(t testing.TB, o replay.Options) *replay.Result {
	t.Helper()
	return run(t, r.load(t, replay.LoadOptions{}), o)
}

func run(t testing.TB, recording *replay.Recording, o replay.Options) *replay.Result {
	t.Helper()
	replayer, err := replay.New(recording, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	result, err := replayer.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("the replay took longer than %v", testTimeout)
	}
	return result
}

// serve calls handle with each connection to a loopback port, until the test ends,
// and returns the server's address.
func serve(t testing.TB, handle func(net.Conn)) replay.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loopback.Serve(listener, handle))
	return replay.Server{Address: listener.Addr().String()}
}

// lines serves a line protocol: answer returns what is said to a line, without
// line ends; nil says nothing.
func lines(answer func(line string) []byte) func(net.Conn) {
	return func(conn net.Conn) {
		in := bufio.NewScanner(conn)
		for in.Scan() {
			if text := answer(in.Text()); text != nil {
				if _, err := conn.Write(append(text, '\n')); err != nil {
					return
				}
			}
		}
	}
}

// echo answers with what it reads.
func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// shout is what the line protocol's servers answer in the recordings.
func shout(line string) []byte { return []byte("you said " + line) }

// want fails the test unless the counts are these. A busy machine may make equal
// answers late.
func want(t *testing.T, got *replay.Result, counts replay.Counts) {
	t.Helper()
	if inTime(got.Counts) != counts {
		t.Errorf("counts %+v, want %+v", got.Counts, counts)
		for _, c := range got.Conns {
			t.Logf("%s: %+v, %v, skipped %t", c.Conn, c.Counts, c.Err, c.Skipped)
			for _, d := range c.Differences[:min(len(c.Differences), 3)] {
				t.Logf("  turn %d %s at %d (%s)\n-%.150q\n+%.150q", d.Turn, d.Verdict, d.At, d.Note, d.Recorded.Bytes, d.Replayed.Bytes)
			}
		}
	}
}

// inTime counts late answers as equal ones.
func inTime(c replay.Counts) replay.Counts {
	c.Equal += c.Late
	c.Late = 0
	return c
}
