package tcpcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// fakeRings open rings that keep nothing.
type fakeRings struct {
	mu       sync.Mutex // guards the rest
	fault    error      // of opening one
	open     *fakeRing  // nil for none
	opened   int
	stores   []*persistence.Store // of the rings, one after the other
	fire     func(strategy.FlightEvent)
	stats    ringStats
	captures []strategy.CaptureSpec
	closed   []string // ids of captures
}

func (f *fakeRings) openRing(store *persistence.Store, c *strategy.FlightConfig, event func(strategy.FlightEvent)) (ring, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil {
		return nil, f.fault
	}
	if f.open != nil {
		return nil, errors.New("a ring is open")
	}
	f.opened++
	f.stores, f.fire = append(f.stores, store), event
	f.open = &fakeRing{rings: f, config: c}
	return f.open, nil
}

// with calls g with the fields.
func (f *fakeRings) with(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
}

type fakeRing struct {
	rings  *fakeRings
	config *strategy.FlightConfig // guarded by rings.mu
}

func (r *fakeRing) Configure(c *strategy.FlightConfig) error {
	r.rings.with(func() { r.config = c })
	return nil
}
func (r *fakeRing) Pause(record.Reason)  {}
func (r *fakeRing) Resume(record.Reason) {}
func (r *fakeRing) Shut()                {}
func (r *fakeRing) Close()               { r.rings.with(func() { r.rings.open = nil }) }

func (r *fakeRing) Stats() (s ringStats) {
	r.rings.with(func() { s = r.rings.stats })
	return s
}

func (r *fakeRing) OpenCapture(s strategy.CaptureSpec) (strategy.CaptureSink, error) {
	if s.Scope.Conn == "aaaaaa-404" {
		return nil, strategy.ErrNoConnection
	}
	r.rings.with(func() { r.rings.captures = append(r.rings.captures, s) })
	return &fakeCapture{r.rings, s}, nil
}

type fakeCapture struct {
	rings *fakeRings
	spec  strategy.CaptureSpec
}

func (c *fakeCapture) Opened() time.Time { return c.spec.Window.Opened.Add(time.Second) }
func (c *fakeCapture) Close(time.Time) {
	c.rings.with(func() { c.rings.closed = append(c.rings.closed, c.spec.Window.ID) })
}

// smallFlight is a flight block with a trigger that needs no answers.
const smallFlight = `{"size": "1MiB", "triggers": [{"name": "resets", "close": ["OnReadErrClose"]}]}`

// newFlightHarness is newHarness with a ring that is opened by fakeRings. With "" there is no
// flight block.
func newFlightHarness(t *testing.T, block string) (*harness, *fakeRings) {
	t.Helper()
	rings := &fakeRings{}
	host := testHost(t)
	host.openRing = rings.openRing
	h := &harness{t: t, dir: t.TempDir(), recorder: newRecorder("aaaaaa", host)}
	t.Cleanup(func() { h.recorder.close(false) })
	config := object{}
	if block != "" {
		config["flight"] = configOf(t, block)
	}
	h.factory = h.bind("test", h.into(config))
	if block != "" {
		h.awaitRing()
	}
	return h, rings
}

func (h *harness) awaitRing() {
	h.t.Helper()
	eventually(h.t, "the ring", func() bool { return h.recorder.flight.Status().On })
}

// ask sends a request to the admin API.
func (h *harness) ask(method, target, body string) (code int, answer object) {
	h.t.Helper()
	code, answer, _ = h.request(&admin{recorder: h.recorder}, method, target, body, nil)
	return code, answer
}

