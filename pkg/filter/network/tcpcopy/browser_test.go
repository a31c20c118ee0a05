package tcpcopy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/openfile"
)

const (
	chrome  = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
	safari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.1 Safari/605.1.15"
	pwsh    = "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.22631; en-US) PowerShell/7.4.1"
	pageTop = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
)

type headers map[string]string

// adminRequests are all requests of the admin API.
var adminRequests = []struct{ method, target string }{
	{"GET", "/api/v1/tcpcopy"},
	{"PUT", "/api/v1/tcpcopy/config?layer=app"},
	{"POST", "/api/v1/tcpcopy/window?seconds=3600"},
	{"DELETE", "/api/v1/tcpcopy/window"},
	{"GET", "/api/v1/tcpcopy/stream"},
}

// send sends a request from the loopback with headers, of which Host is the host, and returns
// the answer. A live stream is ended when it has begun.
func (h *harness) send(a *admin, method, target string, with headers) (code int, answer string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req := httptest.NewRequest(method, target, strings.NewReader(goodConfig)).WithContext(ctx)
	req.RemoteAddr, req.Host = "127.0.0.1:4242", "127.0.0.1:34901"
	for name, value := range with {
		if name == "Host" {
			req.Host = value
			continue
		}
		for _, v := range strings.Split(value, "|") {
			req.Header.Add(name, v)
		}
	}
	w := httptest.NewRecorder()
	if req.URL.Path == streamPath {
		cancel()
	}
	map[string]http.HandlerFunc{statusPath: a.status, configPath: a.config, windowPath: a.window, streamPath: a.stream}[req.URL.Path](w, req)
	return w.Code, w.Body.String()
}

// What a page of another site can have a browser send is refused, whatever it asks for, also
// with a token.
func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	h := newHarness(t, object{})
	for name, c := range map[string]struct {
		headers headers
		why     string
	}{
		"img":                    {headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "User-Agent": chrome}, "Sec-Fetch-Site"},
		"another port":           {headers{"Sec-Fetch-Site": "same-site"}, "Sec-Fetch-Site"},
		"a link":                 {headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, "Sec-Fetch-Site"},
		"no word":                {headers{"Sec-Fetch-Site": ""}, "Sec-Fetch-Site"},
		"a word of the future":   {headers{"Sec-Fetch-Site": "cross-origin-isolated"}, "Sec-Fetch-Site"},
		"upper case":             {headers{"Sec-Fetch-Site": "Cross-Site"}, "Sec-Fetch-Site"},
		"two of them":            {headers{"Sec-Fetch-Site": "none|cross-site"}, "Sec-Fetch-Site"},
		"both in one":            {headers{"Sec-Fetch-Site": "none, cross-site"}, "Sec-Fetch-Site"},
		"no-cors without a site": {headers{"Sec-Fetch-Mode": "no-cors"}, "Sec-Fetch-Mode"},
		"a WebSocket":            {headers{"Sec-Fetch-Mode": "websocket"}, "Sec-Fetch-Mode"},
		"image without a site":   {headers{"Sec-Fetch-Dest": "image"}, "Sec-Fetch-Dest"},
		"script":                 {headers{"Sec-Fetch-Dest": "script"}, "Sec-Fetch-Dest"},
		"frame of the same site": {headers{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "iframe"}, "Sec-Fetch-Dest"},
		"Origin":                 {headers{"Origin": "http://evil.example"}, "Origin"},
		"Origin null":            {headers{"Origin": "null"}, "Origin"},
		"Origin, another port":   {headers{"Origin": "http://127.0.0.1:8080"}, "Origin"},
		"Origin, another name":   {headers{"Origin": "http://localhost:34901"}, "Origin"},
		"Origin of a part":       {headers{"Origin": "http://127.0.0.1:34901.evil.example"}, "Origin"},
		"Origin and none":        {headers{"Origin": "http://evil.example", "Sec-Fetch-Site": "none"}, "Origin"},
		"Referer":                {headers{"Referer": "http://evil.example/page"}, "Referer"},
		"Referer with our name":  {headers{"Referer": "http://127.0.0.1:34901@evil.example/"}, "Referer"},
		"Referer of a file":      {headers{"Referer": "file:///tmp/x.html"}, "Referer"},
		"Referer that is none":   {headers{"Referer": "::"}, "Referer"},
		"accepts images":         {headers{"Accept": "image/avif,image/webp,*/*;q=0.8"}, "Accept"},
		"accepts style":          {headers{"Accept": "text/css,*/*;q=0.1"}, "Accept"},
		"accepts video":          {headers{"Accept": "VIDEO/webm,*/*"}, "Accept"},
		"a rebound name":         {headers{"Host": "evil.example:34901", "User-Agent": safari}, "evil.example"},
		"and with its site":      {headers{"Host": "evil.example:34901", "Sec-Fetch-Site": "same-origin"}, "evil.example"},
		"and like an address":    {headers{"Host": "127.0.0.1.evil.example", "User-Agent": chrome}, "evil.example"},
	} {
		for _, token := range []bool{false, true} {
			a := &admin{recorder: h.recorder}
			if token {
				path := h.dir + "/token"
				write(t, path, "sesame")
				a.token.Store(openfile.NewFileSource(path, maxToken))
			}
			for _, r := range adminRequests {
				with := headers{"Authorization": "Bearer sesame"}
				for k, v := range c.headers {
					with[k] = v
				}
				code, answer := h.send(a, r.method, r.target, with)
				if code != 403 || !strings.Contains(answer, c.why) || !strings.Contains(answer, `"error"`) {
					t.Errorf("%s: %s %s: %d %.200s, want 403 and %q", name, r.method, r.target, code, answer, c.why)
				}
			}
		}
	}
	if s := h.recorder.status(); s.Window != nil || s.Switch.App.Interval == 60 || s.Live.Streams != 0 {
		t.Errorf("a refused request has changed something: %+v", s)
	}
}

