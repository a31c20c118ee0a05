package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// matchCalls has a trigger that needs the calls of all protocols, and never fires.
func matchCalls(t *testing.T, f *Flight, o TriggerOptions) {
	t.Helper()
	set, err := CompileTriggers([]Trigger{{Name: "calls", Where: `target == "no such target"`}}, o)
	if err != nil {
		t.Fatal(err)
	}
	f.Match(set, func(e TriggerEvent) { t.Errorf("event %+v", e) })
}

// callTexts is a sink that keeps what calls say, but for when they passed.
type callTexts struct {
	lines []string
}

func (s *callTexts) Call(c *call.Call) {
	s.lines = append(s.lines, fmt.Sprintf("%d %s %s %s %s %s %v", c.N, c.Protocol, c.Method, c.Target, c.Service, c.Status, (c.Incomplete&^call.BeganBefore).Words()))
}
func (s *callTexts) Span(call.Span)   {}
func (s *callTexts) WantsSpans() bool { return false }

// captured returns the calls of a window in the harness's files, as callTexts has them.
func (r *harness) captured(n int) []string {
	r.t.Helper()
	d, err := dump.Open([]string{r.dir}, dump.Options{Filter: dump.Filter{Window: windowID(n)}})
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	sink := &callTexts{}
	s := calls.New(calls.Options{}, func(c *calls.Call) error { sink.Call(&c.Call); return nil })
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = s.Add(rec)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		r.t.Fatal(err)
	}
	return sink.lines
}

// recordedSessions are connections of several protocols.
func recordedSessions(t *testing.T) map[string]parsetest.Session {
	t.Helper()
	const get, ok = "GET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
	all := map[string]parsetest.Session{
		"grpc":      parsetest.GRPC(t, 30),
		"pipelined": parsetest.Talk(">"+strings.Repeat(get, 3), "<"+ok, "<"+ok+ok, ">"+get, "<"+ok),
		"redis":     parsetest.Talk(">*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n", "<$1\r\n1\r\n", "<-ERR no\r\n", ">*1\r\n$4\r\nPING\r\n", "<+PONG\r\n"),
	}
	for _, name := range []string{"modern", "compressed"} {
		all["mysql "+name] = parsetest.Load(t, filepath.Join("../../../../protocol/mysql/testdata", name+".talk"))
	}
	return all
}

// talk passes a session on.
func (p *peer) talk(r *Ring, s parsetest.Session) {
	for _, piece := range s {
		if len(piece.Data) > 0 {
			p.sayTo(r, piece.Dir, piece.Data)
		}
	}
}

// endingFrom returns the calls of a session that end from its piece cut on.
func endingFrom(s parsetest.Session, cut int) []string {
	sink := &callTexts{}
	d := protocol.New(sink, protocol.Limits{})
	var next [2]uint64
	ended := 0
	for i, p := range s {
		if i == cut {
			ended = len(sink.lines)
		}
		d.Data(p.Dir, next[p.Dir], p.At, p.Data)
		next[p.Dir] += uint64(len(p.Data))
	}
	d.End(s[len(s)-1].At)
	return sink.lines[ended:]
}

// matched waits until all that has passed is matched.
func (f *Flight) matched(t *testing.T) {
	t.Helper()
	reader := f.matchings.all[0].reader
	until(t, "all is matched", func() bool {
		select {
		case f.checkpoints[0].wake <- struct{}{}:
		default:
		}
		_, waiting := reader.Progress()
		return !waiting
	})
}

// until waits until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so after half a minute: ", what)
		}
	}
}

// A capture from the middle of a connection has the calls of the whole connection that end
// in it, with their numbers: where its beginning is in the ring; where only a checkpoint is;
// where the connection was still for long; in each format.
func TestACaptureFromTheMiddleHasTheCalls(t *testing.T) {
	for name, s := range recordedSessions(t) {
		for _, format := range []Format{FormatHexMeta, FormatPcapng} {
			for _, cut := range []int{1, len(s) / 2, len(s) - 2} {
				for _, way := range []string{"young", "old", "still"} {
					t.Run(fmt.Sprint(name, " ", format, " ", cut, " ", way), func(t *testing.T) {
						t.Parallel()
						captureFrom(t, s, format, cut, way)
					})
				}
			}
		}
	}
}

