package mix

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/witness"
)

// recording is a dump with what the clients and servers of its connections know.
type recording struct {
	dump  string
	paths []*recordedPath
}

// recordedPath is what passed one listener.
type recordedPath struct {
	server   string // as scenarios name it
	on       server
	listener string // the address that clients connected to
	calls    []witness.Call
	path     *witness.Path
}

// names returns the servers of some scenarios.
func names(list []scenario) (names []string) {
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s.server] {
			seen[s.server] = true
			names = append(names, s.server)
		}
	}
	return names
}

// record runs scenarios through a MOSN with a listener for each server, again and again
// until there are enough calls. The scenarios of different servers run at the same time.
func recordMix(t *testing.T, list []scenario, enough int) *recording {
	t.Helper()
	base, err := os.MkdirTemp("", "mix-") //nolint:usetesting // with MIX_KEEP it stays
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("MIX_KEEP") == "" {
		t.Cleanup(func() {
			if err := os.RemoveAll(base); err != nil {
				t.Error(err)
			}
		})
	} else {
		t.Logf("the recording stays in %s", base)
	}
	r := &recording{dump: filepath.Join(base, "dump")}
	var ports mosnproc.Ports
	port := func() int {
		p, err := ports.Next()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	recorder := mosnproc.Filter{Type: "tcpcopy", Config: map[string]any{
		"capture": map[string]any{"direction": "both"},
		"output":  map[string]any{"dir": r.dump, "formats": []string{"hex_meta", "pcapng"}, "max_total": "0", "min_free": "0%"},
		"buffer":  map[string]any{"size": "1GiB"}, // so that the speed of the machine cannot make it lose anything
		"guard":   "off",
	}}
	var config mosnproc.Config
	config.Servers = []mosnproc.Server{{}}
	servers := startServers(t, names(list))
	for i, name := range names(list) {
		server := servers[i]
		path, err := witness.NewPath(server.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(path.Close)
		p := &recordedPath{server: name, on: server, listener: fmt.Sprintf("127.0.0.1:%d", port()), path: path}
		path.Through(p.listener)
		r.paths = append(r.paths, p)
		cluster := mosnproc.NewCluster(path.Relay())
		cluster.Name = name
		config.Clusters.Clusters = append(config.Clusters.Clusters, cluster)
		proxy := mosnproc.Filter{Type: "tcp_proxy", Config: map[string]any{"cluster": name, "routes": []any{map[string]any{"cluster": name}}}}
		config.Servers[0].Listeners = append(config.Servers[0].Listeners, mosnproc.NewListener(name, p.listener, recorder, proxy))
	}
	binary, err := mosnBinary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	mosn, err := mosnproc.Spec{Binary: binary, Base: base, AdminPort: port()}.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mosn.Kill(); err != nil {
			t.Error(err)
		}
		if log := mosn.Log(); strings.Contains(log, "panic") {
			t.Errorf("the log of MOSN has a panic:\n%s", log)
		}
	})
	for _, p := range r.paths { // Start has looked whether the listeners serve
		eventually(t, "MOSN has connected for it", func() bool { return p.path.Strays() > 0 })
	}
	if _, err := mosn.Admin.OpenWindow(ctx, time.Minute); err != nil {
		t.Fatalf("%v\n%s", err, mosn.Log())
	}

	began := time.Now()
	for round := 0; r.count() < enough; round++ {
		if round == 20 || time.Since(began) > 50*time.Second {
			t.Fatalf("only %d calls in %d rounds and %v", r.count(), round, time.Since(began))
		}
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			for _, p := range r.paths {
				t.Run(p.server, func(t *testing.T) {
					t.Parallel()
					for _, s := range list {
						if s.server != p.server || round > 0 && s.once() {
							continue
						}
						run := s.start(t, p.on, p.path)
						p.calls = append(p.calls, run.calls...)
					}
				})
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d calls in %v", r.count(), time.Since(began))
	eventually(t, "the proxy has closed what clients have closed", func() bool {
		return !slices.ContainsFunc(r.paths, func(p *recordedPath) bool { return !p.path.Ended() })
	})
	if err := mosn.Admin.CloseWindow(ctx); err != nil {
		t.Fatal(err)
	}
	r.write(t, filepath.Join(base, "notes.json"))
	return r
}

// once reports whether s is for the first round alone, because it is slow or large.
func (s scenario) once() bool {
	return strings.HasSuffix(s.name, "big") || s.name == "blocking" || strings.HasSuffix(s.name, "-big-values") || s.name == "big-values" || s.name == "cancelled"
}

func (r *recording) count() int {
	n := 0
	for _, p := range r.paths {
		n += len(p.calls)
	}
	return n
}

// write writes what the clients noted to a file.
func (r *recording) write(t *testing.T, path string) {
	t.Helper()
	type listener struct {
		Listener string         `json:"listener"`
		Server   string         `json:"server"`
		Calls    []witness.Call `json:"calls"`
	}
	var notes []listener
	for _, p := range r.paths {
		notes = append(notes, listener{p.listener, p.server, p.calls})
	}
	text, err := json.MarshalIndent(notes, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
