package dump_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// benchFile writes a file of about 64 MiB with records of size bytes of 64
// connections.
func benchFile(b *testing.B, name string, file []byte, encoder record.Encoder, size int) string {
	path := filepath.Join(b.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var flows []*record.Flow
	for i := range 64 {
		flows = append(flows, dumptest.NewFlow("tcp", i+1, fmt.Sprintf("10.0.0.%d:50000", i+1), "10.9.9.9:8080"))
		file = encoder.Open(file, dumptest.Time, flows[i])
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7)
	}
	var offsets [64]uint64
	written := 0
	for i := 0; written < 64<<20; i++ {
		c := i % 64
		file = encoder.Data(file, dumptest.Time+int64(i)*1000, flows[c], record.In, offsets[c], data)
		offsets[c] += uint64(size)
		if len(file) > 1<<20 {
			n, err := f.Write(file)
			if err != nil {
				b.Fatal(err)
			}
			written += n
			file = file[:0]
		}
	}
	if _, err := f.Write(file); err != nil {
		b.Fatal(err)
	}
	return path
}

func benchmarkRead(b *testing.B, path string) {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		d, err := dump.Open([]string{path}, dump.Options{})
		if err != nil {
			b.Fatal(err)
		}
		streams := dump.NewStreams(nil, nil)
		for {
			r, err := d.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if err := streams.Add(r); err != nil {
				b.Fatal(err)
			}
		}
		d.Close()
	}
}

func BenchmarkReadPcapng(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			file, encoder := dumptest.NewFile()
			benchmarkRead(b, benchFile(b, "b.pcapng", file, encoder, size))
		})
	}
}

func BenchmarkReadHexMeta(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchmarkRead(b, benchFile(b, "b.log", nil, hexlog.NewMetaEncoder(), size))
		})
	}
}

func BenchmarkReadHex(b *testing.B) {
	benchmarkRead(b, benchFile(b, "b.log", nil, hexlog.NewEncoder(), 1<<10))
}
