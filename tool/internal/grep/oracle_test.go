package grep

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// httpCapture writes a capture of connections with HTTP/1.1, whose records are cut at random
// places, and returns its path.
func httpCapture(t *testing.T) (path string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	file, e := pcapng.AppendHead(nil, "mosn tcpcopy"), pcapng.NewEncoder()
	now := time.Unix(1_700_000_000, 0).UnixNano()
	for i := range 8 {
		of := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{
			Window: "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44", Conn: fmt.Sprintf("k3v9qa-%d", i+1), Port: "8080", Network: "tcp",
			Peer: fmt.Sprintf("10.0.0.%d:50000", i+1), Listener: "10.9.9.9:8080",
		}}, FromStart: true}
		of.ClientAddr, of.ServerAddr = netip.MustParseAddrPort(of.Peer), netip.MustParseAddrPort(of.Listener)
		file = e.Open(file, now, of)
		var next record.PerDirection
		put := func(dir record.Direction, text string) {
			for len(text) > 0 {
				n := min(len(text), 1+rng.IntN(40))
				now += 1e6
				file = e.Data(file, now, of, dir, next.Of(dir), []byte(text[:n]))
				next.Add(dir, uint64(n))
				text = text[n:]
			}
		}
		for n := range 40 {
			body := strings.Repeat("body ", rng.IntN(40))
			put(record.In, fmt.Sprintf("GET /%d?id=%d HTTP/1.1\r\nHost: a\r\nX-Request-Id: %d\r\n\r\n", i, n, rng.IntN(1000)))
			put(record.Out, fmt.Sprintf("HTTP/1.1 %d Word\r\nContent-Length: %d\r\n\r\n%s", 200+100*rng.IntN(4)+rng.IntN(4), len(body), body))
		}
		file = e.Close(file, now, of, "RemoteClose", next)
	}
	path = filepath.Join(t.TempDir(), "http.pcapng")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// grepCapture returns what the group of an expression finds in a capture, sorted.
func grepCapture(t *testing.T, path, expression string, dir record.Direction) (found []string) {
	t.Helper()
	group := regexp.MustCompile(expression)
	only := dir
	d, err := dump.Open([]string{path}, dump.Options{Filter: dump.Filter{Only: &only}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	s := New(mustCompile(t, expression, Options{}), 0, func(m *Match) error {
		found = append(found, string(group.FindSubmatch(m.Bytes)[1]))
		return nil
	})
	for {
		r, err := d.Next()
		if err != nil {
			break
		}
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// Wireshark, which joins streams itself, finds the same.
func TestTsharkFindsTheSame(t *testing.T) {
	tshark := program.Require(t, "tshark")
	path := httpCapture(t)
	for _, c := range []struct {
		filter, field, expression string
		dir                       record.Direction
	}{
		{"http.response", "http.response.code", `HTTP/1\.1 (\d{3}) Word`, record.Out},
		{"http.request", "http.request.uri", `GET (/\S*) HTTP`, record.In},
		{"http.request", "http.request.line", `(X-Request-Id: \d+)`, record.In},
	} {
		out, err := exec.Command(tshark, "-n", "-r", path, "-Y", c.filter, "-T", "fields", "-E", "occurrence=l", "-e", c.field).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSpace(string(out)), "\n")
		for i := range want {
			want[i] = strings.TrimSuffix(strings.TrimSpace(want[i]), `\r\n`)
		}
		slices.Sort(want)
		if got := grepCapture(t, path, c.expression, c.dir); !slices.Equal(got, want) || len(got) != 320 {
			t.Errorf("%s: %d matches, Wireshark has %d", c.expression, len(got), len(want))
		}
	}
}

// tcpflow writes the streams to files, in which regexp finds the same.
func TestTcpflowHasTheSame(t *testing.T) {
	tcpflow := program.Require(t, "tcpflow")
	path, dir := httpCapture(t), t.TempDir()
	if out, err := exec.Command(tcpflow, "-q", "-r", path, "-o", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.*.*.*.*-*"))
	if err != nil || len(files) != 16 {
		t.Fatalf("%d streams, %v", len(files), err)
	}
	const expression = `(body|[45]\d\d Word|id=\d+ HTTP)`
	for _, way := range record.Directions() {
		var want []string
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if isIn := bytes.HasPrefix(b, []byte("GET")); isIn != (way == record.In) {
				continue
			}
			for _, m := range regexp.MustCompile(expression).FindAll(b, -1) {
				want = append(want, string(m))
			}
		}
		slices.Sort(want)
		if got := grepCapture(t, path, expression, way); !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%v: %d matches, want %d", way, len(got), len(want))
		}
	}
}
