package test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// dynamic is a MOSN whose listeners the test changes while it runs.
type dynamic struct{ *mosn }

// startDynamic starts a MOSN that testdata/listeners is compiled into.
func startDynamic(t *testing.T, base string, config mosnproc.Config) *dynamic {
	t.Helper()
	spec := fill(t, mosnproc.Spec{Base: base})
	spec.Binary = buildDynamic(t, base)
	p, err := spec.Start(deadline(t), config)
	if err != nil {
		t.Fatal(err)
	}
	return &dynamic{watch(t, p)}
}

// buildDynamic compiles cmd/mosn with one file more.
func buildDynamic(t *testing.T, base string) string {
	t.Helper()
	abs := func(path string) string {
		whole, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return whole
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		abs("../cmd/mosn/zz_listeners.go"): abs("testdata/listeners/listeners.go"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	file, binary := filepath.Join(base, "overlay.json"), filepath.Join(base, "mosn")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-overlay", file, "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(context.Background(), "go", append(args, "mosn.io/tcpcopy/cmd/mosn")...).CombinedOutput(); err != nil {
		t.Fatalf("go %q: %v\n%s", args, err, out)
	}
	return binary
}

// set adds a listener, or updates the one of its name.
func (d *dynamic) set(l mosnproc.Listener) {
	d.t.Helper()
	text, err := json.Marshal(l)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.Admin.Do(deadline(d.t), http.MethodPut, "/test/listener", "", text); err != nil {
		d.t.Fatal(err)
	}
	if l.Network != "udp" {
		network := l.Network
		if network == "" {
			network = "tcp"
		}
		if err := d.Accepts(deadline(d.t), network, l.Address); err != nil {
			d.t.Fatal(err)
		}
	}
}

// remove removes a listener.
func (d *dynamic) remove(name string) {
	d.t.Helper()
	if _, err := d.Admin.Do(deadline(d.t), http.MethodDelete, "/test/listener?remove="+name, "", nil); err != nil {
		d.t.Fatal(err)
	}
}

// control is what the status has of listeners and windows.
type control struct {
	Owners  map[string]string `json:"owners"`
	Refused []struct {
		Listener string `json:"listener"`
		Error    string `json:"error"`
	} `json:"refused"`
	Output struct {
		Dir       string   `json:"dir"`
		Listeners []string `json:"listeners"`
	} `json:"output"`
	Window *struct {
		ID     string `json:"id"`
		Guard  string `json:"guard"`
		Paused bool   `json:"paused"`
	} `json:"window"`
	Opening *struct {
		ID string `json:"id"`
	} `json:"opening"`
	Skipped struct {
		Windows int    `json:"windows"`
		Reason  string `json:"reason"`
		List    []struct {
			Reason  string `json:"skipped"`
			Trigger string `json:"trigger"`
			Windows int    `json:"windows"`
			Why     string `json:"why"`
		} `json:"list"`
	} `json:"skipped"`
	Guard struct {
		Available bool   `json:"available"`
		Source    string `json:"source"`
		Downs     int    `json:"downs"`
	} `json:"guard"`
}

func (m *mosn) control() (c control) {
	m.t.Helper()
	m.decodeStatus(&c)
	return c
}
