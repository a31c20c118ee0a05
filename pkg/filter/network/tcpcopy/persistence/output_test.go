package persistence

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// workerHarness is a worker without a goroutine: a test fills its shard's batch and
// has it written when it wants.
type workerHarness struct {
	t       *testing.T
	session *Session
	*worker
}

func newWorkerHarness(t *testing.T, r *harness, d logdir.FileDestination, encoder record.Encoder) *workerHarness {
	t.Helper()
	c := r.store.config
	l := c.sizes()
	spool, _, err := buffer.NewSpool("", nil, buffer.SpoolHeader{Formats: formatNames(c.Formats), Workers: l.Shards, Batch: l.Batch}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(spool.Remove)
	b := openWorkerHarness(t, r.store, spool)
	if d != nil {
		b.output().destination, b.output().files = d, d
	}
	if encoder != nil {
		b.output().encoder = encoder
	}
	return b
}

// openWorkerHarness is newWorkerHarness for the first shard of a spool.
func openWorkerHarness(t *testing.T, store *Store, spool *buffer.Spool) *workerHarness {
	t.Helper()
	l := store.config.sizes()
	mem, err := buffer.NewMemory(l.encoded)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mem.Free)
	s := newSession(store, record.Window{ID: windowID(1), Opened: time.Now()}, l, mem, spool, spool.Window())
	s.shards = buffer.NewShards(l.Geometry, spool, s.begun)
	sh := s.shards[0]
	sh.Begin()
	w := &worker{shard: sh, pipeline: newPipeline(s, liveShard{sh})}
	s.pipelines = []*pipeline{w.pipeline}
	return &workerHarness{t, s, w}
}

func (w *worker) output() *output { return w.pipeline.outputs[0] }

// say offers data as Session.Data does.
func (b *workerHarness) say(p *peer, dir record.Direction, data []byte) {
	before := p.pass(b.session, dir, data)
	b.shard.Data(&p.Conn, dir, before, [][]byte{data}, len(data))
}

// end closes a connection as Session.End does.
func (b *workerHarness) end(p *peer) {
	if p.seen[b.session] != (oracle.PerDirection{}) && p.gone == nil {
		p.gone = b.session
		b.shard.End(&p.Conn, record.CloseRemote, p.before())
	}
}

// log returns the connections of a flow log with that text.
func readLog(t *testing.T, text []byte) []*oracle.Connection {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, layout.FlowLog), text, logdir.FileMode); err != nil {
		t.Fatal(err)
	}
	return (&harness{t: t, dir: dir}).connections()
}

// memoryDestination is a destination that fails at random, at each place where one may.
type memoryDestination struct {
	random    *rand.Rand // nil means that nothing fails any more
	committed bytes.Buffer
	pending   []byte
	begun     bool
	fresh     bool // another file has just been begun
	failures  int
}

func (m *memoryDestination) fails(in int) bool {
	if m.random == nil || m.random.IntN(in) > 0 {
		return false
	}
	m.failures++
	return true
}

// Begin implements logdir.Destination. The transaction is m.
func (m *memoryDestination) Begin() (logdir.Transaction, error) {
	if m.begun {
		panic("begun twice")
	}
	if m.fails(5) {
		return nil, logdir.ErrWaiting
	}
	m.begun = true
	return m, nil
}

func (m *memoryDestination) Retry() {}

func (m *memoryDestination) Room(int) (dst []byte, err error) {
	if m.fails(60) {
		return nil, errors.New("no room")
	}
	full := !m.fresh && m.random != nil && m.random.IntN(20) == 0
	m.fresh = false
	if full {
		return nil, logdir.ErrFull
	}
	return m.pending, nil
}

func (m *memoryDestination) Next() error {
	if len(m.pending) > 0 {
		panic("ended before it was committed")
	}
	if m.fails(3) {
		return errors.New("no next file")
	}
	m.fresh = true
	return nil
}

func (m *memoryDestination) Position() (inode, size uint64) { return 1, uint64(m.committed.Len()) }

func (m *memoryDestination) TruncateUncommitted(uint64, uint64, string) error { return nil }

func (m *memoryDestination) Put(dst []byte) { m.pending = dst }

func (m *memoryDestination) Commit() error {
	if m.fails(6) {
		return errors.New("not committed")
	}
	m.committed.Write(m.pending)
	m.pending = m.pending[:0]
	return nil
}

func (m *memoryDestination) Abort(error) { m.pending = m.pending[:0] }
func (m *memoryDestination) End()        { m.begun = false }

