package dump_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// smallDump returns a file in one format with two short connections.
func smallDump(format string) []byte {
	file, packets := dumptest.NewFile()
	var encoder record.Encoder = packets
	if format != "pcapng" {
		file, encoder = nil, hexlog.NewMetaEncoder()
	}
	a, b := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.9.9.9:8080"), dumptest.NewFlow("tcp", 2, "[2001:db8::1]:50000", "[2001:db8::2]:8080")
	file = encoder.Open(file, dumptest.Time, a)
	file = encoder.Data(file, dumptest.Time, a, record.In, 0, []byte("first request"))
	file = encoder.Open(file, dumptest.Time, b)
	file = encoder.Data(file, dumptest.Time, b, record.In, 0, []byte("other"))
	file = encoder.Data(file, dumptest.Time, a, record.Out, 0, []byte("first answer"))
	file = encoder.Gap(file, dumptest.Time, b, record.Out, 0, 70, record.ReasonGuard)
	file = encoder.Data(file, dumptest.Time, b, record.Out, 70, []byte("rest"))
	file = encoder.Close(file, dumptest.Time, b, "RemoteClose", record.PerDirection{In: 5, Out: 74})
	return encoder.Close(file, dumptest.Time, a, "LocalClose", record.PerDirection{In: 13, Out: 12})
}

func TestEveryPrefixIsReadUpToItsEnd(t *testing.T) {
	for _, format := range []string{"hex_meta", "pcapng"} {
		file := smallDump(format)
		whole := readAll(t, file)
		for n := range file {
			records, damage, err := readBytes(file[:n])
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", format, n, err)
			}
			if len(records) > len(whole) || len(records) == len(whole) && n < len(file)-200 {
				t.Fatalf("%s, %d bytes: %d records of %d", format, n, len(records), len(whole))
			}
			for i := range records {
				if fmt.Sprintf("%+v", records[i]) != fmt.Sprintf("%+v", whole[i]) {
					t.Fatalf("%s, %d bytes: record %d is\n%+v, want\n%+v", format, n, i, records[i], whole[i])
				}
			}
			for _, d := range damage {
				if d.File != "-" || d.Offset > int64(n) || len(damage) != 1 {
					t.Fatalf("%s, %d bytes: damage %v", format, n, damage)
				}
			}
			if format == "hex_meta" && n > 0 && (len(damage) == 1) == (file[n-1] == '\n') {
				t.Fatalf("%d bytes that end with %q: damage %v", n, file[n-1], damage)
			}
		}
	}
}

func TestFlippedBytesCostOnlyTheirRecords(t *testing.T) {
	for _, format := range []string{"hex_meta", "pcapng"} {
		file := smallDump(format)
		whole := readAll(t, file)
		known := map[string]bool{}
		for _, r := range whole {
			known[string(r.Data)] = true
		}
		for i := range file {
			for _, flip := range []byte{1, 0x80, 0xff} {
				damaged := bytes.Clone(file)
				damaged[i] ^= flip
				records, damage, err := readBytes(damaged)
				if err != nil {
					t.Fatalf("%s, byte %d: %v", format, i, err)
				}
				if len(records) < len(whole)-3 || len(records) < len(whole) && len(damage) == 0 && format == "pcapng" {
					t.Fatalf("%s, byte %d ^ %#x: %d records of %d, damage %v", format, i, flip, len(records), len(whole), damage)
				}
				for _, r := range records {
					// Lines have no checksum: a digit can turn into another one there.
					if format == "pcapng" && !known[string(r.Data)] {
						t.Fatalf("byte %d ^ %#x: wrong bytes %q passed for recorded ones", i, flip, r.Data)
					}
				}
			}
		}
	}
}

func TestGarbageBetweenRecordsCostsNoRecord(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	garbage := make([]byte, 3<<20)
	for i := range garbage {
		garbage[i] = byte(rng.Uint32())
	}
	for _, format := range []string{"hex_meta", "pcapng"} {
		file := smallDump(format)
		whole := readAll(t, file)
		both := append(bytes.Clone(file), garbage...)
		if format == "hex_meta" {
			both = append(both, '\n')
		}
		both = append(both, file...)
		records, damage, err := readBytes(both)
		if err != nil || len(records) != 2*len(whole) {
			t.Errorf("%s: %d records, want %d, error %v", format, len(records), 2*len(whole), err)
		}
		if len(damage) != 1 || damage[0].Offset != int64(len(file)) {
			t.Errorf("%s: damage %v, want one at %d", format, damage, len(file))
		}
	}
}

