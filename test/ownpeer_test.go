package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// A route of the proxy that leads to its own admin server makes nobody a loopback peer.
func TestARouteToTheAdminServerNeedsAToken(t *testing.T) {
	t.Parallel()
	base, web, plain := newBase(t), freeAddress(t), freeAddress(t)
	spec := fill(t, mosnproc.Spec{Base: base})
	admin := fmt.Sprintf("127.0.0.1:%d", spec.AdminPort)
	config := configOf(admin,
		mosnproc.NewListener("web", web, recorder(base), mosnproc.Proxy("Http1")),
		mosnproc.NewListener("plain", plain, recorder(base), mosnproc.TCPProxy()))
	p, err := spec.Start(deadline(t), config)
	if err != nil {
		t.Fatal(err)
	}
	m := watch(t, p)
	ctx := deadline(t)

	const open = windowPath + "?seconds=600"
	for _, address := range []string{web, plain} {
		for _, r := range []struct{ method, path, body string }{
			{http.MethodPost, open, ""},
			{http.MethodDelete, windowPath, ""},
			{http.MethodPut, "/api/v1/tcpcopy/config?layer=global", `{"switch":"FORCE_OFF"}`},
			{http.MethodGet, "/api/v1/tcpcopy/stream", ""},
		} {
			for _, host := range []string{"localhost", admin, "[::1]", ""} {
				code, text := patientRequest(ctx, t, address, r.method, r.path, host, r.body)
				if code != http.StatusForbidden || !strings.Contains(text, "this proxy itself") {
					t.Errorf("%s %s through %s: %d %s", r.method, r.path, address, code, text)
				}
			}
		}
		// Who sends a request and goes leaves nobody whose socket it was.
		for range 50 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", open); err != nil {
				t.Error(err)
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
		// The status is for all.
		if code, text := rawRequest(t, address, http.MethodGet, "/api/v1/tcpcopy", "localhost", ""); code != http.StatusOK {
			t.Errorf("the status through %s: %d %s", address, code, text)
		}
	}
	if status := mustStatus(ctx, t, m); status.Window != nil || status.Switch.Effective != "OFF" || status.Live.Streams != 0 {
		t.Errorf("a client of the proxy has changed something: %+v", status)
	}
	// This test is another process.
	if code, text := patientRequest(ctx, t, admin, http.MethodDelete, windowPath, "localhost", ""); code != http.StatusNotFound {
		t.Errorf("a request of its own: %d %s", code, text)
	}
	m.close(m.open())
}

// patientRequest is rawRequest, again as long as too many callers are being looked up: those
// who went wait for their turn too.
func patientRequest(ctx context.Context, t *testing.T, address, method, path, host, body string) (code int, text string) {
	t.Helper()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		code, text = rawRequest(t, address, method, path, host, body)
		if code != http.StatusServiceUnavailable || !strings.Contains(text, "many callers") || ctx.Err() != nil {
			return code, text
		}
		<-pause.C
	}
}

// rawRequest sends a request with that host and returns the status and the body.
func rawRequest(t *testing.T, address, method, path, host, body string) (code int, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, path, host, len(body), body); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://localhost"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		t.Fatalf("%s %s through %s: %v", method, path, address, err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(all)
}

// A page in a browser gets none of the four places for live streams, and changes nothing.
func TestAPageInABrowserGetsNoStream(t *testing.T) {
	t.Parallel()
	m, _ := echoMosn(t, newBase(t))
	ctx, client := deadline(t), &http.Client{}
	defer client.CloseIdleConnections()
	stream := m.Admin.URL("/api/v1/tcpcopy/stream")
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Sec-Fetch-Dest": {"script"}},
		{"Referer": {"http://evil.example/"}},
		{"Origin": {"null"}},
		{"Accept": {"image/avif,image/webp,*/*;q=0.8"}},
		{"User-Agent": {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.6 Safari/605.1.15"}},
	} {
		for range 5 {
			if code := request(ctx, client, http.MethodGet, stream, header); code != http.StatusForbidden {
				t.Errorf("%v: %d", header, code)
			}
		}
	}
	if n := mustStatus(ctx, t, m).Live.Streams; n != 0 {
		t.Errorf("%d streams are open", n)
	}
	if code := request(ctx, client, http.MethodGet, stream, http.Header{"User-Agent": {"curl/8.5.0"}}); code != http.StatusOK {
		t.Errorf("curl: %d", code)
	}
}
