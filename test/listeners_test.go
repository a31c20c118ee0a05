package test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// openRefused asks for a window, which must be refused with that status and words.
func (m *mosn) openRefused(code int, words ...string) {
	m.t.Helper()
	_, err := m.Admin.OpenWindow(deadline(m.t), time.Minute)
	refusedWith(m.t, err, code, words...)
}

// What is the process's belongs to a listener for as long as MOSN has it, with its
// filter. Then the next block applies, and a window with no listener is refused.
func TestAListenerThatMOSNHasRemovedOwnsNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("MOSN updates a listener without a lock while the listener accepts (pkg/server/handler.go)")
	}
	t.Parallel()
	base := newBase(t)
	strategy := func(interval int) block {
		return block{"strategy": block{"switch": "OFF", "interval": interval, "duration": 5}}
	}
	into := func(dir string) block {
		return block{"output": block{"dir": filepath.Join(base, dir), "formats": []string{"hex_meta"}}}
	}
	addresses := map[string]string{}
	listener := func(name string, filters ...mosnproc.Filter) mosnproc.Listener {
		if addresses[name] == "" {
			addresses[name] = freeAddress(t)
		}
		return mosnproc.NewListener(name, addresses[name], append(filters, mosnproc.TCPProxy())...)
	}
	silent := mosnproc.Filter{Type: "tcpcopy", Config: block{"capture": block{"direction": "both"}}}
	d := startDynamic(t, base, configOf(upstream(t, echo),
		listener("first", recorder(base, strategy(60))), listener("silent", silent)))
	if got := d.control().Owners; fmt.Sprint(got) != "map[guard:first output:first strategy:first]" {
		t.Errorf("owners %v", got)
	}

	second := recorder(base, strategy(90), into("dump2"))
	d.set(listener("second", second))
	c := d.control()
	if len(c.Refused) != 1 || !strings.Contains(c.Refused[0].Error, "listener first") {
		t.Fatalf("beside the owner: refused %+v", c.Refused)
	}
	d.remove("first")
	if c := d.control(); len(c.Owners) != 0 || fmt.Sprint(c.Output.Listeners) != "[silent]" {
		t.Errorf("after the owner has been removed: owners %v, listeners %v", c.Owners, c.Output.Listeners)
	}
	d.set(listener("second", second))
	c = d.control()
	if fmt.Sprint(c.Owners) != "map[guard:second output:second strategy:second]" || len(c.Refused) != 0 || c.Output.Dir != filepath.Join(base, "dump2") {
		t.Errorf("after an update of the next one: owners %v, refused %v, output %s", c.Owners, c.Refused, c.Output.Dir)
	}
	d.dump = c.Output.Dir
	w := d.window(func() { sendOnce(t, addresses["second"], "to the second") })
	complete(t, w)
	if w.Seen.In != uint64(len("to the second")) {
		t.Errorf("index %+v", w)
	}

	// The first one comes back, with what it had: the second owns that now.
	d.set(listener("first", recorder(base, strategy(60))))
	if c := d.control(); len(c.Refused) != 1 || c.Refused[0].Listener != "first" || !strings.Contains(c.Refused[0].Error, "listener second") {
		t.Errorf("the first one again: refused %+v", c.Refused)
	}
	d.remove("first")
	if c := d.control(); len(c.Refused) != 0 {
		t.Errorf("a listener that has gone is still refused: %+v", c.Refused)
	}

	// An owner whose filter is taken out of its chain owns nothing.
	d.set(listener("second"))
	third := recorder(base, strategy(120), into("dump3"))
	udp := listener("third", third)
	udp.Network = "udp"
	udp.Chains[0].Filters[1] = mosnproc.UDPProxy()
	d.set(udp)
	if c := d.control(); c.Owners["strategy"] != "third" || c.Output.Dir != filepath.Join(base, "dump3") || fmt.Sprint(c.Output.Listeners) != "[silent third]" {
		t.Errorf("after the filter has gone: owners %v, output %+v, refused %v", c.Owners, c.Output, c.Refused)
	}

	// Without a listener nothing would be recorded, but a connection that lives on is.
	conn, err := net.Dial("tcp", addresses["silent"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sendAndReceive(t, conn, "before")
	d.remove("third")
	d.remove("silent")
	d.dump = filepath.Join(base, "dump3")
	w = d.window(func() { sendAndReceive(t, conn, "its listener has gone") })
	complete(t, w)
	if w.Seen.In != uint64(len("its listener has gone")) {
		t.Errorf("index %+v", w)
	}
	conn.Close()
	eventually(t, "a window without a listener is refused", func() bool {
		id, err := d.Admin.OpenWindow(deadline(t), time.Minute)
		if err == nil {
			d.close(id)
		}
		return err != nil
	})
	d.openRefused(http.StatusConflict, "nothing would be recorded", "listener silent", "removed")
	if s := d.control().Skipped; len(s.List) == 0 || s.List[len(s.List)-1].Reason != "listener" {
		t.Errorf("skipped %+v", s)
	}
	d.set(listener("silent", silent))
	w = d.window(func() { sendOnce(t, addresses["silent"], "again") })
	complete(t, w)
}

// A window that would record nothing is refused, with the reason.
func TestAWindowThatWouldRecordNothingIsRefused(t *testing.T) {
	t.Parallel()
	one := func(config block) func(string) []mosnproc.Filter {
		return func(string) []mosnproc.Filter { return []mosnproc.Filter{{Type: "tcpcopy", Config: config}} }
	}
	for name, c := range map[string]struct {
		filters func(base string) []mosnproc.Filter
		words   []string
	}{
		"the only listener's block is bad": {one(block{"guard": "off", "buffer": block{"size": "1KiB"}}),
			[]string{"listener tcp is refused", "buffer.size", "64KiB"}},
		"its directory cannot be opened": {one(block{"guard": "off", "output": block{"dir": "/proc/none", "formats": []string{"hex_meta"}}}),
			[]string{"listener tcp is refused", "/proc/none"}},
		"sample is 0": {func(base string) []mosnproc.Filter {
			return []mosnproc.Filter{recorder(base, block{"capture": block{"sample": 0}})}
		}, []string{"capture.sample of listener tcp is 0"}},
		"there is no listener": {func(string) []mosnproc.Filter { return nil }, []string{"no listener has the tcpcopy filter"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, address := newBase(t), freeAddress(t)
			config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, append(c.filters(base), mosnproc.TCPProxy())...))
			// The guard's block is refused with the rest; its limits are out of the way.
			config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: block{"app": block{"cpu_max_rate": 99.999, "mem_max_rate": 99.999}}}}
			m := start(t, base, config)
			ctx := deadline(t)
			_, err := m.Admin.Do(ctx, http.MethodPost, windowPath+"?seconds=60&guard=off", "", nil)
			refusedWith(t, err, http.StatusConflict, append([]string{"nothing would be recorded"}, c.words...)...)
			s := m.control()
			if s.Window != nil || len(s.Skipped.List) != 1 || s.Skipped.List[0].Reason != "listener" || !strings.Contains(s.Skipped.Reason, c.words[0]) {
				t.Errorf("status %+v", s)
			}
			sendOnce(t, address, "the traffic goes on")
		})
	}
}