func captureFrom(t *testing.T, s parsetest.Session, format Format, cut int, way string) {
	r := newHarness(t, func(c *Config) { c.Formats = []Format{format}; c.Workers = 1 }, nil)
	f := r.openFlight(1 << 20)
	if way != "young" {
		f.checkpointMemory.every.Store(int64(50 * time.Millisecond))
	}
	matchCalls(t, f, TriggerOptions{})
	one, other := newPeer(r.run, 1), newPeer(r.run, 2)
	noise := func() { // until the ring has nothing of before
		_, from := f.shards[0].Holds()
		for evicted := from; evicted < from+5<<18; _, evicted = f.shards[0].Holds() {
			other.sayTo(f.Ring, record.Out, bytes.Repeat([]byte("x"), 32<<10))
			f.matched(t)
		}
	}
	if way == "young" {
		one.talk(f.Ring, s[:cut])
	} else {
		one.talk(f.Ring, s[:cut/2])
		noise()
		<-time.After(100 * time.Millisecond)
		one.talk(f.Ring, s[cut/2:cut])
		if way == "still" {
			noise()
		}
	}
	<-time.After(20 * time.Millisecond)
	since := time.Now()
	<-time.After(20 * time.Millisecond)
	if way != "still" {
		one.talk(f.Ring, s[cut:])
	}
	capture, err := f.OpenCapture(record.Window{ID: windowID(1), Trigger: record.TriggerFlight, Opened: since}, Scope{Conn: one.id})
	if err != nil {
		t.Fatal(err)
	}
	if way == "still" {
		<-time.After(100 * time.Millisecond)
		one.talk(f.Ring, s[cut:])
	}
	capture.Close(time.Now())
	f.Shut()
	f.Close()
	if format == FormatHexMeta {
		r.agrees(r.indexed(1))
		for _, c := range r.connections() {
			if c.State == nil || c.State.TotalIn != c.In.Begin() && len(c.In.Pieces) > 0 || c.State.TotalOut != c.Out.Begin() && len(c.Out.Pieces) > 0 {
				t.Errorf("state line %+v", c.State)
			}
		}
	}
	if got, want := strings.Join(r.captured(1), "\n"), strings.Join(endingFrom(s, cut), "\n"); got != want {
		t.Errorf("calls\n%s\nwant\n%s", got, want)
	}
	if used := f.checkpointMemory.used.Load(); used != 0 {
		t.Errorf("%d bytes are accounted for at the end", used)
	}
	r.quiet()
}

// A window that reads the flight recorder's ring has the states too.
func TestAWindowFromTheMiddleHasTheCalls(t *testing.T) {
	for name, s := range recordedSessions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, func(c *Config) { c.Workers = 1 }, nil)
			f := r.openFlight(1 << 20)
			matchCalls(t, f, TriggerOptions{})
			one := newPeer(r.run, 1)
			cut := len(s) / 2
			one.talk(f.Ring, s[:cut])
			f.matched(t)
			w := r.open(1)
			w.Start()
			one.talk(w.Ring(), s[cut:])
			w.Close(time.Now())
			f.Shut()
			f.Close()
			r.agrees(r.indexed(1))
			if got, want := strings.Join(r.captured(1), "\n"), strings.Join(endingFrom(s, cut), "\n"); got != want {
				t.Errorf("calls\n%s\nwant\n%s", got, want)
			}
			r.quiet()
		})
	}
}

