package reading_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// Bytes of a body are of the stream whose frame has them, also where the bodies of several
// calls are interleaved.
func TestCallsOfInterleavedBodies(t *testing.T) {
	var wire bytes.Buffer
	wire.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&wire, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(framer.WriteSettings())
	const streams, rounds = 4, 5
	for i := range streams {
		block.Reset()
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", fmt.Sprintf("/%d", i)}, {":authority", "a"}} {
			check(encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		check(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndHeaders: true}))
	}
	var places []*reading.Place
	var want []string
	for round := range rounds {
		for i := range streams {
			body := strings.Repeat("x", 10+i)
			check(framer.WriteData(uint32(2*i+1), round == rounds-1, []byte(body)))
			for _, back := range []int{1, 5, len(body)} {
				places = append(places, &reading.Place{Window: "w", Conn: "k3v9qa-1", Direction: record.In, Offset: uint64(wire.Len() - back)})
				want = append(want, fmt.Sprintf("k3v9qa-1#%d", i+1))
			}
		}
	}
	start := time.Unix(1_700_000_000, 0).UnixNano()
	e := hexlog.NewMetaEncoder()
	of := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: "w", Conn: "k3v9qa-1", Port: "8080", Network: "tcp", Peer: "10.0.0.1:1", Listener: "10.0.0.2:8080"}}, FromStart: true}
	file := e.Open(nil, start, of)
	file = e.Data(file, start, of, record.In, 0, wire.Bytes())
	file = e.Close(file, start, of, "RemoteClose", record.PerDirection{In: uint64(wire.Len())})
	path := filepath.Join(t.TempDir(), "x.log")
	check(os.WriteFile(path, file, 0o600))
	q := &reading.Query{Path: path}
	_, err := q.CallsAt(context.Background(), calls.Options{}, places)
	check(err)
	for i, p := range places {
		if p.Call != want[i] {
			t.Errorf("byte %d is of %q, want %q", p.Offset, p.Call, want[i])
		}
	}
}