// repeated is a reader of n times b, after head and before tail.
func repeated(head string, b []byte, n int, tail string) io.Reader {
	readers := []io.Reader{strings.NewReader(head)}
	for range n {
		readers = append(readers, bytes.NewReader(b))
	}
	return io.MultiReader(append(readers, strings.NewReader(tail))...)
}

func TestLinesOfAGigabyteNeedLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("goes through two gigabytes")
	}
	const head = "2024-05-06 07:08:09,000000 [INFO] [w][8080][k3v9qa-1 > 7]"
	const last = "2024-05-06 07:08:10,000000 [INFO] [w][8080][k3v9qa-1 < 0]68 69\n"
	block := bytes.Repeat([]byte("61 "), 1<<20/3)
	n := 1 << 30 / len(block)
	for _, c := range []struct {
		name      string
		file      io.Reader
		wantBytes uint64
		damaged   bool
	}{
		{"bytes", repeated(head, block, n, "61\n"+last), uint64(n*len(block)/3) + 3, false},
		{"garbage", repeated("", bytes.Repeat([]byte("x"), 1<<20), 1<<10, "\n"+last), 2, true},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, err := dump.Open([]string{"-"}, dump.Options{Stdin: c.file})
		if err != nil {
			t.Fatal(err)
		}
		var got, next uint64 = 0, 7
		damage := 0
		for {
			r, err := d.Next()
			var damaged *record.DamageError
			if errors.As(err, &damaged) {
				damage++
				continue
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Direction == record.In {
				if r.Offset != next {
					t.Fatalf("%s: offset %d, want %d", c.name, r.Offset, next)
				}
				next += r.Length
			}
			got += r.Length
		}
		runtime.ReadMemStats(&after)
		if got != c.wantBytes || (damage == 1) != c.damaged {
			t.Errorf("%s: %d bytes and %d damaged places, want %d", c.name, got, damage, c.wantBytes)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: allocated %d bytes", c.name, used)
		}
	}
}

func TestGzipThatIsCutShortIsReadUpToItsEnd(t *testing.T) {
	var file []byte
	for range 2000 {
		file = append(file, smallDump("hex_meta")...)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(file) // into memory
	_ = z.Close()
	name := filepath.Join(t.TempDir(), "dump_tcp_copy-2024-05-06T07-08-09.000.log.gz")
	if err := os.WriteFile(name, zipped.Bytes()[:zipped.Len()/2], 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dump.Open([]string{name}, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	records, damage, err := dumptest.Collect(d)
	if err != nil || len(records) < 2000 || len(damage) == 0 || damage[0].File != name || damage[0].Offset == 0 {
		t.Errorf("%d records, damage %v, error %v", len(records), damage, err)
	}
}

// manyWindows is a reader of hex_meta lines of n windows, each with its own
// connections, some of which never end.
type manyWindows struct {
	encoder *hexlog.MetaEncoder
	n       int
	buf     []byte
	rest    []byte
}

func (m *manyWindows) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		if m.n == 0 {
			return 0, io.EOF
		}
		m.buf = m.buf[:0]
		for i := range 100 {
			f := dumptest.NewFlow("tcp", m.n*100+i, "10.0.0.1:50000", "10.9.9.9:8080")
			f.Window = fmt.Sprintf("00000000-0000-4000-8000-%012d", m.n)
			m.buf = m.encoder.Open(m.buf, dumptest.Time, f)
			for j := range uint64(10) {
				m.buf = m.encoder.Data(m.buf, dumptest.Time, f, record.In, j*4, []byte("data"))
			}
			if i%2 == 0 {
				m.buf = m.encoder.Close(m.buf, dumptest.Time, f, "RemoteClose", record.PerDirection{In: 40, Out: 0})
			}
		}
		m.rest = m.buf
		m.n--
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func TestMemoryDoesNotGrowWithTheDump(t *testing.T) {
	const windows = 300 // of 1150 records
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: &manyWindows{encoder: hexlog.NewMetaEncoder(), n: windows}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	done, records := 0, 0
	streams := dump.NewStreams(nil, func(*dump.Connection) error { done++; return nil })
	exporter := dump.NewExporter(io.Discard, "test")
	var early uint64
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := streams.Add(r); err != nil {
			t.Fatal(err)
		}
		if err := exporter.Write(r); err != nil {
			t.Fatal(err)
		}
		records++
		if records == windows*1150/10 {
			early = heap()
		}
	}
	late := heap()
	if err := streams.Finish(); err != nil {
		t.Fatal(err)
	}
	if done != windows*100 {
		t.Errorf("%d connections, want %d", done, windows*100)
	}
	// What is left of connections without an end, up to a bound.
	if late > early+24<<20 {
		t.Errorf("%d bytes in use at the end, %d at the beginning", late, early)
	}
	runtime.KeepAlive(exporter)
}
