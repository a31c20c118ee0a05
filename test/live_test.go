package test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// A live stream shows what is recorded as it passes, over several windows.
func TestALiveStreamShowsRecordsAsTheyPass(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	stream := subscribe(t, m)
	received := &growing{}
	go received.fill(stream) // ends with the stream, which the test's end closes

	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sayHear(t, conn, "before any window")
	for _, text := range []string{"in the first window", "in the second window"} {
		m.window(func() {
			sent := time.Now()
			sayHear(t, conn, text)
			eventually(t, "the live stream shows "+text, func() bool { return bytes.Count(received.bytes(), []byte(text)) == 2 })
			t.Logf("shown after %v", time.Since(sent))
		})
	}
	if bytes.Contains(received.bytes(), []byte("before any window")) {
		t.Error("the live stream shows what passed out of windows")
	}
	streams := readStreams(t, received.bytes())
	if len(streams) != 2 {
		t.Errorf("%d conversations, want one a window", len(streams))
	}
}

// A reader that stops reading loses records, and nobody else does.
func TestASlowLiveReaderLosesAlone(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base, roomy()), mosnproc.TCPProxy())))
	stream := subscribe(t, m)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id := m.open()
	// More than the queue and the sockets' buffers hold, until it shows; not faster
	// than the recorder under the race detector, whose own losses are not wanted.
	message := randomBytes(1, 256<<10)
	answer := make([]byte, len(message))
	eventually(t, "the stream loses records", func() bool {
		for range 2 {
			if _, err := conn.Write(message); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, answer); err != nil {
				t.Fatal(err)
			}
		}
		status, err := m.Admin.Status(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		return status.Live.Lost > 0
	})
	// The reader comes back and sees where it has missed something.
	received := &growing{}
	go received.fill(stream)
	eventually(t, "the stream tells of a gap", func() bool {
		sayHear(t, conn, "are you there?")
		return bytes.Contains(received.bytes(), []byte("gap conn=")) || bytes.Contains(received.bytes(), []byte("buffer_full"))
	})
	w := m.close(id)
	complete(t, w) // nothing is lost to the file
	gaps := 0
	for _, records := range readStreams(t, received.bytes()) {
		for _, r := range records {
			if r.Kind == record.KindGap && r.Reason == record.ReasonBufferFull.String() {
				gaps++
			}
		}
	}
	if gaps == 0 {
		t.Error("the stream has no gap")
	}
}

// subscribe begins a live stream that the test's end closes.
func subscribe(t *testing.T, m *mosn) io.Reader {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Admin.URL("/api/v1/tcpcopy/stream"), nil)
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
	return answer.Body
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
