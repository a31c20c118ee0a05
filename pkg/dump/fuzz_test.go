package dump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// readUntilEnd reads whatever is in file and checks what holds of any records.
func readUntilEnd(t *testing.T, file []byte, format dump.Format) {
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: bytes.NewReader(file), Format: format})
	if err != nil {
		return // a gzip header that is none
	}
	defer func() { _ = d.Close() }()
	streams := dump.NewStreams(nil, nil)
	exporter := dump.NewExporter(io.Discard, "fuzz")
	var bytesIn, damaged int
	limit := len(file)
	if bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		limit = math.MaxInt // compressed
	}
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if damaged++; damaged > max(limit, limit+1) {
				t.Fatal("more damage than bytes")
			}
			continue
		}
		bytesIn += len(r.Data)
		if r.Kind == record.KindData && r.Length != uint64(len(r.Data)) || bytesIn > limit {
			t.Fatalf("length %d of %d bytes, %d in all of a file of %d", r.Length, len(r.Data), bytesIn, len(file))
		}
		if err := exporter.Write(r); err != nil {
			t.Fatal(err)
		}
		if err := streams.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := streams.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := exporter.Flush(); err != nil {
		t.Fatal(err)
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add(smallDump("hex_meta"))
	f.Add([]byte("2024-10-27 02:08:09,7 [INFO] [w][8080]68 65\n2024-10-27 02:08:09,000007 [INFO] [w][8080]68 65\n"))
	f.Add([]byte("2024-05-06 07:08:09,000 [INFO] [w][8080]68 65\n2024-05-06 07:08:09,000 [INFO] [w][/a[b]][c][k-1 gap > 18446744073709551615 1] limit\n"))
	f.Fuzz(func(t *testing.T, file []byte) { readUntilEnd(t, file, dump.FormatHex) })
}

func FuzzReadPcapng(f *testing.F) {
	f.Add(smallDump("pcapng"))
	f.Add(segment(windowA, 1, 1, 1<<33, "text"))
	f.Add(bigEndian(smallDump("pcapng")))
	f.Add(withOptions(smallDump("pcapng"), "\x01\x00\x04\x00gap \x99\x00\x03\x00abc\x00\x00\x00\x00\x00"))
	f.Add(append(smallDump("pcapng"), rawBlock(binary.LittleEndian, 10, make([]byte, 100))...))
	f.Add(replacePackets(smallDump("pcapng"), func(_, packet []byte) []byte {
		return rawBlock(binary.LittleEndian, 3, append(binary.LittleEndian.AppendUint32(nil, uint32(len(packet))), packet...))
	}))
	f.Fuzz(func(t *testing.T, file []byte) { readUntilEnd(t, file, dump.FormatPcapng) })
}

func FuzzRead(f *testing.F) {
	f.Add(smallDump("hex_meta"))
	f.Add(smallDump("pcapng"))
	f.Fuzz(func(t *testing.T, file []byte) { readUntilEnd(t, file, dump.FormatAny) })
}
