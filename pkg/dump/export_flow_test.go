package dump

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/internal/recent"
	"mosn.io/tcpcopy/pkg/record"
)

// The file does not say which connections there were the bytes of alone.
func TestAnExportIsTheSameHoweverManyConnectionsAreActive(t *testing.T) {
	for seed := range uint64(8) {
		export := func(most int) []byte {
			var file bytes.Buffer
			e := NewExporter(&file, "test")
			e.active.most = most
			rng := rand.New(rand.NewPCG(seed, 1))
			for _, window := range []string{dumptest.Window, "8c1b2f6e-0d0c-4c55-9a30-2f4a1c9b7d10"} {
				for _, event := range dumptest.RandomEvents(seed, 40) {
					r := event.Record
					r.Window = window
					if rng.IntN(4) == 0 {
						continue // it is not recorded
					}
					if r.Kind == record.KindOpen && rng.IntN(2) == 0 {
						r.HasBase = false // as in lines
					}
					if r.Kind == record.KindData && rng.IntN(4) == 0 {
						r.Data = []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
						r.Length = uint64(len(r.Data))
					}
					if err := e.Write(&r); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
			return fmt.Append(file.Bytes(), e.DecodeAs())
		}
		want := export(1 << 20)
		for _, most := range []int{1, 7} {
			if got := export(most); !bytes.Equal(got, want) {
				t.Errorf("seed %d: %d bytes with %d active connections are not the %d bytes with all", seed, len(got), most, len(want))
			}
		}
	}
}

// An export of many open connections needs little memory, with and without bytes.
func TestAnExportOfManyConnectionsNeedsLittleMemory(t *testing.T) {
	const (
		n    = recent.MaxConnections * 3 / 2
		most = 36 << 20
	)
	for name, data := range map[string]bool{"with bytes": true, "without bytes": false} {
		heap := func() int64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		e := NewExporter(io.Discard, "test")
		for i := range n {
			id := record.Identity{
				Window: dumptest.Window, Conn: fmt.Sprintf("k3v9qa-%d", i), Port: "8080", Network: "tcp",
				Peer: fmt.Sprintf("10.%d.%d.%d:5000", i>>16, i>>8&255, i&255), Listener: "10.9.9.9:8080",
			}
			r := record.Record{Kind: record.KindOpen, Identity: id, Time: time.Unix(0, dumptest.Time+int64(i))}
			if err := e.Write(&r); err != nil {
				t.Fatal(err)
			}
			if !data {
				continue
			}
			r.Kind, r.Data, r.Length = record.KindData, []byte("x"), 1
			if err := e.Write(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.openWaiting(); err != nil {
			t.Fatal(err)
		}
		if used := heap() - before; used > most {
			t.Errorf("%s: %d bytes, want %d at most", name, used, most)
		} else {
			t.Logf("%s: %d bytes", name, used)
		}
		if len(e.buf) > exportBuffer || cap(e.buf) > 2*exportBuffer+1<<20 {
			t.Errorf("%s: %d bytes wait to be written, in a buffer of %d", name, len(e.buf), cap(e.buf))
		}
		runtime.KeepAlive(e)
	}
}