// Without a trigger that needs calls, and without memory, there are no states, and the
// capture is as without.
func TestNoStates(t *testing.T) {
	s := parsetest.GRPC(t, 20)
	for name, match := range map[string]func(t *testing.T, f *Flight){
		"no triggers": func(*testing.T, *Flight) {},
		"bytes": func(t *testing.T, f *Flight) {
			set, err := CompileTriggers([]Trigger{{Name: "bytes", Bytes: []string{"no such bytes"}}}, TriggerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			f.Match(set, func(TriggerEvent) {})
		},
		"no memory": func(t *testing.T, f *Flight) {
			matchCalls(t, f, TriggerOptions{Decoders: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, func(c *Config) { c.Workers = 1 }, nil)
			f := r.openFlight(1 << 20)
			match(t, f)
			one := newPeer(r.run, 1)
			one.talk(f.Ring, s[:len(s)/2])
			<-time.After(20 * time.Millisecond)
			since := time.Now()
			<-time.After(20 * time.Millisecond)
			one.talk(f.Ring, s[len(s)/2:])
			c, err := f.OpenCapture(record.Window{ID: windowID(1), Trigger: record.TriggerFlight, Opened: since}, Scope{})
			if err != nil {
				t.Fatal(err)
			}
			c.Close(time.Now())
			if got := f.checkpointMemory.dropped.Load(); name == "no memory" && got == 0 {
				t.Error("what there was no memory for is not counted")
			}
			f.Shut()
			f.Close()
			r.agrees(r.indexed(1))
			if got := strings.Join(r.captured(1), "\n"); !strings.Contains(got, "unknown_fields") {
				t.Errorf("calls\n%s", got)
			}
			for _, c := range r.connections() {
				if c.State != nil {
					t.Error("there is a state")
				}
			}
		})
	}
}

// Checkpoints are bounded, the oldest are given up first, and those of what the ring has
// given up go too.
func TestCheckpointsAreBounded(t *testing.T) {
	m := &checkpointMemory{}
	m.limit.Store(10 * (checkpointSize + 100 + 1))
	c := newCheckpoints(m)
	for i := range int64(25) {
		c.add(&checkpoint{conn: string(rune('a' + i%3)), time: i, state: make([]byte, 100)})
	}
	if len(c.all) != 10 || c.all[0].time != 15 || m.dropped.Load() != 15 || m.used.Load() != m.limit.Load() {
		t.Errorf("%d checkpoints, the oldest of %d, %d dropped, %d bytes", len(c.all), c.all[0].time, m.dropped.Load(), m.used.Load())
	}
	c.add(&checkpoint{conn: "b", time: 25, state: make([]byte, 3000)})
	if len(c.all) != 0 || len(c.conns) != 0 || m.used.Load() != 0 {
		t.Errorf("%d checkpoints, %d bytes, beside one that is too large", len(c.all), m.used.Load())
	}
	for i := range int64(9) {
		c.add(&checkpoint{conn: string(rune('a' + i%3)), time: i, state: make([]byte, 100)})
	}
	if p := c.before("a", 6); p == nil || p.time != 3 {
		t.Errorf("the newest before 6 is %+v", p)
	}
	c.evict(5)
	if p := c.before("a", 6); p != nil || len(c.all) != 4 || len(c.conns) != 3 {
		t.Errorf("%+v is there, and %d of %d connections", p, len(c.all), len(c.conns))
	}
	m.every.Store(int64(checkpointEvery))
	for i := range int64(100) { // a second apart, of which the memory has ten
		c.add(&checkpoint{conn: "a", time: i * 1e9, state: make([]byte, 100)})
	}
	if every := time.Duration(m.every.Load()); every != maxCheckpointEvery {
		t.Errorf("a checkpoint each %v", every)
	}
	c.clear()
	if len(c.all) != 0 || len(c.conns) != 0 || m.used.Load() != 0 {
		t.Errorf("%d checkpoints, %d bytes at the end", len(c.all), m.used.Load())
	}
}

// Who waits for a matching that has come to a place, or has ended, or does neither, goes on.
func TestWaitingForTheMatching(t *testing.T) {
	c := newCheckpoints(&checkpointMemory{})
	c.memory.limit.Store(1 << 20)
	at := buffer.Place{Batch: 3, At: 100}
	c.add(&checkpoint{conn: "a", place: at, state: []byte("state")})
	if p, late := c.at("a", at, nil); p == nil || late {
		t.Error("nobody matches, and it waits")
	}
	c.work(true)
	fired := make(chan time.Time, 1)
	fired <- time.Now()
	if p, late := c.at("a", at, fired); p != nil || !late {
		t.Error("it does not wait until the timer fires")
	}
	for name, end := range map[string]func(){"passed": func() { c.pass(buffer.Place{Batch: 3, At: 200}) }, "ended": func() { c.work(false) }} {
		c.work(true)
		c.pass(buffer.Place{Batch: 3, At: 100})
		select {
		case <-c.wake:
		default:
		}
		got := make(chan *checkpoint)
		go func() {
			p, _ := c.at("a", at, nil)
			got <- p
		}()
		<-c.wake // it waits
		end()
		if p := <-got; p == nil {
			t.Errorf("%s: nothing is found", name)
		}
	}
}

// BenchmarkMatching matches the entries of 1,000 connections of gRPC that a ring has,
// without checkpoints and with one before each entry.
func BenchmarkMatching(b *testing.B) {
	store, err := Open(testConfig(b.TempDir()), Host{Run: "aaaaaa"})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	f, err := store.OpenFlight(FlightOptions{Size: 64 << 20, Window: windowID(900)})
	if err != nil {
		b.Fatal(err)
	}
	entries := 0
	for i := range 1000 {
		s := parsetest.GRPC(b, 20)
		p := newPeer("aaaaaa", i)
		p.talk(f.Ring, s)
		entries += len(s)
	}
	set, err := CompileTriggers([]Trigger{{Name: "calls", Where: `failed and latency > 1h`}}, TriggerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for name, every := range map[string]int64{"none": int64(time.Hour), "each entry": 0} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				for i, sh := range f.shards {
					m := &matching{flight: f, event: func(TriggerEvent) {}, reader: sh.NewWatcherOfAll(), set: set, checkpoints: newCheckpoints(&f.checkpointMemory)}
					m.checkpointing.memory = &f.checkpointMemory
					f.checkpointMemory.every.Store(every)
					m.matcher = set.NewMatcher(m.fire)
					for batch := m.reader.Next(); batch != nil; batch = m.reader.Next() {
						m.match(batch)
						m.reader.Done()
					}
					if i == 0 && every == 0 && len(m.checkpoints.all) > 0 {
						b.ReportMetric(float64(len(m.checkpoints.all[len(m.checkpoints.all)-1].state)), "B/state")
					}
					m.checkpoints.clear()
					m.matcher.Stop()
					m.reader.Close()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*entries), "ns/entry")
		})
	}
	f.Shut()
	f.Close()
}