func TestFlightRequestsGetTheirStatusCode(t *testing.T) {
	const capture, flight = "/api/v1/tcpcopy/capture", "/api/v1/tcpcopy/flight"
	for _, c := range []struct {
		method, target, body string
		code                 int
		reason               string
	}{
		{"POST", capture, "", 200, ""},
		{"POST", capture + "?before=2h&after=0s&scope=process&reason=ticket+7", "", 200, ""},
		{"POST", capture + "?conn=aaaaaa-7", "", 200, ""},
		{"POST", capture + "?scope=process&conn=aaaaaa-7", "", 200, ""},
		{"POST", capture + "?scope=listener&conn=aaaaaa-7", "", 200, ""},
		{"POST", capture + "?listener=test", "", 200, ""},
		{"POST", capture + "?scope=connection", "", 400, "conn is not set"},
		{"POST", capture + "?scope=listener", "", 400, "listener is not set"},
		{"POST", capture + "?scope=process&listener=test", "", 400, `listener is "test", valid: only with scope=listener`},
		{"POST", capture + "?scope=all", "", 400, `scope is "all", valid: connection, listener, process`},
		{"POST", capture + "?scope=", "", 400, `scope is ""`},
		{"POST", capture + "?before=30", "", 400, `before is "30", valid: a duration`},
		{"POST", capture + "?before=", "", 400, `before is ""`},
		{"POST", capture + "?before=25h", "", 400, `before is "25h"`},
		{"POST", capture + "?after=-1s", "", 400, `after is "-1s"`},
		{"POST", capture + "?after=1s&after=2s", "", 400, `after is "1s,2s", valid: one value`},
		{"POST", capture + "?conn=7", "", 400, `conn is "7"`},
		{"POST", capture + "?conn=bbbbbb-7", "", 400, "whose run is aaaaaa"},
		{"POST", capture + "?conn=aaaaaa-7x", "", 400, `conn is "aaaaaa-7x"`},
		{"POST", capture + "?conn=aaaaaa-404", "", 404, "nothing of that connection"},
		{"POST", capture + "?befor=1s", "", 400, "befor is a parameter, valid: no parameter of that name"},
		{"POST", capture + "?reason=" + strings.Repeat("x", 513), "", 400, "reason is a text of 513 bytes"},
		{"POST", capture + "?reason=%ff", "", 400, "reason is a text of 1 bytes"},
		{"POST", capture + "?reason=%zz", "", 400, "%zz"},
		{"POST", capture + "?before=x&after=x&scope=x&conn=x", "", 400, "before is"},
		{"POST", capture + "?before=x&after=x&scope=x&conn=x", "", 400, "conn is"},
		{"GET", capture, "", 405, "POST"},
		{"DELETE", capture, "", 405, "POST"},

		{"PUT", flight, `{"size": "2MiB"}`, 200, ""},
		{"PUT", flight, `{"size": "0"}`, 200, ""},
		{"PUT", flight, `{"size": "2MiB", "triggers": [{"name": "a", "where": "failed"}]}`, 400, "flight.triggers[0].where is a condition on answers"},
		{"PUT", flight, `{"size": "1", "x": 1}`, 400, "flight.size"},
		{"PUT", flight, `{"size": "1", "x": 1}`, 400, "flight.x"},
		{"PUT", flight, `{"flight": {"size": "1MiB"}}`, 400, "flight.flight"},
		{"PUT", flight, `{"size": "1MiB"} {}`, 400, "no JSON"},
		{"PUT", flight, ``, 400, "a JSON object"},
		{"PUT", flight, `null`, 400, "a JSON object"},
		{"PUT", flight, `{"size": "1MiB"}` + strings.Repeat(" ", maxBody), 413, "a flight block of up to 65536 bytes"},
		{"GET", flight, "", 405, "PUT"},
		{"POST", flight, `{"size": "1MiB"}`, 405, "PUT"},
	} {
		h, _ := newFlightHarness(t, smallFlight)
		code, answer := h.ask(c.method, c.target, c.body)
		if reason, _ := answer["error"].(string); code != c.code || !strings.Contains(reason, c.reason) {
			t.Errorf("%s %s %.40s: %d %q, want %d and %q", c.method, c.target, c.body, code, reason, c.code, c.reason)
		}
		h.recorder.close(false)
	}
}

