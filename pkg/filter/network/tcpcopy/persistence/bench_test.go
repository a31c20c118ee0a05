package persistence

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// BenchmarkSession offers records to a session that writes them to a real
// directory (TCPCOPY_BENCH_DIR, or a temporary one) as fast as it takes them. It
// reports the processor time of all that, kernel included, a gigabyte, and the
// share that found no room.
func BenchmarkSession(b *testing.B) {
	for _, format := range []Format{FormatPcapng, FormatHexMeta, FormatHex} {
		for _, size := range []int{1 << 10, 16 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", format, size>>10), func(b *testing.B) { benchmarkSession(b, format, size) })
		}
	}
}

func benchmarkSession(b *testing.B, format Format, size int) {
	dir := os.Getenv("TCPCOPY_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	dir, err := os.MkdirTemp(dir, "session-*") //nolint:usetesting // it may be another disk's
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := DefaultConfig()
	config.Dir, config.Formats, config.Workers = dir, []Format{format}, 2
	store, err := Open(config, Host{Run: "bench0"})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	session, err := store.OpenWindow(record.Window{ID: "3f0c9b9e-0000-4000-8000-000000000000", Opened: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	conns := make([]*Conn, 8)
	passed := make([]uint64, len(conns))
	for i := range conns {
		conns[i] = benchConn(i)
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7)
	}
	b.ReportAllocs()
	b.SetBytes(int64(size))
	before := cpuTime(b)
	b.ResetTimer()
	for i := range b.N {
		k := i % len(conns)
		pieces := [1][]byte{data}
		session.Data(conns[k], record.In, record.PerDirection{In: passed[k]}, pieces[:], size)
		passed[k] += uint64(size)
		// As a proxy that works for its bytes does: no faster than the disk.
		if i&1023 == 1023 {
			for session.Buffered() > config.BufferSize/8 {
				<-time.After(100 * time.Microsecond)
			}
		}
	}
	b.StopTimer()
	session.Close(time.Now())
	gigabytes := float64(b.N) * float64(size) / 1e9
	b.ReportMetric((cpuTime(b)-before).Seconds()/gigabytes, "cpu-s/GB")
	lost := store.Stats().Accounts.Lost
	b.ReportMetric(100*float64(lost.In)/float64(b.N*size), "%lost")
}

func benchConn(i int) *Conn {
	return &Conn{ID: uint64(i), Describe: func() record.Endpoint {
		client := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(40000+i))
		server := netip.MustParseAddrPort("198.51.100.1:80")
		return record.Endpoint{Identity: record.Identity{Conn: fmt.Sprintf("bench0-%d", i), Port: "80", ListenerName: "bench", Network: "tcp", Peer: client.String(), Listener: server.String()}, ClientAddr: client, ServerAddr: server}
	}}
}

func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
