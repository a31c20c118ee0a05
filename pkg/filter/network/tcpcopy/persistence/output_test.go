package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// bench is a worker without a goroutine: a test fills its shard's batch and has
// it written when it wants.
type bench struct {
	t *testing.T
	*worker
}

func newBench(t *testing.T, r *rig, sink sink, encoder record.Encoder) *bench {
	t.Helper()
	c := r.store.config
	l := c.layout()
	spool, _, err := newSpool(c, spoolHeader{Formats: c.Formats, Workers: l.workers, Batch: l.batch})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(spool.remove)
	mem, err := newMemory(l.encoded)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mem.free)
	s := newSession(r.store, record.Window{ID: windowID(1), Opened: time.Now()}, l, mem, spool)
	w := s.crew[0]
	w.shard.active.state.begin(w.shard.number)
	if sink != nil {
		w.outputs[0].sink = sink
	}
	if encoder != nil {
		w.outputs[0].encoder = encoder
	}
	return &bench{t, w}
}

// say offers data as Session.Data does.
func (b *bench) say(p *peer, dir record.Direction, data []byte) {
	before := p.pass(b.session, dir, data)
	p.describe()
	b.shard.data(&p.Conn, dir, before, [][]byte{data}, len(data))
}

// end closes a connection as Session.End does.
func (b *bench) end(p *peer) {
	b.shard.mu.Lock()
	defer b.shard.mu.Unlock()
	if p.session == b.session && !p.ended {
		p.ended, p.gone = true, b.session
		b.shard.endLocked(&p.Conn, &ending{"RemoteClose", p.before()}, b.shard.clock.now())
	}
}

// log returns the conversations of a flow log with that text.
func readLog(t *testing.T, text []byte) []*oracle.Conversation {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, layout.FlowLog), text, fileMode); err != nil {
		t.Fatal(err)
	}
	return (&rig{t: t, dir: dir}).conversations()
}

// memorySink is a sink that fails at random, at each place where a sink may.
type memorySink struct {
	random    *rand.Rand // nil means that nothing fails any more
	committed bytes.Buffer
	pending   []byte
	begun     bool
	fresh     bool // another file has just been begun
	failures  int
}

func (m *memorySink) fails(in int) bool {
	if m.random == nil || m.random.IntN(in) > 0 {
		return false
	}
	m.failures++
	return true
}

func (m *memorySink) begin() error {
	if m.begun {
		panic("begun twice")
	}
	if m.fails(5) {
		return errWaiting
	}
	m.begun = true
	return nil
}

func (m *memorySink) retry() {}

func (m *memorySink) room(int) (dst []byte, full bool, err error) {
	if m.fails(60) {
		return nil, false, errors.New("no room")
	}
	full = !m.fresh && m.random != nil && m.random.IntN(20) == 0
	m.fresh = false
	return m.pending, full, nil
}

func (m *memorySink) next() error {
	if len(m.pending) > 0 {
		panic("ended before it was committed")
	}
	if m.fails(3) {
		return errors.New("no next file")
	}
	m.fresh = true
	return nil
}

func (m *memorySink) place() (inode, size uint64)           { return 1, uint64(m.committed.Len()) }
func (m *memorySink) takeBack(uint64, uint64, string) error { return nil }

func (m *memorySink) put(dst []byte) { m.pending = dst }

func (m *memorySink) commit() error {
	if m.fails(6) {
		return errors.New("not committed")
	}
	m.committed.Write(m.pending)
	m.pending = m.pending[:0]
	return nil
}

func (m *memorySink) abort(error) { m.pending = m.pending[:0] }
func (m *memorySink) end()        { m.begun = false }

// Wherever a sink fails, what it has taken and what it lacks make up the whole.
func TestOutputsAreExactWhereverTheSinkFails(t *testing.T) {
	failures := 0
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 3))
		r := newRig(t, func(c *Config) { c.BufferSize, c.Workers = MinBufferSize, 1 }, nil)
		sink := &memorySink{random: rand.New(rand.NewPCG(seed, 4))}
		b := newBench(t, r, sink, nil)
		peers := map[string]*peer{}
		var live []*peer
		for i := range 300 {
			if len(live) < 5 || random.IntN(15) == 0 {
				p := newPeer(r.run, i+1)
				p.Limit = []uint64{0, 0, 1000}[random.IntN(3)]
				peers[p.id] = p
				live = append(live, p)
			}
			k := random.IntN(len(live))
			data := make([]byte, 1+random.IntN(900))
			for j := range data {
				data[j] = byte(random.Uint32())
			}
			b.say(live[k], record.Direction(random.IntN(2)), data)
			if random.IntN(12) == 0 {
				b.end(live[k])
				live = append(live[:k], live[k+1:]...)
			}
			if random.IntN(8) == 0 {
				b.drain()
			}
		}
		failures += sink.failures
		sink.random = nil
		b.finish()
		all := readLog(t, sink.committed.Bytes())
		var kept, lost uint64
		for _, c := range all {
			peers[c.Conn].compare(t, c)
			kept += c.In.Kept() + c.Out.Kept()
			lost += c.In.Lost() + c.Out.Lost()
		}
		a := b.shard.tally.accounts()
		if kept != a.Written.In+a.Written.Out || lost != a.Lost.In+a.Lost.Out || kept+lost != a.Seen.In+a.Seen.Out || len(all) != int(a.Connections) {
			t.Errorf("seed %d: the log of %d connections keeps %d and lacks %d, counted %+v", seed, len(all), kept, lost, a)
		}
		if t.Failed() {
			return
		}
	}
	if failures < 250 {
		t.Errorf("the sinks have failed %d times", failures)
	}
}

