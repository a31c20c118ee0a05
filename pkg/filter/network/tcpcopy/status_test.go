package tcpcopy

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
)

// The status has the fields that the design names, whatever state it is of.
func TestTheStatusKeepsItsFields(t *testing.T) {
	h := newHarness(t, object{"capture": object{"direction": "both"}, "buffer": object{"size": "1MiB"}})
	a := &admin{recorder: h.recorder}
	check := func(in object, path string, want ...string) object {
		t.Helper()
		var got object
		if at := in[path]; at != nil {
			got = at.(object)
		}
		for _, field := range want {
			if _, ok := got[field]; !ok {
				t.Errorf("%s has %q, and no %s", path, slices.Sorted(maps.Keys(got)), field)
			}
		}
		return got
	}
	send := func() object {
		t.Helper()
		code, status, _ := h.request(a, "GET", "/api/v1/tcpcopy", "", nil)
		if code != 200 {
			t.Fatal(code)
		}
		all := object{"status": status}
		check(all, "status", "switch", "window", "guard", "buffer", "totals", "output", "refused")
		sw := check(status, "switch", "effective", "app", "global")
		check(sw, "app", "switch", "interval", "duration", "cpu_max_rate", "mem_max_rate")
		check(sw, "global", "switch", "interval", "duration", "cpu_max_rate", "mem_max_rate")
		check(status, "guard", "available", "cpu", "mem", "source")
		check(status, "buffer", "used", "size")
		totals := check(status, "totals", "connections", "records", "seen", "written", "lost", "lost_by")
		for _, count := range []string{"records", "seen", "written", "lost"} {
			check(totals, count, "in", "out")
		}
		check(status, "output", "dir", "formats", "max_total", "listeners")
		return status
	}
	status := send()
	if w, ok := status["window"]; !ok || w != nil {
		t.Errorf("without a window it is %v", w)
	}
	if sw := status["switch"].(object); sw["effective"] != "OFF" {
		t.Errorf("switch %v", sw)
	}
	if refused, ok := status["refused"].([]any); !ok || len(refused) > 0 {
		t.Errorf("refused %v", status["refused"])
	}
	if _, err := h.recorder.controller.OpenManual(time.Hour); err != nil {
		t.Fatal(err)
	}
	c := h.connect(h.factory)
	c.receive("12345")
	c.send("123")
	if _, err := h.tryBind("bad", object{"output": object{"dir": "/elsewhere"}}); err == nil {
		t.Error("accepted")
	}
	status = send()
	check(status, "window", "id", "trigger", "opened", "closes", "paused", "accounts")
	seen := status["totals"].(object)["seen"].(object)
	if seen["in"] != 5.0 || seen["out"] != 3.0 {
		t.Errorf("seen %v", seen)
	}
	if size := status["buffer"].(object)["size"]; size != float64(1<<20) {
		t.Errorf("buffer of %v", size)
	}
	refused := status["refused"].([]any)
	if len(refused) != 1 || refused[0].(object)["listener"] != "bad" || !strings.Contains(refused[0].(object)["error"].(string), "output") {
		t.Errorf("refused %v", refused)
	}
	output := status["output"].(object)
	if output["dir"] != h.dir || output["max_total"] != float64(persistence.DefaultMaxTotal) || len(output["formats"].([]any)) != 1 || len(output["listeners"].([]any)) != 1 {
		t.Errorf("output %v", output)
	}
}

// Listeners whose block cannot be read are found in MOSN's configuration: their
// factory does not know whose it is.
func TestTheStatusFindsUnreadableBlocks(t *testing.T) {
	h := newHarness(t, object{"guard": "on"})
	blocks := map[string]map[string]any{"good": {"guard": "on"}, "bad": {"guard": "maybe"}, "both": {"guard": "off"}}
	h.recorder.host.listeners = func() map[string]map[string]any { return blocks }
	if _, err := newFactory(h.recorder, blocks["bad"]); err == nil {
		t.Error("accepted")
	}
	if _, err := h.tryBind("both", blocks["both"]); err == nil {
		t.Error("accepted")
	}
	got := h.refusals()
	if len(got) != 2 || !strings.Contains(got["bad"], "guard") || !strings.Contains(got["both"], "differs") {
		t.Errorf("refused %v", got)
	}
	// The same listener refused for one thing, then for another, is there once.
	blocks["both"] = map[string]any{"speed": 1}
	if all := h.recorder.status().Refused; len(all) != 2 || !strings.Contains(all[1].Error, "speed") {
		t.Errorf("refused %v", all)
	}
}