// Like what changes state, captures and blocks are for loopback peers alone, and for those
// that have the token.
func TestFlightRequestsAreAuthorized(t *testing.T) {
	h, rings := newFlightHarness(t, smallFlight)
	a := &admin{recorder: h.recorder}
	for _, method := range []struct{ method, target string }{{"POST", capturePath}, {"PUT", flightPath}} {
		for name, change := range map[string]func(*http.Request){
			"another host": func(req *http.Request) { req.RemoteAddr = "10.0.0.1:4242" },
			"a page":       func(req *http.Request) { req.Header.Set("Sec-Fetch-Site", "cross-site") },
		} {
			if code, _, _ := h.request(a, method.method, method.target, `{"size": "2MiB"}`, change); code != 403 {
				t.Errorf("%s by %s: %d", method.target, name, code)
			}
		}
	}
	rings.with(func() {
		if len(rings.captures) > 0 || rings.opened != 1 {
			t.Errorf("%d captures, %d rings", len(rings.captures), rings.opened)
		}
	})
}

// A capture on demand is what the parameters ask for.
func TestACaptureOnDemandIsWhatWasAskedFor(t *testing.T) {
	h, rings := newFlightHarness(t, smallFlight)
	before := time.Now()
	code, answer := h.ask("POST", "/api/v1/tcpcopy/capture?before=2m&after=1m&conn=aaaaaa-7&reason=ticket+7", "")
	opened, err := time.Parse(time.RFC3339Nano, answer["opened"].(string))
	closes, err2 := time.Parse(time.RFC3339Nano, answer["closes"].(string))
	if code != 200 || errors.Join(err, err2) != nil || len(answer["window"].(string)) != 36 || len(answer) != 3 {
		t.Fatalf("%d %v %v", code, answer, errors.Join(err, err2))
	}
	if closes.Sub(opened) != 3*time.Minute-time.Second || closes.Before(before.Add(time.Minute)) || closes.After(time.Now().Add(time.Minute)) {
		t.Errorf("opened %v, closes %v", opened, closes)
	}
	var spec strategy.CaptureSpec
	rings.with(func() { spec = rings.captures[0] })
	w := spec.Window
	if spec.Scope != (strategy.Scope{Kind: strategy.ScopeConnection, Conn: "aaaaaa-7"}) || w.ID != answer["window"] || w.Trigger != "flight" || w.AskedBefore != 2*time.Minute ||
		w.Cause.Trigger != "request" || w.Cause.Reason != "ticket 7" || w.Cause.Conn != "aaaaaa-7" || w.Cause.Call != nil {
		t.Errorf("%+v, cause %+v", spec, w.Cause)
	}
	h.ask("POST", "/api/v1/tcpcopy/capture?scope=process&conn=aaaaaa-7", "")
	h.ask("POST", "/api/v1/tcpcopy/capture", "")
	if id, err := h.recorder.capture("by the application"); err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
	rings.with(func() {
		process := strategy.Scope{Kind: strategy.ScopeProcess}
		for i, want := range []record.Cause{{Conn: "aaaaaa-7"}, {}, {Reason: "by the application"}} {
			got := rings.captures[i+1]
			if got.Scope != process || got.Window.Cause.Conn != want.Conn || got.Window.Cause.Reason != want.Reason || got.Window.AskedBefore != 30*time.Second {
				t.Errorf("%d: %+v, cause %+v", i, got, got.Window.Cause)
			}
		}
	})
	// All that are open are in the status, and SIGTERM ends them at once.
	if _, err := h.recorder.controller.OpenManual(time.Hour); err != nil {
		t.Fatal(err)
	}
	_, status := h.ask("GET", "/api/v1/tcpcopy", "")
	windows := status["windows"].([]any)
	if len(windows) != 5 || windows[0].(object)["trigger"] != "manual" || windows[0].(object)["state"] != "open" {
		t.Fatalf("windows %v", windows)
	}
	first := windows[1].(object)
	if first["id"] != w.ID || first["trigger"] != "flight" || first["scope"] != "connection" || first["conn"] != "aaaaaa-7" || first["state"] != "open" || first["cause"].(object)["reason"] != "ticket 7" || first["opened"] == nil || first["closes"] == nil {
		t.Errorf("first %v", first)
	}
	h.recorder.close(false)
	rings.with(func() {
		if len(rings.closed) != 4 || rings.open != nil {
			t.Errorf("closed %q, ring %v", rings.closed, rings.open)
		}
	})
}

