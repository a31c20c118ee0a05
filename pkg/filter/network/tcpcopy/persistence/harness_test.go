package persistence

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// harness is a store in a directory of its own with what the tests ask of it.
type harness struct {
	t     *testing.T
	store *Store
	dir   string
	run   string
	clock *steppingClock

	mu     sync.Mutex // guards the rest
	alerts []string
}

// steppingClock goes on by more than the longest pause after a failure or an alert
// at each reading, so that no test has to wait for one.
type steppingClock struct {
	mu   sync.Mutex // guards the rest
	now  time.Time
	step time.Duration
}

func newSteppingClock() *steppingClock {
	return &steppingClock{now: time.Now(), step: max(logdir.MaxWait, alertPause) + time.Second}
}

func (c *steppingClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(c.step)
	return c.now
}

// set makes the clock stand still at t.
func (c *steppingClock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.step = t, 0
}

// testConfig is a small store of exact logs without limits.
func testConfig(dir string) Config {
	return Config{Dir: dir, Formats: []Format{FormatHexMeta}, BufferSize: 1 << 20, Workers: 2, Spool: SpoolOff}
}

// newHarness opens a store in a new directory. change may change its configuration,
// and host its host; both may be nil.
func newHarness(t *testing.T, change func(*Config), host func(*Host)) *harness {
	t.Helper()
	return openHarness(t, t.TempDir(), "aaaaaa", change, host)
}

// openHarness is newHarness for a directory that other stores may use too.
func openHarness(t *testing.T, dir, run string, change func(*Config), host func(*Host)) *harness {
	t.Helper()
	r := &harness{t: t, dir: dir, run: run, clock: newSteppingClock()}
	c := testConfig(dir)
	if change != nil {
		change(&c)
	}
	h := Host{Run: run, Clock: clock.Func(r.clock.read), Alert: r.alert, FieldNames: map[string]string{"MaxTotal": "max_total", "MinFree": "min_free"}}
	if host != nil {
		host(&h)
	}
	var err error
	if r.store, err = Open(c, h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.store.Close)
	return r
}

func (r *harness) alert(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alerts = append(r.alerts, fmt.Sprintf("%s: %v", what, err))
}

// alerted returns the alerts up to now.
func (r *harness) alerted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.alerts)
}

// quiet fails the test when something has been alerted.
func (r *harness) quiet() {
	r.t.Helper()
	if a := r.alerted(); len(a) > 0 {
		r.t.Errorf("alerts: %q", a)
	}
}

// windowID is the UUID of the n-th window of a test.
func windowID(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

func (r *harness) open(n int) *Session {
	r.t.Helper()
	s, err := r.store.OpenWindow(record.Window{ID: windowID(n), Trigger: record.TriggerManual, Opened: time.Now()})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// window opens a window, lets f talk, closes it, and returns its index line.
func (r *harness) window(n int, f func(*Session)) oracle.Window {
	r.t.Helper()
	s := r.open(n)
	f(s)
	s.Close(time.Now())
	r.store.snapshots.backlog.working.Wait()
	return r.indexed(n)
}

func (r *harness) indexed(n int) oracle.Window {
	r.t.Helper()
	w, err := oracle.FindWindow(r.dir, windowID(n))
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

// connections returns what the flow logs have, which must be exact.
func (r *harness) connections() []*oracle.Connection {
	r.t.Helper()
	lines, err := oracle.ReadMeta(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	all, err := oracle.Connections(lines)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// agrees checks the index line of a window against the log.
func (r *harness) agrees(w oracle.Window) {
	r.t.Helper()
	if err := w.Agrees(r.connections()); err != nil {
		r.t.Errorf("window %s: %v", w.Window, err)
	}
}

// peer is a connection as its two ends know it: all bytes of both directions
// from its start, whether a window was open or not.
type peer struct {
	Conn
	id string

	mu     sync.Mutex // guards the rest
	passed [2][]byte
	seen   map[*Session]oracle.PerDirection // what the session has to account for
	gone   *Session                         // has had the close event
}

func newPeer(run string, id int) *peer {
	p := &peer{id: fmt.Sprintf("%s-%d", run, id), seen: map[*Session]oracle.PerDirection{}}
	p.ID = uint64(id)
	p.Describe = func() record.Endpoint {
		client := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(10000+id%50000))
		server := netip.MustParseAddrPort("198.51.100.1:2045")
		return record.Endpoint{Identity: record.Identity{Conn: p.id, Port: "2045", ListenerName: "test", Network: "tcp", Peer: client.String(), Listener: server.String()}, ClientAddr: client, ServerAddr: server}
	}
	return p
}

// before is what the filter says with each record.
func (p *peer) before() record.PerDirection {
	return record.PerDirection{In: uint64(len(p.passed[record.In])), Out: uint64(len(p.passed[record.Out]))}
}

// pass records that data passes and returns what passed before.
func (p *peer) pass(s *Session, dir record.Direction, data []byte) (before record.PerDirection) {
	before = p.before()
	p.passed[dir] = append(p.passed[dir], data...)
	if s != nil && p.gone != s {
		seen := p.seen[s]
		if dir == record.In {
			seen.In += uint64(len(data))
		} else {
			seen.Out += uint64(len(data))
		}
		p.seen[s] = seen
	}
	return before
}

// say lets data pass, out of a window when s is nil.
func (p *peer) say(s *Session, dir record.Direction, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.pass(s, dir, data)
	if s == nil {
		return
	}
	pieces := [][]byte{data}
	if k := len(data) / 3; k > 0 { // as a write of headers and body comes
		pieces = [][]byte{data[:k], data[k:]}
	}
	s.Data(&p.Conn, dir, before, pieces, len(data))
}

// slip lets data pass that the filter does not see.
func (p *peer) slip(s *Session, dir record.Direction, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Skip(&p.Conn, dir, p.pass(s, dir, data), len(data), record.ReasonUnseen)
}

// hangUp ends the connection.
func (p *peer) hangUp(s *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen[s] != (oracle.PerDirection{}) {
		p.gone = s // a session that knows nothing of the connection has no close event
	}
	s.End(&p.Conn, "RemoteClose", p.before())
}

// compare checks a connection's bytes against those that passed.
func (p *peer) compare(t *testing.T, c *oracle.Connection) {
	t.Helper()
	for _, err := range []error{c.In.Agrees(p.passed[record.In]), c.Out.Agrees(p.passed[record.Out])} {
		if err != nil {
			t.Errorf("connection %s, window %s: %v", p.id, c.Window, err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