// faultyEncoder panics where the text says so, or appends too much.
type faultyEncoder struct {
	record.Encoder
	gaps bool // gaps panic, too
}

func (f *faultyEncoder) Data(dst []byte, t int64, flow *record.Flow, dir record.Direction, offset uint64, data []byte) []byte {
	switch {
	case bytes.HasPrefix(data, []byte("panic")):
		panic("at your service")
	case bytes.HasPrefix(data, []byte("flood")):
		return append(dst, make([]byte, 64<<20)...)
	}
	return f.Encoder.Data(dst, t, flow, dir, offset, data)
}

func (f *faultyEncoder) Gap(dst []byte, t int64, flow *record.Flow, dir record.Direction, offset, length uint64, reason record.Reason) []byte {
	if f.gaps {
		panic("no gaps")
	}
	return f.Encoder.Gap(dst, t, flow, dir, offset, length, reason)
}

func TestAnEncoderThatPanicsLosesItsRecordOnly(t *testing.T) {
	r := newRig(t, nil, nil)
	b := newBench(t, r, nil, &faultyEncoder{Encoder: hexlog.NewMetaEncoder()})
	p, q := newPeer(r.run, 1), newPeer(r.run, 2)
	for _, said := range []string{"panic at once", "a", "panic", "b", "flood", "panic", "c"} {
		b.say(p, record.In, []byte(said))
		b.say(q, record.Out, []byte("well"))
	}
	b.drain()
	b.say(p, record.In, []byte("d"))
	b.finish()
	all := r.conversations()
	reason := " write_error]"
	dashes := func(n int) string { return "[" + strings.Repeat("-", n) + reason }
	want := dashes(13) + "a" + dashes(5) + "b" + dashes(5) + dashes(5) + "cd"
	if len(all) != 2 || text(all[0].In) != want || text(all[1].Out) != strings.Repeat("well", 7) {
		for _, c := range all {
			t.Errorf("log %q %q, want %q", text(c.In), text(c.Out), want)
		}
	}
	a := b.shard.tally.accounts()
	if a.Lost.In != 28 || a.Written.In != 4 || a.Written.Out != 28 {
		t.Errorf("accounts %+v", a)
	}
	if n := len(r.alerted()); n != 4 {
		t.Errorf("%d alerts: %.300q", n, r.alerted())
	}
}

// A gap that cannot be encoded stays out of the log, and nothing else does.
func TestAGapThatPanicsIsGivenUp(t *testing.T) {
	r := newRig(t, nil, nil)
	b := newBench(t, r, nil, &faultyEncoder{Encoder: hexlog.NewMetaEncoder(), gaps: true})
	p, q := newPeer(r.run, 1), newPeer(r.run, 2)
	b.say(p, record.In, []byte("panic"))
	b.say(q, record.In, []byte("well"))
	b.drain()
	b.say(q, record.In, []byte("well"))
	b.finish()
	all := r.conversations()
	if len(all) != 2 || text(all[0].In) != "" || text(all[1].In) != "wellwell" || len(b.outputs[0].behind) > 0 {
		for _, c := range all {
			t.Errorf("log of %s: %q, %q", c.Conn, text(c.In), text(c.Out))
		}
	}
}

// A sink that fails for long does not make the worker remember all connections
// that have come and gone.
func TestAnOutageRemembersSomeConnectionsOnly(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BufferSize, c.Workers = 1<<20, 1 }, nil)
	sink := &memorySink{random: rand.New(rand.NewPCG(0, 0))}
	b := newBench(t, r, downSink{sink}, nil)
	for i := range maxEnded + 1000 {
		p := newPeer(r.run, i+1)
		b.say(p, record.In, []byte("x"))
		b.end(p)
		if i%1000 == 0 {
			b.drain()
		}
	}
	b.drain()
	if n := len(b.outputs[0].behind); n > maxEnded {
		t.Errorf("%d connections are remembered", n)
	}
	sink.random = nil
	b.outputs[0].sink = sink
	b.finish()
	if n := len(readLog(t, sink.committed.Bytes())); n != maxEnded {
		t.Errorf("the log has %d connections", n)
	}
	if a := b.shard.tally.accounts(); a.Lost.In != maxEnded+1000 {
		t.Errorf("accounts %+v", a)
	}
}

// downSink is a sink that never begins.
type downSink struct{ sink }

func (downSink) begin() error { return fmt.Errorf("down") }
