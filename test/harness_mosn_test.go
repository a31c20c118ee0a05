package test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// timeout bounds whatever a test waits for. Nothing lasts that long unless it is
// broken.
const timeout = 90 * time.Second

// block is a part of a filter's configuration.
type block = map[string]any

// mosn is a running proxy and its dump directory.
type mosn struct {
	*mosnproc.Process
	t    *testing.T
	dump string
}

// newBase makes a process's folder, with a name short enough for the paths of
// Unix sockets.
func newBase(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("", "e2e-") //nolint:usetesting // the paths of t.TempDir are too long for Unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	return base
}

// dumpDir is where the processes of these tests record.
func dumpDir(base string) string { return filepath.Join(base, "dump") }

// freeAddress returns a loopback address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freePort(t))
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := ports.Next()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// recorder is the tcpcopy filter with everything recorded into base's dump
// directory whatever the load; blocks replace the parts of the configuration
// that they name.
func recorder(base string, blocks ...block) mosnproc.Filter {
	config := block{
		"capture": block{"direction": "both"},
		"output":  block{"dir": dumpDir(base), "formats": []string{"hex_meta"}},
		"guard":   "off",
	}
	for _, b := range blocks {
		maps.Copy(config, b)
	}
	return mosnproc.Filter{Type: "tcpcopy", Config: config}
}

// roomy is a buffer that holds all that a test sends, so that the speed of the
// machine cannot make it lose anything.
func roomy() block { return block{"buffer": block{"size": "512MiB"}} }

// configOf is a configuration of listeners in front of one upstream.
func configOf(upstream string, listeners ...mosnproc.Listener) mosnproc.Config {
	return mosnproc.Config{
		Servers:  []mosnproc.Server{{Listeners: listeners, Routers: []mosnproc.Router{mosnproc.Routes()}}},
		Clusters: mosnproc.ClusterManager{Clusters: []mosnproc.Cluster{mosnproc.NewCluster(upstream)}},
	}
}

// start runs config in base until the test ends.
func start(t *testing.T, base string, config mosnproc.Config) *mosn {
	t.Helper()
	return startSpec(t, mosnproc.Spec{Base: base}, config)
}

// startSpec is start for a process that is special; it fills in the binary and
// the port.
func startSpec(t *testing.T, spec mosnproc.Spec, config mosnproc.Config) *mosn {
	t.Helper()
	p, err := fill(t, spec).Start(deadline(t), config)
	if err != nil {
		t.Fatal(err)
	}
	return watch(t, p)
}

func fill(t *testing.T, spec mosnproc.Spec) mosnproc.Spec {
	t.Helper()
	var err error
	if spec.Binary, err = mosnBinary(); err != nil {
		t.Fatal(err)
	}
	spec.AdminPort = freePort(t)
	return spec
}

// watch sees to it that p ends with the test, and that its faults are the test's.
func watch(t *testing.T, p *mosnproc.Process) *mosn {
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		for _, report := range p.Races() {
			t.Errorf("data race:\n%s", report)
		}
		if log := p.Log(); strings.Contains(log, "panic") {
			t.Error("the process's log has a panic")
		}
		if t.Failed() {
			t.Logf("the process's log:\n%s", p.Log())
		}
	})
	return &mosn{Process: p, t: t, dump: dumpDir(p.Base())}
}

// deadline is a context for whatever a test waits for.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// eventually returns when isSo returns true, which it calls every 20 ms.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := deadline(t); !isSo(); {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v in vain until %s", timeout, what)
		case <-tick.C:
		}
	}
}

// open opens a manual window that outlasts the test.
func (m *mosn) open() string {
	m.t.Helper()
	window, err := m.Admin.OpenWindow(deadline(m.t), 10*time.Minute)
	if err != nil {
		m.t.Fatal(err)
	}
	return window
}

// close closes the open window and returns its line of the index.
func (m *mosn) close(window string) oracle.Window {
	m.t.Helper()
	if err := m.Admin.CloseWindow(deadline(m.t)); err != nil {
		m.t.Fatal(err)
	}
	return m.indexed(window)
}

// indexed returns a window's line of the index.
func (m *mosn) indexed(window string) oracle.Window {
	m.t.Helper()
	w, err := oracle.FindWindow(m.dump, window)
	if err != nil {
		m.t.Fatal(err)
	}
	return w
}

// window opens a window, runs traffic in it, closes it and returns its line of
// the index.
func (m *mosn) window(traffic func()) oracle.Window {
	m.t.Helper()
	id := m.open()
	traffic()
	return m.close(id)
}

// lines returns the hex_meta log so far. The last line of a log that is being
// written may not be whole; the log of a closed window is.
func (m *mosn) lines() []oracle.Line {
	m.t.Helper()
	lines, err := oracle.ReadMeta(m.dump)
	if err != nil {
		m.t.Fatal(err)
	}
	return lines
}

// connections returns what the log holds of the window, once it agrees with
// the window's accounts.
func (m *mosn) connections(w oracle.Window) []*oracle.Connection {
	m.t.Helper()
	all, err := oracle.Connections(m.lines())
	if err != nil {
		m.t.Fatal(err)
	}
	if err := w.Agrees(all); err != nil {
		m.t.Fatal(err)
	}
	var of []*oracle.Connection
	for _, c := range all {
		if c.Window == w.Window {
			of = append(of, c)
		}
	}
	return of
}

// complete fails the test unless the window kept all that it saw.
func complete(t *testing.T, w oracle.Window) {
	t.Helper()
	if w.Lost != (oracle.PerDirection{}) || w.Seen != w.Written || len(w.LostBy) != 0 {
		t.Errorf("seen %+v, written %+v, lost %+v by %v", w.Seen, w.Written, w.Lost, w.LostBy)
	}
}

// ownersOnly fails the test if anybody but the owner may open what is in the dump
// directory.
func (m *mosn) ownersOnly() {
	m.t.Helper()
	err := filepath.WalkDir(m.dump, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			m.t.Errorf("%s has mode %o, want %o", path, got, want)
		}
		return nil
	})
	if err != nil {
		m.t.Error(err)
	}
}
