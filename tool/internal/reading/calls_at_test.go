package reading_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// A byte of a stream is of the call whose request or answer it is in, whatever the filters
// leave out.
func TestCallsOfPlaces(t *testing.T) {
	const requests = 40
	e := hexlog.NewMetaEncoder()
	start := time.Unix(1_700_000_000, 0).UnixNano()
	var file []byte
	var places []*reading.Place
	var want []string
	for _, conn := range []string{"k3v9qa-1", "k3v9qa-2", "k3v9qa-3"} {
		of := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: "w", Conn: conn, Port: "8080", Network: "tcp", Peer: "10.0.0.1:1", Listener: "10.0.0.2:8080"}}, FromStart: true}
		file = e.Open(file, start, of)
		var next record.PerDirection
		put := func(dir record.Direction, text string, n int) {
			if conn != "k3v9qa-2" { // there is no place in it
				for _, at := range []int{0, len(text) / 2, len(text) - 1} {
					places = append(places, &reading.Place{Window: "w", Conn: conn, Direction: dir, Offset: next.Of(dir) + uint64(at)})
					want = append(want, fmt.Sprintf("%s#%d", conn, n))
				}
			}
			for len(text) > 0 {
				part := text[:min(len(text), 7+n%5)]
				start += 1e6
				file = e.Data(file, start, of, dir, next.Of(dir), []byte(part))
				next.Add(dir, uint64(len(part)))
				text = text[len(part):]
			}
		}
		for n := 1; n <= requests; n++ {
			body := strings.Repeat("x", n)
			put(record.In, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", n, n, body), n)
			put(record.Out, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, body), n)
		}
		// Bytes that are of nothing that is there.
		places = append(places, &reading.Place{Window: "w", Conn: conn, Direction: record.In, Offset: next.In + 1})
		want = append(want, "")
		places = append(places, &reading.Place{Window: "other", Conn: conn, Direction: record.In, Offset: 0})
		want = append(want, "")
	}
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out := record.Out
	q := &reading.Query{Path: path}
	q.Options.Filter.Only, q.Options.Filter.Since = &out, time.Unix(0, start)
	if _, err := q.CallsAt(context.Background(), calls.Options{}, places); err != nil {
		t.Fatal(err)
	}
	for i, p := range places {
		if p.Call != want[i] {
			t.Errorf("%s %v %d is of %q, want %q", p.Conn, p.Direction, p.Offset, p.Call, want[i])
		}
	}
}