// Without a ring, and under FORCE_OFF, there is no capture.
func TestWithoutARingACaptureIsRefused(t *testing.T) {
	h, rings := newFlightHarness(t, "")
	expect := func(words string) {
		t.Helper()
		code, answer := h.ask("POST", "/api/v1/tcpcopy/capture", "")
		if reason, _ := answer["error"].(string); code != 409 || !strings.Contains(reason, words) {
			t.Errorf("%d %q, want %q", code, reason, words)
		}
		if id, err := h.recorder.capture("x"); id != "" || err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("in Go: %q, %v", id, err)
		}
		_, status := h.ask("GET", "/api/v1/tcpcopy", "")
		if f := status["flight"].(object); f["on"] != false || !strings.Contains(f["reason"].(string), words) {
			t.Errorf("status %v", f)
		}
	}
	expect("no flight block is configured")
	rings.with(func() { rings.fault = errors.New("it does not fit into the memory") })
	if code, answer := h.ask("PUT", "/api/v1/tcpcopy/flight", smallFlight); code != 200 || answer["size"] != float64(1<<20) {
		t.Errorf("%d %v", code, answer)
	}
	eventually(t, "a reason", func() bool { return strings.Contains(h.recorder.flight.Status().Reason, "memory") })
	expect("it does not fit into the memory")
	rings.with(func() { rings.fault = nil })
	h.recorder.flight.Retry()
	h.awaitRing()
	// The application's layer does not govern the ring.
	if code, _ := h.ask("PUT", "/api/v1/tcpcopy/config?layer=app", `{"switch": "OFF"}`); code != 200 || !h.recorder.flight.Status().On {
		t.Errorf("%d, %+v", code, h.recorder.flight.Status())
	}
	h.ask("PUT", "/api/v1/tcpcopy/config?layer=global", `{"switch": "FORCE_OFF"}`)
	expect("FORCE_OFF")
	h.ask("PUT", "/api/v1/tcpcopy/config?layer=global", `{"switch": "OFF"}`)
	h.awaitRing()
	h.ask("PUT", "/api/v1/tcpcopy/flight", `{"size": "0"}`)
	expect("flight.size is 0")
}

