package test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// subscribe begins a live stream that the test's end closes.
func subscribe(t *testing.T, m *mosn) io.Reader {
	t.Helper()
	body, _, _ := openStream(t, m, "")
	return body
}

// openStream begins a live stream with those parameters, which leave or the test's end closes.
// window is the id of its live-only window, if it has one.
func openStream(t *testing.T, m *mosn, parameters string) (body io.Reader, window string, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Admin.URL("/api/v1/tcpcopy/stream"+parameters), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("the stream answers %s", answer.Status)
	}
	return answer.Body, answer.Header.Get("X-Tcpcopy-Window"), cancel
}

// growing is what has come of a stream so far.
type growing struct {
	mu  sync.Mutex
	all []byte // guarded by mu
}

func (g *growing) fill(r io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		g.mu.Lock()
		g.all = append(g.all, buf[:n]...)
		g.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (g *growing) bytes() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return bytes.Clone(g.all)
}

// readStreams decodes a capture and sorts its records by window and connection.
// Its end may be cut.
func readStreams(t *testing.T, capture []byte) map[string][]record.Record {
	t.Helper()
	path := filepath.Join(t.TempDir(), "live.pcapng")
	if err := os.WriteFile(path, capture, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dump.Open([]string{path}, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	streams := map[string][]record.Record{}
	for {
		r, err := d.Next()
		switch {
		case errors.Is(err, io.EOF):
			return streams
		case errors.Is(err, record.ErrTruncated):
			continue
		case err != nil:
			t.Fatal(err)
		}
		key := r.Window + " " + r.Conn
		streams[key] = append(streams[key], *r)
	}
}