// While the guard is down a window is refused, unless somebody insists; the index says
// so, also when the process is killed in it.
func TestAnUnguardedWindowRecordsWhileTheGuardIsDown(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	filter := recorder(base, block{"guard": "on", "strategy": block{"switch": "OFF", "mem_max_rate": 0.001}})
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy()))
	m := start(t, base, config)
	ctx := deadline(t)
	m.openRefused(http.StatusServiceUnavailable, "guard is down")
	for _, word := range []string{"maybe", "OFF", ""} {
		_, err := m.Admin.Do(ctx, http.MethodPost, windowPath+"?seconds=60&guard="+word, "", nil)
		refusedWith(t, err, http.StatusBadRequest, "guard is", "on, off")
	}
	unguarded := func(m *mosn) string {
		t.Helper()
		if _, err := m.Admin.Do(ctx, http.MethodPost, windowPath+"?seconds=60&guard=off", "", nil); err != nil {
			t.Fatal(err)
		}
		return m.control().Window.ID
	}
	id := unguarded(m)
	eventually(t, "the guard is down", func() bool { return strings.Contains(m.control().Guard.Source, ">= 0.001") })
	sendOnce(t, address, "in spite of it")
	if w := m.control().Window; w == nil || w.Guard != "off" || w.Paused {
		t.Errorf("status %+v", w)
	}
	w := m.close(id)
	complete(t, w)
	if w.Guard != "off" || w.Seen.In != uint64(len("in spite of it")) {
		t.Errorf("index %+v", w)
	}

	// FORCE_OFF ends it even so.
	unguarded(m)
	if err := m.Admin.Configure(ctx, "global", `{"switch":"FORCE_OFF"}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is closed", func() bool { return m.control().Window == nil })
	_, err := m.Admin.Do(ctx, http.MethodPost, windowPath+"?seconds=60&guard=off", "", nil)
	refusedWith(t, err, http.StatusConflict, "FORCE_OFF")
	if err := m.Admin.Configure(ctx, "global", `{"switch":"OFF"}`); err != nil {
		t.Fatal(err)
	}

	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skipf("no memory file system for the spool: %v", err)
	}
	id = unguarded(m)
	sendOnce(t, address, "killed")
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	m = start(t, base, config)
	var left oracle.Window
	eventually(t, "the killed process's window is in the index", func() bool {
		left, err = oracle.FindWindow(m.dump, id)
		return err == nil
	})
	if !left.Recovered || left.Guard != "off" || left.Seen.In != uint64(len("killed")) {
		t.Errorf("recovered %+v", left)
	}
}

// A scheduled window that does not open is in the index and in the status, with its
// reason. The shortest pause before one is 30 seconds, which is what this test takes.
func TestASkippedWindowIsInTheIndex(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 30 seconds")
	}
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	filter := recorder(base, block{"guard": "on", "strategy": block{"switch": "ON", "interval": 30, "duration": 5, "mem_max_rate": 0.001}})
	m := start(t, base, configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy())))
	var skips []oracle.Skip
	eventually(t, "a skipped window is in the index", func() bool {
		skips, _ = oracle.ReadSkips(m.dump)
		return len(skips) > 0
	})
	s := m.control()
	if len(skips) != 1 || skips[0].Reason != "guard" || skips[0].Trigger != "schedule" || skips[0].Windows != 1 || !strings.Contains(skips[0].Why, ">= 0.001") ||
		len(s.Skipped.List) != 1 || s.Skipped.List[0].Reason != "guard" || s.Skipped.Windows < 1 {
		t.Errorf("index %+v, status %+v", skips, s.Skipped)
	}
	if windows, err := oracle.ReadIndex(m.dump); err != nil || len(windows) != 0 {
		t.Errorf("windows %+v, %v", windows, err)
	}
	tables := buildCtl(t).run(t, "windows", m.dump).ok(t).stdout
	if !strings.Contains(tables, "skipped") || !strings.Contains(tables, "guard (") {
		t.Errorf("tcpcopyctl windows: %s", tables)
	}
}
