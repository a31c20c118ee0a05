package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// fakeAdmin answers as the admin API of a recorder does, see docs/operations.md.
type fakeAdmin struct {
	dir   string // of the dump
	token string // empty: none is required

	mu          sync.Mutex // guards the rest
	app, global model.DumpConfig
	guardDown   bool
	old         bool     // does not know guard=off, nor record=live
	full        bool     // the disk is
	skips       bool     // windows have not opened
	none        bool     // it is a MOSN without tcpcopy
	talks       bool     // the stream has the calls of callSteps
	killed      bool     // the stream ends in the middle of a record
	due         bool     // the next window is
	window      string   // id of the open one
	live        string   // id of a live-only one
	ring        bool     // there is one
	captures    []string // ids of those that are open
}

// startAdmin starts a server for the script and sets TCPCOPY_ADMIN. The state is
// "", ring, due, force_off, guard_down, skips, window_open, calls, killed, token, no_tcpcopy or gone.
func startAdmin(ts *testscript.TestScript, _ bool, args []string) {
	a := &fakeAdmin{dir: ts.MkAbs("dump"), app: model.DefaultDumpConfig(), global: model.DefaultDumpConfig()}
	state := strings.Join(args, " ")
	switch state {
	case "", "gone":
	case "force_off":
		a.global.Switch = model.SwitchForceOff
	case "guard_down":
		a.guardDown = true
	case "guard_down_old":
		a.guardDown, a.old = true, true
	case "disk_full":
		a.full = true
	case "skips":
		a.guardDown, a.skips = true, true
	case "due":
		a.app.Switch, a.due = model.SwitchOn, true
	case "no_tcpcopy":
		a.none = true
	case "calls":
		a.talks = true
	case "killed":
		a.talks, a.killed = true, true
	case "window_open":
		a.window = firstWindow
	case "ring":
		a.ring = true
	case "token":
		a.token = "s3cret"
	default:
		ts.Fatalf("unknown state %q", state)
	}
	server := httptest.NewServer(a)
	ts.Defer(server.Close)
	ts.Setenv("TCPCOPY_ADMIN", server.URL)
	if state == "gone" {
		server.Close()
	}
}

func (a *fakeAdmin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.none {
		if req.URL.Path == "/api/v1/version" && req.Header.Get("Authorization") == "" {
			_, _ = fmt.Fprint(w, "mosn version: 1.6.0")
		} else {
			http.NotFound(w, req)
		}
		return
	}
	if a.token != "" && req.URL.Path != "/api/v1/tcpcopy" && req.Header.Get("Authorization") != "Bearer "+a.token {
		refuse(w, http.StatusUnauthorized, "a token is required")
		return
	}
	switch req.Method + " " + req.URL.Path {
	case "GET /api/v1/tcpcopy":
		a.status(w)
	case "PUT /api/v1/tcpcopy/config":
		a.config(w, req)
	case "POST /api/v1/tcpcopy/window":
		a.open(w, req)
	case "DELETE /api/v1/tcpcopy/window":
		a.close(w)
	case "GET /api/v1/tcpcopy/stream":
		if req.URL.Query().Get("record") == "live" && !a.old {
			a.recordLive(w, req)
		} else {
			a.stream(w)
		}
	case "POST /api/v1/tcpcopy/capture":
		a.capture(w, req)
	default:
		http.NotFound(w, req)
	}
}

func refuse(w http.ResponseWriter, status int, reason string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": reason})
}

// theSwitch is the switch object of the status.
func (a *fakeAdmin) theSwitch() map[string]any {
	effective := "OFF"
	if a.global.Switch != model.SwitchForceOff && (a.app.Switch == model.SwitchOn || a.global.Switch == model.SwitchOn) {
		effective = "ON"
	}
	return map[string]any{"effective": effective, "app": a.app, "global": a.global}
}

