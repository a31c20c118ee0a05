package tcpcopy

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// request sends a request to the admin API as from loopback; change may change it.
func (h *harness) request(a *admin, method, target, body string, change func(*http.Request)) (code int, answer object, header http.Header) {
	h.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.RemoteAddr, req.Host = "127.0.0.1:4242", "127.0.0.1:34901"
	if change != nil {
		change(req)
	}
	w := httptest.NewRecorder()
	handler := map[string]http.HandlerFunc{statusPath: a.status, configPath: a.config, windowPath: a.window, streamPath: a.stream}[req.URL.Path]
	handler(w, req)
	if w.Header().Get("Content-Type") != "application/json" {
		h.t.Errorf("%s %s: content type %q", method, target, w.Header().Get("Content-Type"))
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		h.t.Errorf("%s %s: %v in %q", method, target, err, w.Body)
	}
	if reason, _ := answer["error"].(string); w.Code >= 400 && reason == "" {
		h.t.Errorf("%s %s: %d without a reason", method, target, w.Code)
	}
	return w.Code, answer, w.Header()
}

const goodConfig = `{"switch": "ON", "interval": 60, "duration": 5}`

func TestAdminRequestsGetTheirStatusCode(t *testing.T) {
	for _, c := range []struct {
		method, target, body string
		code                 int
		reason               string
	}{
		{"GET", "/api/v1/tcpcopy", "", 200, ""},
		{"HEAD", "/api/v1/tcpcopy", "", 200, ""},
		{"POST", "/api/v1/tcpcopy", "", 405, "GET, HEAD"},
		{"DELETE", "/api/v1/tcpcopy", "", 405, "GET, HEAD"},

		{"PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig, 200, ""},
		{"PUT", "/api/v1/tcpcopy/config?layer=global", `{"switch": "FORCE_OFF"}`, 200, ""},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", `{"switch": "FORCE_OFF"}`, 400, "ON, OFF"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", `{"interval": 1, "cpu_max_rate": 0}`, 400, "interval"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", `{"interval": 1, "cpu_max_rate": 0}`, 400, "cpu_max_rate"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", `{"speed": 1}`, 400, "speed"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig + goodConfig, 400, "text after"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", "", 400, "empty"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", "null", 400, "object"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", "{", 400, "JSON"},
		{"PUT", "/api/v1/tcpcopy/config?layer=both", goodConfig, 400, "app, global"},
		{"PUT", "/api/v1/tcpcopy/config", goodConfig, 400, "app, global"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app&layer=global", goodConfig, 400, "app, global"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app&layer=%zz", goodConfig, 400, "%zz"},
		{"PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig + strings.Repeat(" ", maxBody), 413, "65536 bytes"},
		{"GET", "/api/v1/tcpcopy/config", "", 405, "PUT"},
		{"POST", "/api/v1/tcpcopy/config?layer=app", goodConfig, 405, "PUT"},

		{"POST", "/api/v1/tcpcopy/window?seconds=1", "", 200, ""},
		{"POST", "/api/v1/tcpcopy/window?seconds=3600", "", 200, ""},
		{"POST", "/api/v1/tcpcopy/window?seconds=3601", "", 400, "1 … 3600"},
		{"POST", "/api/v1/tcpcopy/window?seconds=0", "", 400, "1 … 3600"},
		{"POST", "/api/v1/tcpcopy/window?seconds=-5", "", 400, "1 … 3600"},
		{"POST", "/api/v1/tcpcopy/window?seconds=1.5", "", 400, "1 … 3600"},
		{"POST", "/api/v1/tcpcopy/window?seconds=99999999999999999999", "", 400, "1 … 3600"},
		{"POST", "/api/v1/tcpcopy/window?seconds=1&seconds=3600", "", 400, "1 … 3600"},
		{"POST", "/api/v1/tcpcopy/window?seconds=1&guard=%zz", "", 400, "%zz"},
		{"POST", "/api/v1/tcpcopy/window?seconds=1&guard=off;", "", 400, "semicolon"},
		{"POST", "/api/v1/tcpcopy/window", "", 400, "1 … 3600"},
		{"DELETE", "/api/v1/tcpcopy/window", "", 404, "no window"},
		{"GET", "/api/v1/tcpcopy/window", "", 405, "POST, DELETE"},
		{"PUT", "/api/v1/tcpcopy/window?seconds=1", "", 405, "POST, DELETE"},

		{"POST", "/api/v1/tcpcopy/stream", "", 405, "GET"},
	} {
		h := newHarness(t, object{})
		a := &admin{recorder: h.recorder}
		code, answer, header := h.request(a, c.method, c.target, c.body, nil)
		reason, _ := answer["error"].(string)
		if code != c.code || !strings.Contains(reason, c.reason) {
			t.Errorf("%s %s %.40s: %d %q, want %d and %q", c.method, c.target, c.body, code, reason, c.code, c.reason)
		}
		if code == http.StatusMethodNotAllowed && header.Get("Allow") != c.reason {
			t.Errorf("%s %s: allowed %q", c.method, c.target, header.Get("Allow"))
		}
		h.recorder.close(false)
	}
}

// A window is opened, stands in the status, conflicts with another one, and is
// closed when its index line is written.
func TestAdminOpensAndClosesAWindow(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	before := time.Now()
	code, opened, _ := h.request(a, "POST", "/api/v1/tcpcopy/window?seconds=600", "", nil)
	id, _ := opened["window"].(string)
	closes, err := time.Parse(time.RFC3339Nano, opened["closes"].(string))
	if code != 200 || len(id) != 36 || err != nil || closes.Before(before.Add(600*time.Second)) {
		t.Fatalf("%d %v, %v", code, opened, err)
	}
	c := h.connect(h.factory)
	c.receive("hello")
	_, status, _ := h.request(a, "GET", "/api/v1/tcpcopy", "", nil)
	if w, _ := status["window"].(object); w["id"] != id || w["trigger"] != "manual" {
		t.Errorf("status %v", status["window"])
	}
	if code, answer, _ := h.request(a, "POST", "/api/v1/tcpcopy/window?seconds=1", "", nil); code != 409 || !strings.Contains(answer["error"].(string), id) {
		t.Errorf("a second one: %d %v", code, answer)
	}
	code, closed, _ := h.request(a, "DELETE", "/api/v1/tcpcopy/window", "", nil)
	if code != 200 || closed["window"] != id {
		t.Errorf("%d %v", code, closed)
	}
	if got := h.connections(); len(got) != 1 || text(got[0].In) != "hello" {
		t.Errorf("log %v", got)
	}
	if code, _, _ := h.request(a, "DELETE", "/api/v1/tcpcopy/window", "", nil); code != 404 {
		t.Errorf("again: %d", code)
	}
}

// An operator may insist on a window that the guard refuses; a word that is unknown is
// refused by name. A window that begins paused for want of space says so.
func TestAdminOpensUnguardedWindows(t *testing.T) {
	const target = "/api/v1/tcpcopy/window?seconds=60"
	h := newHarness(t, object{})
	h.recorder.close(false)
	host := testHost(t)
	host.meter = brokenMeter{}
	h.recorder = newRecorder("bbbbbb", host)
	t.Cleanup(func() { h.recorder.close(false) })
	h.factory = h.bind("test", h.into(object{"guard": "on"}))
	a := &admin{recorder: h.recorder}
	for _, word := range []string{"", "OFF", "0", "false", "on,off", "off&guard=off", "off&guard=on"} {
		code, answer, _ := h.request(a, "POST", target+"&guard="+word, "", nil)
		if reason, _ := answer["error"].(string); code != 400 || !strings.Contains(reason, "guard is") || !strings.Contains(reason, "on, off") {
			t.Errorf("guard=%s: %d %v", word, code, answer)
		}
	}
	for _, query := range []string{"", "&guard=on"} {
		if code, answer, _ := h.request(a, "POST", target+query, "", nil); code != 503 || !strings.Contains(answer["error"].(string), "out of order") {
			t.Errorf("%q: %d %v", query, code, answer)
		}
	}
	code, answer, _ := h.request(a, "POST", target+"&guard=off", "", nil)
	if code != 200 || answer["guard"] != "off" || answer["paused"] != nil {
		t.Fatalf("%d %v", code, answer)
	}
	h.connect(h.factory).receive("in spite of it")
	_, status, _ := h.request(a, "GET", "/api/v1/tcpcopy", "", nil)
	if w := status["window"].(object); w["guard"] != "off" || w["paused"] != false {
		t.Errorf("status %v", w)
	}
	h.request(a, "DELETE", "/api/v1/tcpcopy/window", "", nil)
	if w, err := oracle.FindWindow(h.dir, answer["window"].(string)); err != nil || w.Guard != "off" || w.Written.In != 14 || w.Lost.In != 0 {
		t.Errorf("index %+v, %v", w, err)
	}

	h.bind("test", h.into(object{"guard": "off", "output": object{"min_free": "99.999%"}}))
	if code, answer, _ := h.request(a, "POST", target, "", nil); code != 200 || answer["guard"] != nil || !strings.Contains(answer["paused"].(string), "output.min_free") {
		t.Errorf("without space: %d %v", code, answer)
	}
}

func TestAdminRefusesWindows(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=global", `{"switch": "FORCE_OFF"}`, nil)
	if code, answer, _ := h.request(a, "POST", "/api/v1/tcpcopy/window?seconds=1", "", nil); code != 409 || !strings.Contains(answer["error"].(string), "FORCE_OFF") {
		t.Errorf("forced off: %d %v", code, answer)
	}
	// The guard is down at its limits.
	h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=global", `{"switch": "OFF"}`, nil)
	busy := newRecorder("bbbbbb", host{log: testLog{t}, roller: func() string { return "" }, meter: brokenMeter{}})
	t.Cleanup(func() { busy.close(false) })
	if code, answer, _ := h.request(&admin{recorder: busy}, "POST", "/api/v1/tcpcopy/window?seconds=1", "", nil); code != 503 || !strings.Contains(answer["error"].(string), "out of order") {
		t.Errorf("guard down: %d %v", code, answer)
	}
	busy.close(false)
	for target, method := range map[string]string{"/api/v1/tcpcopy/window?seconds=1": "POST", "/api/v1/tcpcopy/window": "DELETE", "/api/v1/tcpcopy/config?layer=app": "PUT"} {
		if code, answer, _ := h.request(&admin{recorder: busy}, method, target, goodConfig, nil); code != 503 || !strings.Contains(answer["error"].(string), "closed") {
			t.Errorf("%s %s after the end: %d %v", method, target, code, answer)
		}
	}
	// A directory that cannot be written.
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	none := newRecorder("cccccc", testHost(t))
	t.Cleanup(func() { none.close(false) })
	none.hand() // records come without a listener
	none.parts.output = &outputSettings{dir: "/proc/none", formats: nil}
	if code, _, _ := h.request(&admin{recorder: none}, "POST", "/api/v1/tcpcopy/window?seconds=1", "", nil); code != 503 {
		t.Errorf("no place to write: %d", code)
	}
}

// A configuration that is refused is in the status with its source, and changes
// nothing.
func TestAdminShowsRefusedConfigurations(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig, nil)
	h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=app", `{"interval": 5}`, nil)
	s := h.recorder.status().Switch
	if s.App.Interval != 60 || s.AppChange == nil || !strings.Contains(s.AppChange.Error, "interval") || !strings.Contains(s.AppChange.Source, "127.0.0.1:4242") {
		t.Errorf("status %+v, %+v", s, s.AppChange)
	}
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	h := newHarness(t, object{})
	code, answer, _ := h.request(&admin{recorder: h.recorder}, "PUT", "/api/v1/tcpcopy/config?layer=app", "", func(req *http.Request) {
		req.Body = io.NopCloser(iotest.ErrReader(errors.New("gone")))
	})
	if code != 400 || !strings.Contains(answer["error"].(string), "gone") {
		t.Errorf("%d %v", code, answer)
	}
}

// What changes state is for loopback peers only, and not for what a browser or a
// proxy on this host passes on. The status is for all.
func TestOnlyLocalCallersMayChangeState(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	header := func(name string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set(name, "x") }
	}
	peer := func(address string) func(*http.Request) {
		return func(req *http.Request) { req.RemoteAddr = address }
	}
	hostName := func(name string) func(*http.Request) {
		return func(req *http.Request) { req.Host = name }
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		may    bool
		why    string
	}{
		"loopback":               {peer("127.0.0.1:1"), true, ""},
		"all of 127":             {peer("127.8.9.1:1"), true, ""},
		"IPv6":                   {peer("[::1]:1"), true, ""},
		"mapped":                 {peer("[::ffff:127.0.0.1]:1"), true, ""},
		"another machine":        {peer("192.0.2.1:1"), false, "192.0.2.1:1"},
		"mapped machine":         {peer("[::ffff:192.0.2.1]:1"), false, "192.0.2.1"},
		"no address":             {peer("@"), false, "@"},
		"localhost":              {hostName("localhost:34901"), true, ""},
		"no host":                {hostName(""), true, ""},
		"IPv6 host":              {hostName("[::1]:34901"), true, ""},
		"plain IPv6 host":        {hostName("[::1]"), true, ""},
		"a forged name":          {hostName("evil.example:34901"), false, "evil.example"},
		"a name of ours":         {hostName("localhost.evil.example"), false, "evil.example"},
		"another address":        {hostName("192.0.2.1"), false, "192.0.2.1"},
		"a page of another site": {header("Origin"), false, "Origin"},
		"X-Forwarded-For":        {header("X-Forwarded-For"), false, "X-Forwarded-For"},
		"Forwarded":              {header("Forwarded"), false, "Forwarded"},
		"X-Forwarded-Host":       {header("X-Forwarded-Host"), false, "X-Forwarded-Host"},
		"X-Real-IP":              {header("X-Real-IP"), false, "X-Real-Ip"},
		"Via":                    {header("Via"), false, "Via"},
		"X-Forwarded-Proto":      {header("X-Forwarded-Proto"), false, "X-Forwarded-Proto"},
		"Envoy":                  {header("x-envoy-external-address"), false, "X-Envoy-External-Address"},
		"True-Client-IP":         {header("True-Client-IP"), false, "True-Client-Ip"},
		"a WebSocket":            {header("Sec-WebSocket-Key"), false, "Sec-Fetch-Site"},
		"prefetched":             {header("Sec-Purpose"), false, "Sec-Fetch-Site"},
		"the root's localhost":   {hostName("localhost.:34901"), true, ""},
		"a forged name, rooted":  {hostName("localhost.evil.example."), false, "evil.example"},
	} {
		for target, method := range map[string]string{"/api/v1/tcpcopy/config?layer=app": "PUT", "/api/v1/tcpcopy/window": "DELETE", "/api/v1/tcpcopy/window?seconds=x": "POST"} {
			code, answer, _ := h.request(a, method, target, goodConfig, c.change)
			if reason, _ := answer["error"].(string); c.may == (code == 403) || !c.may && !strings.Contains(reason, c.why) {
				t.Errorf("%s: %s %s: %d %q", name, method, target, code, reason)
			}
		}
		if code, _, _ := h.request(a, "GET", "/api/v1/tcpcopy", "", c.change); code != 200 && c.why != "Origin" {
			t.Errorf("%s: the status is %d", name, code)
		}
	}
	if code, _, _ := h.request(a, "GET", "/api/v1/tcpcopy/stream", "", peer("192.0.2.1:1")); code != 403 {
		t.Errorf("payload for another machine: %d", code)
	}
}

// With a token file only the token counts, wherever the caller is.
func TestOnlyCallersWithTheTokenMayChangeState(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	path := filepath.Join(t.TempDir(), "token")
	a.token.Store(openfile.NewFileSource(path, maxToken))
	with := func(value string) func(*http.Request) {
		return func(req *http.Request) {
			req.RemoteAddr = "192.0.2.1:1"
			req.Header.Set("Authorization", value)
		}
	}
	send := func(change func(*http.Request)) (int, http.Header) {
		code, answer, header := h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig, change)
		if reason, _ := answer["error"].(string); strings.Contains(reason, "secret") {
			t.Errorf("the answer gives the token away: %q", reason)
		}
		return code, header
	}
	if code, _ := send(with("Bearer ")); code != 403 {
		t.Errorf("no file: %d", code)
	}
	if err := os.WriteFile(path, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _ := send(with("Bearer ")); code != 403 {
		t.Errorf("an empty file: %d", code)
	}
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]int{"Bearer secret": 200, "Bearer secret2": 401, "Bearer": 401, "": 401, "Basic secret": 401} {
		code, header := send(with(value))
		if code != want || code == 401 && header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: %d, %v", value, code, header)
		}
	}
	if code, _ := send(nil); code != 401 {
		t.Errorf("loopback without the token: %d", code)
	}
	if code, _, _ := h.request(a, "GET", "/api/v1/tcpcopy", "", nil); code != 200 {
		t.Errorf("the status needs a token: %d", code)
	}
	// The file may change at any time.
	if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _ := send(with("Bearer other")); code != 200 {
		t.Errorf("the new token: %d", code)
	}
}