// Wherever a destination fails, what it has and its gaps make up the whole.
func TestOutputsAreExactWhereverTheDestinationFails(t *testing.T) {
	failures := 0
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 3))
		r := newHarness(t, func(c *Config) { c.BufferSize, c.Workers = MinBufferSize, 1 }, nil)
		sink := &memoryDestination{random: rand.New(rand.NewPCG(seed, 4))}
		b := newWorkerHarness(t, r, sink, nil)
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
		a := tallyOf(b).Accounts()
		if kept != a.Written.In+a.Written.Out || lost != a.Lost.In+a.Lost.Out || kept+lost != a.Seen.In+a.Seen.Out || len(all) != int(a.Connections) {
			t.Errorf("seed %d: the log of %d connections has %d and gaps of %d, counted %+v", seed, len(all), kept, lost, a)
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
	r := newHarness(t, nil, nil)
	b := newWorkerHarness(t, r, nil, &faultyEncoder{Encoder: hexlog.NewMetaEncoder()})
	p, q := newPeer(r.run, 1), newPeer(r.run, 2)
	for _, said := range []string{"panic at once", "a", "panic", "b", "flood", "panic", "c"} {
		b.say(p, record.In, []byte(said))
		b.say(q, record.Out, []byte("well"))
	}
	b.drain()
	b.say(p, record.In, []byte("d"))
	b.finish()
	all := r.connections()
	reason := " write_error]"
	dashes := func(n int) string { return "[" + strings.Repeat("-", n) + reason }
	want := dashes(13) + "a" + dashes(5) + "b" + dashes(5) + dashes(5) + "cd"
	if len(all) != 2 || text(all[0].In) != want || text(all[1].Out) != strings.Repeat("well", 7) {
		for _, c := range all {
			t.Errorf("log %q %q, want %q", text(c.In), text(c.Out), want)
		}
	}
	a := tallyOf(b).Accounts()
	if a.Lost.In != 28 || a.Written.In != 4 || a.Written.Out != 28 {
		t.Errorf("accounts %+v", a)
	}
	if n := len(r.alerted()); n != 4 {
		t.Errorf("%d alerts: %.300q", n, r.alerted())
	}
}

// A gap that cannot be encoded stays out of the log, and nothing else does.
func TestAGapThatPanicsIsGivenUp(t *testing.T) {
	r := newHarness(t, nil, nil)
	b := newWorkerHarness(t, r, nil, &faultyEncoder{Encoder: hexlog.NewMetaEncoder(), gaps: true})
	p, q := newPeer(r.run, 1), newPeer(r.run, 2)
	b.say(p, record.In, []byte("panic"))
	b.say(q, record.In, []byte("well"))
	b.drain()
	b.say(q, record.In, []byte("well"))
	b.finish()
	all := r.connections()
	if len(all) != 2 || text(all[0].In) != "" || text(all[1].In) != "wellwell" || len(b.output().pending.flows) > 0 {
		for _, c := range all {
			t.Errorf("log of %s: %q, %q", c.Conn, text(c.In), text(c.Out))
		}
	}
}

// A destination that fails for long does not make the worker remember all connections
// that have come and gone.
func TestAnOutageRemembersSomeConnectionsOnly(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Workers = 1<<20, 1 }, nil)
	sink := &memoryDestination{random: rand.New(rand.NewPCG(0, 0))}
	b := newWorkerHarness(t, r, downDestination{sink}, nil)
	for i := range maxPendingClosed + 1000 {
		p := newPeer(r.run, i+1)
		b.say(p, record.In, []byte("x"))
		b.end(p)
		if i%1000 == 0 {
			b.drain()
		}
	}
	b.drain()
	if n := len(b.output().pending.flows); n > maxPendingClosed {
		t.Errorf("%d connections are remembered", n)
	}
	sink.random = nil
	b.output().destination, b.output().files = sink, sink
	b.finish()
	if n := len(readLog(t, sink.committed.Bytes())); n != maxPendingClosed {
		t.Errorf("the log has %d connections", n)
	}
	if a := tallyOf(b).Accounts(); a.Lost.In != maxPendingClosed+1000 {
		t.Errorf("accounts %+v", a)
	}
}

// downDestination is a destination that no transaction begins with.
type downDestination struct{ logdir.FileDestination }

func (downDestination) Begin() (logdir.Transaction, error) { return nil, errors.New("down") }

// Connections that come and go in a long window are in no table of it when they have
// ended.
func TestConnectionsThatHaveEndedAreInNoTable(t *testing.T) {
	r := newHarness(t, nil, nil)
	stream, err := r.store.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	b := newWorkerHarness(t, r, nil, nil)
	var ended []*peer
	for i := range 20 {
		p := newPeer(r.run, i+1)
		b.say(p, record.In, []byte("x"))
		if i > 0 {
			ended = append(ended, p)
		}
	}
	b.drain()
	for _, p := range ended {
		b.end(p)
	}
	b.drain()
	for _, o := range append(b.pipeline.live, b.pipeline.outputs...) {
		left := slices.DeleteFunc(slices.Clone(o.flows), func(f *outputFlow) bool { return f == nil })
		if len(left) != 1 {
			t.Errorf("the output to %T has %d connections, 1 goes on", o.destination, len(left))
		}
	}
	if n := len(b.pipeline.live) + len(b.pipeline.outputs); n != 2 {
		t.Errorf("%d outputs", n)
	}
	b.finish()
}

// Whoever refers to a closed session, for its accounts, does not keep its connections.
func TestAClosedSessionKeepsItsAccountsOnly(t *testing.T) {
	r := newHarness(t, nil, nil)
	s := r.open(1)
	newPeer(r.run, 1).say(s, record.In, []byte("x"))
	s.Close(time.Now())
	for _, p := range s.pipelines {
		if p.flows.flows != nil || p.outputs != nil {
			t.Errorf("there are %d connections and %d outputs", len(p.flows.flows), len(p.outputs))
		}
	}
	if a := s.Accounts(); a.Connections != 1 || a.Seen.In != 1 || a.Written.In != 1 {
		t.Errorf("the accounts are %+v", a)
	}
}

func tallyOf(b *workerHarness) *buffer.Tally {
	t := b.shard.Tally()
	return &t
}