func (a *fakeAdmin) status(w http.ResponseWriter) {
	var window any
	if a.window != "" {
		window = map[string]any{"id": a.window, "trigger": "manual", "opened": dumpStart, "closes": dumpStart.Add(time.Minute)}
	}
	answer := map[string]any{
		"switch":  a.theSwitch(),
		"window":  window,
		"guard":   map[string]any{"available": !a.guardDown, "cpu": 12.5, "mem": 40, "source": "host"},
		"buffer":  map[string]any{"used": 1 << 20, "size": 64 << 20},
		"totals":  map[string]any{"windows": 3, "connections": 5, "seen": record.PerDirection{In: 2048, Out: 10}},
		"output":  map[string]any{"dir": a.dir, "formats": []string{"hex_meta"}, "listeners": []string{"ingress"}},
		"refused": []any{map[string]any{"listener": "egress", "error": "its strategy differs from ingress's"}},
	}
	if a.due {
		answer["next"] = time.Now().Add(90 * time.Second)
	}
	if a.skips {
		var list []record.Skip
		for _, l := range skipLines() {
			list = append(list, l.Skip)
		}
		answer["skipped"] = map[string]any{"windows": 4, "list": list}
		answer["owners"] = map[string]string{"strategy": "ingress", "output": "ingress"}
		answer["guard"].(map[string]any)["downs"] = 7
	}
	if a.live != "" {
		w := map[string]any{"id": a.live, "trigger": "live", "state": "open", "opened": dumpStart, "closes": nil, "paused": false}
		if a.guardDown {
			w["guard"] = "off"
		}
		answer["windows"] = []any{w}
	}
	if a.ring {
		a.flight(answer)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// flight adds the flight recorder's part of the status. A capture that is over is gone after
// one answer.
func (a *fakeAdmin) flight(answer map[string]any) {
	at := dumpStart.Add(30 * time.Second)
	windows := []any{}
	for _, id := range a.captures {
		windows = append(windows, map[string]any{"id": id, "trigger": "flight", "state": "open", "opened": at.Add(-30 * time.Second), "closes": at.Add(5 * time.Second), "scope": "connection", "conn": "k3v9qa-1", "joined": 2, "cause": record.Cause{Trigger: "errors", Time: at}})
	}
	if len(a.captures) > 0 {
		a.captures = nil
		_ = a.writeIndex(captureLines()[1])
	}
	answer["windows"] = windows
	answer["flight"] = map[string]any{
		"on": true, "size": 256 << 20, "used": 12 << 20, "holds_ms": 42_000, "captures": 3, "suppressed": 2,
		"triggers": []any{
			map[string]any{"name": "errors", "fired": 5, "suppressed": 2, "last": at, "cpu_ms_per_s": 0.25},
			map[string]any{"name": "marker", "fired": 0, "suppressed": 0, "last": nil, "cpu_ms_per_s": 12},
		},
		"excludes": []string{"listener ingress: capture.sample is 0.5"},
	}
}

// capture answers a request for a capture, whose parameters are written to the file asked.
func (a *fakeAdmin) capture(w http.ResponseWriter, req *http.Request) {
	if !a.ring {
		refuse(w, http.StatusConflict, "there is no ring: no flight block is configured")
		return
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(a.dir), "asked"), []byte(req.URL.Query().Encode()+"\n"), 0o600); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	line := captureLines()[1]
	a.captures = []string{line.Window}
	closes := time.Now()
	if req.URL.Query().Get("after") == "1h0m0s" {
		closes = closes.Add(time.Hour)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"window": line.Window, "opened": line.Opened, "closes": closes})
}

func (a *fakeAdmin) config(w http.ResponseWriter, req *http.Request) {
	layer := model.Layer(req.URL.Query().Get("layer"))
	var c model.DumpConfig
	if err := json.NewDecoder(req.Body).Decode(&c); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := c.Validate(layer); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if layer == model.LayerGlobal {
		a.global = c
	} else {
		a.app = c
	}
	_ = json.NewEncoder(w).Encode(a.theSwitch())
}

func (a *fakeAdmin) open(w http.ResponseWriter, req *http.Request) {
	seconds, err := strconv.Atoi(req.URL.Query().Get("seconds"))
	switch {
	case err != nil || seconds < 1 || seconds > 3600:
		refuse(w, http.StatusBadRequest, "seconds, valid: 1 … 3600")
	case a.global.Switch == model.SwitchForceOff:
		refuse(w, http.StatusConflict, "the global layer is FORCE_OFF")
	case a.window != "":
		refuse(w, http.StatusConflict, "window "+a.window+" is open")
	case a.old && a.guardDown && req.URL.Query().Has("guard"):
		a.window = secondWindow // its guard has just come up
		_ = json.NewEncoder(w).Encode(map[string]any{"window": a.window, "closes": time.Now().Add(time.Duration(seconds) * time.Second)})
	case a.guardDown && req.URL.Query().Get("guard") != "off":
		refuse(w, http.StatusServiceUnavailable, "the guard is down: CPU 99 %")
	default:
		a.window = secondWindow
		answer := map[string]any{"window": a.window, "closes": time.Now().Add(time.Duration(seconds) * time.Second)}
		if guard := req.URL.Query().Get("guard"); guard != "" {
			answer["guard"] = guard
		}
		if a.full {
			answer["paused"] = "3 bytes are free"
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// close ends the window and writes its index line, as the recorder does.
func (a *fakeAdmin) close(w http.ResponseWriter) {
	if a.window == "" {
		refuse(w, http.StatusNotFound, "no window is open")
		return
	}
	if err := a.writeIndex(indexLines()[1]); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"window": a.window, "closed": time.Now()})
	a.window = ""
}

func (a *fakeAdmin) writeIndex(line layout.WindowLine) error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.dir, layout.Index), append(text, '\n'), 0o600)
}

// recordLive is stream for a live-only window.
func (a *fakeAdmin) recordLive(w http.ResponseWriter, req *http.Request) {
	switch {
	case a.global.Switch == model.SwitchForceOff:
		refuse(w, http.StatusConflict, "switch is FORCE_OFF")
	case a.guardDown && req.URL.Query().Get("guard") != "off":
		refuse(w, http.StatusServiceUnavailable, "guard is down: host cpu 97.0 >= 80")
	default:
		a.live = firstWindow
		w.Header().Set("X-Tcpcopy-Window", firstWindow)
		a.stream(w)
	}
}

func (a *fakeAdmin) stream(w http.ResponseWriter) {
	e := pcapng.NewEncoder()
	file := pcapng.AppendInterface(pcapng.AppendSectionHeader(nil, "test"), "ingress", "tcp 8080")
	if a.talks {
		file = encodeWindow(e, file, callSteps(firstWindow), dumpStart)
	} else {
		for _, steps := range windowSteps() {
			file = encodeWindow(e, file, steps, dumpStart)
		}
	}
	if a.killed {
		_, _ = w.Write(file[:len(file)-9]) // of the last record
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "%s", file)
}