// A browser that says nothing may see the status, and needs a token for the rest.
func TestBrowsersThatSayNothingMaySeeTheStatus(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	for name, with := range map[string]headers{
		"Safari":        {"User-Agent": safari},
		"Opera":         {"User-Agent": "Opera/9.80 (X11; Linux i686) Presto/2.12.388 Version/12.16"},
		"address bar":   {"User-Agent": chrome, "Accept": pageTop, "Upgrade-Insecure-Requests": "1"},
		"another agent": {"User-Agent": "x", "Sec-CH-UA": `"Chromium";v="126"`},
	} {
		for _, r := range adminRequests {
			code, answer := h.send(a, r.method, r.target, with)
			if r.target == "/api/v1/tcpcopy" {
				if code != 200 {
					t.Errorf("%s: the status is %d %s", name, code, answer)
				}
			} else if code != 403 || !strings.Contains(answer, "Sec-Fetch-Site") {
				t.Errorf("%s: %s %s: %d %.200s", name, r.method, r.target, code, answer)
			}
		}
	}
}

// What people and programs send goes on working.
func TestPeopleAndProgramsAreAnswered(t *testing.T) {
	for name, with := range map[string]headers{
		"curl":                 {"User-Agent": "curl/8.5.0", "Accept": "*/*"},
		"nothing":              {},
		"wget":                 {"User-Agent": "Wget/1.21", "Accept": "*/*", "Accept-Encoding": "identity"},
		"Go":                   {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"},
		"kubelet":              {"User-Agent": "kube-probe/1.30", "Accept": "*/*", "Connection": "close"},
		"Prometheus":           {"User-Agent": "Prometheus/2.53.0", "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "X-Prometheus-Scrape-Timeout-Seconds": "10"},
		"Python":               {"User-Agent": "python-requests/2.32", "Accept": "*/*"},
		"node":                 {"User-Agent": "node", "Accept": "*/*", "Accept-Language": "*", "Sec-Fetch-Mode": "cors"},
		"PowerShell":           {"User-Agent": pwsh},
		"a port-forward":       {"Host": "localhost:8443", "User-Agent": "curl/8.5.0"},
		"the address bar":      {"User-Agent": chrome, "Accept": pageTop, "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1", "Upgrade-Insecure-Requests": "1"},
		"a page of the server": {"User-Agent": chrome, "Accept": "*/*", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Referer": "http://127.0.0.1:34901/"},
	} {
		h := newHarness(t, object{})
		a := &admin{recorder: h.recorder}
		for _, r := range adminRequests {
			if code, answer := h.send(a, r.method, r.target, with); code != 200 {
				t.Errorf("%s: %s %s: %d %.200s", name, r.method, r.target, code, answer)
			}
		}
		h.recorder.close(false)
	}
	// By a name of the network, the status alone.
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	for _, host := range []string{"mosn.shop.svc.cluster.local:34901", "shop-1:34901", "192.0.2.7:34901", "[2001:db8::7]:34901", "[::1]:34901"} {
		if code, answer := h.send(a, "GET", "/api/v1/tcpcopy", headers{"Host": host, "User-Agent": "curl/8.5.0"}); code != 200 {
			t.Errorf("%s: %d %s", host, code, answer)
		}
	}
	for _, host := range []string{"shop-1:34901", "192.0.2.7:34901", "app.localhost:34901", "LOCALHOST"} {
		if code, answer := h.send(a, "GET", "/api/v1/tcpcopy", headers{"Host": host, "User-Agent": safari}); code != 200 {
			t.Errorf("%s in a browser: %d %s", host, code, answer)
		}
	}
}
