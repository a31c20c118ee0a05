package test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

func TestWindowsAndConfigurationThroughAdmin(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	ctx := deadline(t)

	for _, seconds := range []string{"0", "3601", "-1", "ten", ""} {
		_, err := m.Admin.Do(ctx, http.MethodPost, windowPath+"?seconds="+seconds, "", nil)
		refusedWith(t, err, http.StatusBadRequest, "3600")
	}
	refusedWith(t, m.Admin.Configure(ctx, "app", `{"switch":"ON","interval":5,"cpu_max_rate":200}`),
		http.StatusBadRequest, "interval", "cpu_max_rate", "30 … 3600")
	refusedWith(t, m.Admin.Configure(ctx, "app", `{"switch":"FORCE_OFF"}`), http.StatusBadRequest, "switch")
	refusedWith(t, m.Admin.Configure(ctx, "middle", `{"switch":"ON"}`), http.StatusBadRequest, "middle")

	id := m.open()
	_, err := m.Admin.OpenWindow(ctx, time.Minute)
	refusedWith(t, err, http.StatusConflict, id)
	status := mustStatus(ctx, t, m)
	if status.Window == nil || status.Window.ID != id || status.Window.Trigger != "manual" {
		t.Errorf("window in the status: %+v", status.Window)
	}

	// Turning off by force closes the window that is open, at once.
	sendOnce(t, address, "before")
	if err := m.Admin.Configure(ctx, "global", `{"switch":"FORCE_OFF"}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the window is closed", func() bool { return mustStatus(ctx, t, m).Window == nil })
	sendOnce(t, address, "after")
	_, err = m.Admin.OpenWindow(ctx, time.Minute)
	refusedWith(t, err, http.StatusConflict, "FORCE_OFF")
	var found bool
	eventually(t, "the window is in the index", func() bool {
		text, err := os.ReadFile(filepath.Join(m.dump, "dump_windows.jsonl"))
		found = err == nil && strings.Contains(string(text), id)
		return found
	})
	w := m.indexed(id)
	complete(t, w)
	if w.Seen.In != uint64(len("before")) {
		t.Errorf("recorded %d bytes, want those of %q", w.Seen.In, "before")
	}

	if err := m.Admin.Configure(ctx, "global", `{"switch":"ON"}`); err != nil {
		t.Fatal(err)
	}
	if on := mustStatus(ctx, t, m).Switch.Effective; on != "ON" {
		t.Errorf("switch is %s", on)
	}
}

func TestATokenIsAskedForWhereOneIsConfigured(t *testing.T) {
	t.Parallel()
	const token = "open-sesame-0815"
	base, address := newBase(t), freeAddress(t)
	file := filepath.Join(base, "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy()))
	config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: block{"token_file": file}}}
	m := start(t, base, config)
	ctx := deadline(t)

	for _, wrong := range []string{"", "open-sesame", token + "1"} {
		for _, request := range []struct{ method, path string }{
			{http.MethodPost, windowPath + "?seconds=10"},
			{http.MethodDelete, windowPath},
			{http.MethodPut, "/api/v1/tcpcopy/config?layer=app"},
		} {
			_, err := m.Admin.Do(ctx, request.method, request.path, wrong, []byte(`{"switch":"ON"}`))
			var refused *mosnproc.StatusError
			if !errors.As(err, &refused) || (refused.Code != http.StatusForbidden && refused.Code != http.StatusUnauthorized) ||
				!strings.Contains(refused.Body, "token") || strings.Contains(refused.Body, token) {
				t.Errorf("%s %s with token %q: %v", request.method, request.path, wrong, err)
			}
		}
	}
	if status := mustStatus(ctx, t, m); status.Window != nil || status.Switch.Effective != "OFF" {
		t.Errorf("a refused request has changed something: %+v", status)
	}
	if _, err := m.Admin.Do(ctx, http.MethodPost, windowPath+"?seconds=60", token, nil); err != nil {
		t.Error(err)
	}
	if _, err := m.Admin.Do(ctx, http.MethodDelete, windowPath, token, nil); err != nil {
		t.Error(err)
	}
}

// Metrics go through MOSN's own.
func TestMetricsAgreeWithTheIndex(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	w := m.window(func() { sendOnce(t, address, "counted") })
	complete(t, w)
	want := map[string]uint64{
		"windows":           1,
		"seen_bytes_in":     w.Seen.In,
		"seen_bytes_out":    w.Seen.Out,
		"written_bytes_in":  w.Written.In,
		"written_bytes_out": w.Written.Out,
		"lost_bytes_in":     0,
		"records_in":        w.Records.In,
		"window_open":       0,
	}
	eventually(t, "the metrics have the window", func() bool {
		answer, err := m.Admin.Do(deadline(t), http.MethodGet, "/api/v1/stats", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		var types map[string]map[string]map[string]string // type, labels, name
		if err := json.Unmarshal(answer, &types); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		var got map[string]string
		for _, metrics := range types["tcpcopy"] { // it has one set of labels
			got = metrics
		}
		for name, value := range want {
			if got[name] != strconv.FormatUint(value, 10) {
				return false
			}
		}
		return true
	})
}

// A connection that nobody reads from or writes to must not keep a window open.
func TestAWindowClosesWithAnIdleConnection(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := m.window(func() {})
	complete(t, w)
	if w.Connections != 0 || w.Seen.In+w.Seen.Out != 0 {
		t.Errorf("an idle connection is recorded: %+v", w)
	}
}