func FuzzConfigRequest(f *testing.F) {
	for _, text := range []string{goodConfig, `{"switch": "FORCE_OFF"}`, `{"interval": 1e9}`, `{"switch": 1}`, "[]", "", "{}{}", `{"cpu_max_rate": 1e400}`} {
		f.Add("app", []byte(text))
		f.Add("global", []byte(text))
	}
	r := newRecorder("aaaaaa", host{log: silentLog{}, roller: func() string { return "" }, meter: idleMeter{}})
	defer r.close(false)
	a := &admin{recorder: r}
	f.Fuzz(func(t *testing.T, layer string, body []byte) {
		req := httptest.NewRequest(http.MethodPut, configPath, strings.NewReader(string(body)))
		req.RemoteAddr, req.Host = "127.0.0.1:1", ""
		req.URL.RawQuery = "layer=" + layer
		w := httptest.NewRecorder()
		a.config(w, req)
		var answer object
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v in %q", err, w.Body)
		}
		reason, _ := answer["error"].(string)
		if (w.Code == 200) == (reason != "") || w.Code != 200 && w.Code != 400 {
			t.Errorf("%d %q", w.Code, reason)
		}
		if s := r.controller.Status().Switch; s.App.Validate(model.LayerApp) != nil || s.Global.Validate(model.LayerGlobal) != nil {
			t.Errorf("in force: %+v", s)
		}
	})
}
