package persistence

import (
	"fmt"
	"os"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// BenchmarkRing offers records to a ring that nobody reads: one of the flight recorder, which
// gives up the oldest, and one of a window, whose reader only frees what it has. Of the flight
// recorder's it reports which share of the memory is payload: the rest is headers of
// connections and records, margins, and what batches have left.
func BenchmarkRing(b *testing.B) {
	for _, flight := range []bool{true, false} {
		for _, connections := range []int{8, 10_000} {
			for _, size := range []int{1 << 10, 16 << 10} {
				b.Run(fmt.Sprintf("flight=%t/connections=%d/%dKiB", flight, connections, size>>10), func(b *testing.B) {
					benchmarkRing(b, flight, connections, size)
				})
			}
		}
	}
}

func benchmarkRing(b *testing.B, flight bool, connections, size int) {
	config := DefaultConfig()
	config.Dir, config.Formats, config.Workers, config.Spool, config.BufferSize = b.TempDir(), []Format{FormatPcapng}, 2, SpoolOff, 256<<20
	if dir := os.Getenv("TCPCOPY_BENCH_SPOOL"); dir != "" {
		config.Spool = dir
	}
	store, err := Open(config, Host{Run: "bench0"})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	var ring *Ring
	var readers []*buffer.Reader
	payload := func() float64 { return 0 }
	if flight {
		f, err := store.OpenFlight(FlightOptions{Size: config.BufferSize, Window: windowID(900)})
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		defer f.Shut()
		ring = f.Ring
		payload = func() float64 { return float64(f.Stats().Evicted) }
	} else {
		m, err := store.allocate(record.Window{ID: windowID(1), Opened: time.Now()})
		if err != nil {
			b.Fatal(err)
		}
		defer m.encoders.Free()
		ring = newRing(store, m)
		defer ring.free()
		for _, sh := range ring.shards {
			readers = append(readers, sh.NewReader(0))
		}
	}
	conns := make([]*Conn, connections)
	for i := range conns {
		conns[i] = benchConn(i)
	}
	passed := make([]uint64, len(conns))
	data := make([]byte, size)
	offer := func(i int) {
		k := i % len(conns)
		pieces := [1][]byte{data}
		ring.Data(conns[k], record.In, record.PerDirection{In: passed[k]}, pieces[:], size)
		passed[k] += uint64(size)
		if !flight && i&1023 == 1023 {
			for _, r := range readers {
				for r.Next() != nil {
					r.Done()
				}
			}
		}
	}
	for i := range 3 * int(config.BufferSize) / size { // until it is full, with all that it knows
		offer(i)
	}
	b.ReportAllocs()
	b.SetBytes(int64(size))
	b.ResetTimer()
	for i := range b.N {
		offer(i)
	}
	b.StopTimer()
	if flight {
		all := 0.0
		for _, n := range passed {
			all += float64(n)
		}
		b.ReportMetric(100*(all-payload())/float64(config.BufferSize), "%payload")
	}
}