// The status says what the ring has and what its triggers do.
func TestTheStatusOfTheFlightRecorder(t *testing.T) {
	h, rings := newFlightHarness(t, smallFlight)
	metrics := newFakeMetrics()
	h.recorder.host.metrics, h.recorder.meters = metrics, newMeters(metrics)
	last := time.Date(2026, 11, 27, 10, 32, 0, 0, time.UTC)
	rings.with(func() {
		rings.stats = ringStats{Used: 1234, Holds: 1500 * time.Millisecond, Shards: []time.Duration{2 * time.Second, 1500 * time.Millisecond}, Evicted: 77, Costs: map[string]time.Duration{"resets": 2500 * time.Microsecond}}
	})
	rings.with(func() { rings.stats.Memory = strategy.OwnMemory{Bytes: 9, Shared: true} })
	if own := h.recorder.ringMemory(); own != (strategy.OwnMemory{Bytes: 9, Shared: true}) {
		t.Errorf("the ring's memory: %+v", own)
	}
	rings.fire(strategy.FlightEvent{Trigger: "resets", Time: last, Conn: "aaaaaa-1", Listener: "test"})
	eventually(t, "a capture", func() bool { return h.recorder.flight.Status().Captures == 1 })
	_, status := h.ask("GET", "/api/v1/tcpcopy", "")
	delete(status["flight"].(object), "change")
	got, err := json.Marshal(status["flight"])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"captures":1,"evicted_bytes":77,"holds_ms":1500,"on":true,"shards":[{"holds_ms":2000},{"holds_ms":1500}],"size":1048576,"suppressed":0,` +
		`"triggers":[{"cpu_ms_per_s":2.5,"fired":1,"last":"2026-11-27T10:32:00Z","name":"resets","suppressed":0}],"used":1234}`
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	h.recorder.publish()
	for name, want := range map[string]int64{
		"flight_on": 1, "flight_paused": 0, "flight_used_bytes": 1234, "flight_holds_ms": 1500, "flight_evicted_bytes": 77,
		"flight_captures": 1, "flight_suppressed": 0, "flight_fired_resets": 1, "flight_cpu_us_per_s_resets": 2500,
	} {
		if got := metrics.get(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	// What a ring that was closed has given up is not forgotten.
	h.ask("PUT", "/api/v1/tcpcopy/flight", `{"size": "0"}`)
	if own := h.recorder.ringMemory(); own != (strategy.OwnMemory{}) {
		t.Errorf("the memory of no ring: %+v", own)
	}
	_, status = h.ask("GET", "/api/v1/tcpcopy", "")
	if f := status["flight"].(object); f["evicted_bytes"] != 77.0 || f["used"] != 0.0 || f["size"] != 0.0 {
		t.Errorf("%v", f)
	}
	if owner := status["owners"].(object)["flight"]; owner != "test" {
		t.Errorf("owned by %v", owner)
	}
	narrow := h.bind("narrow", h.into(object{"capture": object{"sample": 0.5, "peers": []string{"10.0.0.0/8"}}}))
	_ = narrow
	h.ask("PUT", "/api/v1/tcpcopy/flight", smallFlight)
	_, status = h.ask("GET", "/api/v1/tcpcopy", "")
	if excluded := fmt.Sprint(status["flight"].(object)["excludes"]); !strings.Contains(excluded, "listener narrow: capture.sample is 0.5") || !strings.Contains(excluded, "capture.peers") {
		t.Errorf("excludes %v", excluded)
	}
}

// A block is replaced by a request or an update, and the ring goes on unless its size changes.
func TestTheFlightBlockIsReplaced(t *testing.T) {
	h, rings := newFlightHarness(t, smallFlight)
	put := func(block string) {
		t.Helper()
		if code, answer := h.ask("PUT", "/api/v1/tcpcopy/flight", block); code != 200 {
			t.Fatalf("%d %v", code, answer)
		}
	}
	triggers := func() (n int) {
		rings.with(func() { n = len(rings.open.config.Triggers) })
		return n
	}
	put(`{"size": "1MiB", "triggers": []}`)
	if rings.opened != 1 || triggers() != 0 {
		t.Errorf("%d rings, %d triggers", rings.opened, triggers())
	}
	// The listener's block, which it has had before, does not undo the request.
	h.bind("test", h.into(object{"flight": configOf(t, smallFlight)}))
	if triggers() != 0 {
		t.Errorf("%d triggers", triggers())
	}
	h.bind("test", h.into(object{"flight": configOf(t, `{"size": "1MiB", "triggers": [{"name": "a", "close": ["RemoteClose"]}, {"name": "b", "close": ["LocalClose"]}]}`)}))
	if triggers() != 2 || rings.opened != 1 {
		t.Errorf("%d rings, %d triggers", rings.opened, triggers())
	}
	put(`{"size": "2MiB"}`)
	eventually(t, "another ring", func() (again bool) {
		rings.with(func() { again = rings.opened == 2 })
		return again
	})
	if code, _ := h.ask("PUT", "/api/v1/tcpcopy/flight", `{"size": "x"}`); code != 400 {
		t.Error(code)
	}
	_, status := h.ask("GET", "/api/v1/tcpcopy", "")
	if f := status["flight"].(object); f["size"] != float64(2<<20) || !strings.Contains(f["change"].(object)["error"].(string), "flight.size") {
		t.Errorf("%v", f)
	}
	// An output that is replaced has a ring of its own.
	h.awaitRing()
	h.bind("test", h.into(object{"output": object{"dir": filepath.Join(h.dir, "other")}}))
	eventually(t, "a ring in the new store", func() (again bool) {
		rings.with(func() { again = rings.opened == 3 && rings.stores[2] != rings.stores[1] })
		return again
	})
}

// The watched file may have a flight block: it counts whole or not at all, and FORCE_OFF counts
// whatever else is in the file.
func TestTheWatchedFileHasAFlightBlock(t *testing.T) {
	h, rings := newFlightHarness(t, "")
	path := filepath.Join(t.TempDir(), "switch.json")
	write(t, path, `{"app": {"switch": "OFF", "interval": 60, "duration": 5}, "flight": `+smallFlight+`}`)
	h.recorder.follow(path)
	h.awaitRing()
	change := func(text string, what string, holds func(s statusReply) bool) {
		t.Helper()
		write(t, path, text)
		eventually(t, what, func() bool { return holds(h.recorder.status()) })
	}
	for name, bad := range map[string]string{
		"size":    `{"app": {"switch": "ON", "interval": 77}, "flight": {"size": "1"}}`,
		"answers": `{"app": {"switch": "ON", "interval": 77}, "flight": {"size": "2MiB", "triggers": [{"name": "a", "where": "failed"}]}}`,
		"unknown": `{"app": {"switch": "ON", "interval": 77}, "flight": {"size": "2MiB"}, "future": 1}`,
	} {
		before := h.recorder.status().Watch.Time
		change(bad, "a refusal of "+name, func(s statusReply) bool { return *s.Watch.Time != *before })
		s := h.recorder.status()
		if s.Watch.Error == "" || s.Switch.App.Interval != 60 || s.Flight.Size != 1<<20 || s.Flight.Change.Error == "" || !s.Flight.On {
			t.Errorf("%s: %+v, interval %d, flight %+v", name, s.Watch, s.Switch.App.Interval, s.Flight)
		}
	}
	forced := func(s statusReply) bool { return s.Switch.Global.Switch == model.SwitchForceOff }
	change(`{"global": {"switch": "FORCE_OFF", "future": 1}, "flight": {"size": "1"}, "future": {}}`, "FORCE_OFF", forced)
	eventually(t, "the error", func() bool {
		s := h.recorder.status()
		return strings.Contains(s.Watch.Error, "future") && strings.Contains(s.Watch.Error, "FORCE_OFF is in force all the same")
	})
	if s := h.recorder.status(); s.Flight.On || s.Switch.App.Interval != 60 || s.Flight.Size != 1<<20 {
		t.Errorf("%+v", s.Flight)
	}
	// A bad file without it does not undo it, and a good one does.
	before := h.recorder.status().Watch.Time
	change(`{"global": {"switch": "ON", "future": 1}}`, "a refusal", func(s statusReply) bool { return *s.Watch.Time != *before })
	if !forced(h.recorder.status()) {
		t.Error("FORCE_OFF is undone by a file that is refused")
	}
	change(`{"global": {"switch": "OFF"}, "flight": {"size": "2MiB"}}`, "a ring", func(s statusReply) bool { return s.Flight.On && s.Flight.Size == 2<<20 })
	rings.with(func() {
		if rings.opened != 2 {
			t.Errorf("%d rings", rings.opened)
		}
	})
}

// A trigger that needs answers is refused where no listener records them, whatever the order of
// the listeners is.
func TestTriggersThatNeedAnswersAreRefusedWithoutThem(t *testing.T) {
	const wants = `{"size": "1MiB", "triggers": [{"name": "errors", "where": "failed"}, {"name": "out", "bytes": ["x"], "direction": "out"}, {"name": "resets", "close": ["OnReadErrClose"]}]}`
	rings := &fakeRings{}
	host := testHost(t)
	host.openRing = rings.openRing
	h := &harness{t: t, dir: t.TempDir(), recorder: newRecorder("aaaaaa", host)}
	t.Cleanup(func() { h.recorder.close(false) })
	h.factory = h.bind("first", h.into(object{"flight": configOf(t, wants)}))
	check := func(text string) {
		t.Helper()
		for _, word := range []string{"flight.triggers[0].where is a condition on answers", "flight.triggers[1].bytes is a condition on answers", "capture.direction both"} {
			if !strings.Contains(text, word) {
				t.Errorf("%q does not name %q", text, word)
			}
		}
		if strings.Contains(text, "triggers[2]") {
			t.Errorf("%q", text)
		}
	}
	eventually(t, "a reason", func() bool { return strings.Contains(h.recorder.flight.Status().Reason, "answers") })
	check(h.recorder.flight.Status().Reason)
	check(h.refusals()["first"])
	if s := h.recorder.status(); len(s.Output.Listeners) != 1 || s.Flight.On {
		t.Errorf("%+v, %+v", s.Output, s.Flight)
	}
	if code, answer := h.ask("PUT", "/api/v1/tcpcopy/flight", wants); code != 400 {
		t.Errorf("%d %v", code, answer)
	} else {
		check(answer["error"].(string))
	}
	w := h.window(func() { h.connect(h.factory).receive("hello") }) // the rest is in force
	if w.Seen.In != 5 {
		t.Errorf("%+v", w)
	}
	h.bind("second", h.into(object{"capture": object{"direction": "both"}}))
	h.awaitRing()
	if refused := h.refusals(); len(refused) != 0 {
		t.Errorf("refused %v", refused)
	}
}

// A block from elsewhere that does not fit the output refuses no listener: there is no ring.
func TestARingNeedsAFormatWithConnections(t *testing.T) {
	rings := &fakeRings{}
	host := testHost(t)
	host.openRing = rings.openRing
	h := &harness{t: t, dir: t.TempDir(), recorder: newRecorder("aaaaaa", host)}
	t.Cleanup(func() { h.recorder.close(false) })
	path := filepath.Join(h.dir, "switch.json")
	write(t, path, `{"flight": `+smallFlight+`}`)
	h.recorder.follow(path) // as at the start, before the listeners
	eventually(t, "a reason", func() bool {
		return strings.Contains(h.recorder.flight.Status().Reason, "no listener has the tcpcopy filter")
	})
	hex := object{"output": object{"dir": filepath.Join(h.dir, "dump"), "formats": []string{"hex"}}}
	if _, err := h.tryBind("test", h.into(hex)); err != nil {
		t.Error(err)
	}
	eventually(t, "another reason", func() bool {
		return strings.Contains(h.recorder.flight.Status().Reason, "hex_meta or pcapng among them")
	})
	if h.recorder.status().Flight.On {
		t.Error("there is a ring")
	}
	if _, err := h.tryBind("test", h.into(object{"output": object{"dir": filepath.Join(h.dir, "dump")}})); err != nil {
		t.Error(err)
	}
	h.awaitRing()
}

// What is FORCE_OFF in the file, and what is not.
func TestWhichWatchedFilesForceOff(t *testing.T) {
	for text, want := range map[string]bool{
		`{"global": {"switch": "FORCE_OFF"}}`:                                       true,
		`{"x": [1], "global": {"switch": "FORCE_OFF", "interval": 1}, "app": null}`: true,
		`{"global": {"switch": "OFF"}, "app": {"switch": "FORCE_OFF"}}`:             false,
		`{"global": {"Switch": "FORCE_OFF"}}`:                                       false,
		`{"Global": {"switch": "FORCE_OFF"}}`:                                       false,
		`{"global": {"switch": ["FORCE_OFF"]}}`:                                     false,
		`{"global": {"switch": "force_off"}}`:                                       false,
		`{"global": {"switch": "FORCE_OFF"}`:                                        false,
		`{"global": {"switch": "FORCE_OFF"}} x`:                                     false,
		`{"a": {"global": {"switch": "FORCE_OFF"}}}`:                                false,
		`[]`:   false,
		``:     false,
		`null`: false,
	} {
		if got := forcesOff([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
