package dump_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// put writes a file of a dump directory. Names that end with .gz are compressed.
func put(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if strings.HasSuffix(name, ".gz") {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(content) // into memory
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		content = b.Bytes()
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// line returns a hex_meta line of connection 1 in window, after seconds.
func line(window string, seconds int, offset uint64, text string) []byte {
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.9.9.9:8080")
	f.Window = window
	return hexlog.NewMetaEncoder().Data(nil, dumptest.Time+int64(seconds)*1e9, f, record.In, offset, []byte(text))
}

// segment returns a segment with the same content.
func segment(window string, id int, seconds int, offset uint64, text string) []byte {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", id, "10.0.0.1:50000", "10.9.9.9:8080")
	f.Window, f.FromStart, f.Next.In = window, false, offset
	now := dumptest.Time + int64(seconds)*1e9
	return encoder.Data(encoder.Open(file, now, f), now, f, record.In, offset, []byte(text))
}

// segmentName returns the name of a segment.
func segmentName(window string, seconds int, number int) string {
	opened := time.Unix(0, dumptest.Time).Add(time.Duration(seconds) * time.Second).UTC()
	return layout.Segment{Opened: opened, Window: window, Run: "k3v9qa", Number: number}.Name()
}

// payloads returns the payload of all data records under paths, in their order.
func payloads(t *testing.T, o dump.Options, paths ...string) (texts []string, damage []*record.DamageError) {
	t.Helper()
	d, err := dump.Open(paths, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	records, damage, err := dumptest.Collect(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Kind == record.KindData {
			texts = append(texts, string(r.Data))
		}
	}
	return texts, damage
}

const (
	windowA = "aaaaaaaa-0000-4000-8000-000000000001"
	windowC = "cccccccc-0000-4000-8000-000000000003"
	windowB = "bbbbbbbb-0000-4000-8000-000000000002"
)

func TestArchivesAndLogAreOneStream(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "dump_tcp_copy.log", line(windowA, 5, 9, "five"))
	put(t, dir, "dump_tcp_copy-2024-05-06T10-00-00.001.log", line(windowA, 4, 7, "four"))
	put(t, dir, "dump_tcp_copy-2024-05-06T10-00-00.000.log.gz", line(windowA, 3, 5, "three"))
	put(t, dir, "dump_tcp_copy-2024-05-06T10-00-00.001.log.gz", line(windowA, 4, 7, "four")) // being compressed
	put(t, dir, "dump_tcp_copy-2024-05-06T10-00-00.002.log.gz.tmp", []byte("half"))
	put(t, dir, "dump_tcp_copy.log.2024-05-01", line(windowA, 1, 0, "one"))
	put(t, dir, "dump_tcp_copy.log.2024-05-01_15", line(windowA, 2, 3, "two"))
	put(t, dir, "dump_portrait_data.log", []byte("[w][RPC][8080]{}\n"))
	got, damage := payloads(t, dump.Options{}, dir)
	if want := []string{"one", "two", "three", "four", "five"}; !slices.Equal(got, want) || len(damage) > 0 {
		t.Errorf("got %q, want %q, damage %v", got, want, damage)
	}
}

func TestSegmentsAreMergedByTime(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, segmentName(windowA, 0, 1), segment(windowA, 1, 1, 0, "one"))
	put(t, dir, segmentName(windowA, 0, 2)+".gz", segment(windowA, 1, 4, 3, "four"))
	put(t, dir, segmentName(windowB, 2, 1), append(segment(windowB, 1, 3, 0, "three"), segment(windowB, 2, 5, 0, "five")...))
	put(t, dir, "dump_tcp_copy.log", line("cccccccc-0", 2, 0, "two"))
	got, damage := payloads(t, dump.Options{}, dir)
	if want := []string{"one", "two", "three", "four", "five"}; !slices.Equal(got, want) || len(damage) > 0 {
		t.Errorf("got %q, want %q, damage %v", got, want, damage)
	}
	got, _ = payloads(t, dump.Options{}, filepath.Join(dir, segmentName(windowA, 0, 2)+".gz"))
	if !slices.Equal(got, []string{"four"}) {
		t.Errorf("one file alone gives %q", got)
	}
}

func TestWindowThatIsThereTwiceIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "dump_tcp_copy.log", slices.Concat(line(windowA, 1, 0, "A in lines"), line(windowB, 3, 0, "B in lines")))
	put(t, dir, segmentName(windowA, 0, 1), segment(windowA, 1, 1, 0, "A in a segment"))
	put(t, dir, segmentName(windowB, 2, 2), segment(windowB, 1, 4, 0, "B's second segment"))
	for _, c := range []struct {
		format dump.Format
		want   []string
	}{
		// Of B's segments the first has been removed: the lines have more.
		{dump.FormatAny, []string{"A in a segment", "B in lines", "B's second segment"}},
		{dump.FormatHex, []string{"A in lines", "B in lines"}},
		{dump.FormatPcapng, []string{"A in a segment", "B's second segment"}},
	} {
		if got, _ := payloads(t, dump.Options{Format: c.format}, dir); !slices.Equal(got, c.want) {
			t.Errorf("format %q gives %q, want %q", c.format, got, c.want)
		}
	}
}

func TestMissingSegmentsAreNamed(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, segmentName(windowA, 0, 1), segment(windowA, 1, 1, 0, "one"))
	put(t, dir, segmentName(windowA, 0, 3), segment(windowA, 1, 3, 9, "three"))
	got, damage := payloads(t, dump.Options{}, dir)
	missing := filepath.Join(dir, segmentName(windowA, 0, 2))
	if !slices.Equal(got, []string{"one", "three"}) || len(damage) != 1 || damage[0].File != missing || !errors.Is(damage[0], record.ErrMissing) {
		t.Errorf("got %q, damage %v, want %s", got, damage, missing)
	}

	index := layout.WindowLine{Window: windowA, Files: []string{segmentName(windowA, 0, 1), segmentName(windowA, 0, 2), segmentName(windowA, 0, 3), segmentName(windowA, 0, 4)}}
	index.Removed = []string{segmentName(windowA, 0, 2)}
	text, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, layout.Index, append(text, '\n'))
	_, damage = payloads(t, dump.Options{}, dir)
	missing = filepath.Join(dir, segmentName(windowA, 0, 4))
	if len(damage) != 1 || damage[0].File != missing {
		t.Errorf("damage %v, want %s: the other one was removed by retention", damage, missing)
	}
}

func TestSegmentsIdentifyConnectionsAlone(t *testing.T) {
	encoder := pcapng.NewEncoder()
	header, _ := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.9.9.9:8080")
	first := encoder.Data(encoder.Open(slices.Clone(header), dumptest.Time, f), dumptest.Time, f, record.In, 0, []byte("one"))
	encoder.NewSegment()
	second := encoder.Data(slices.Clone(header), dumptest.Time+1, f, record.In, 3, []byte("two"))

	alone := readAll(t, second)
	if len(alone) != 2 || alone[0].Kind != record.KindOpen || alone[0].Base.In != 3 || alone[1].Conn != f.Conn || alone[1].Offset != 3 {
		t.Errorf("the second segment alone gives %+v", alone)
	}
	dir := t.TempDir()
	put(t, dir, segmentName(dumptest.Window, 0, 1), first)
	put(t, dir, segmentName(dumptest.Window, 0, 2), second)
	d, err := dump.Open([]string{dir}, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	both, _, err := dumptest.Collect(d)
	if err != nil || len(both) != 3 || both[0].Kind != record.KindOpen || both[2].Offset != 3 {
		t.Errorf("both segments give %+v, %v", both, err)
	}
}

func TestADirectoryWithoutADumpIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := dump.Open([]string{dir}, dump.Options{}); !errors.Is(err, dump.ErrNoDump) {
		t.Errorf("error %v, want ErrNoDump", err)
	}
	if _, err := dump.Open([]string{filepath.Join(dir, "no")}, dump.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func TestFiltersLeaveOutWhatIsNotWanted(t *testing.T) {
	dir := t.TempDir()
	events := dumptest.RandomEvents(5, 12)
	put(t, dir, "dump_tcp_copy.log", dumptest.Encode(nil, hexlog.NewMetaEncoder(), events))
	in := record.In
	middle := events[len(events)/2].Record.Time
	for name, f := range map[string]dump.Filter{
		"window": {Window: dumptest.Window[:5]}, "other window": {Window: "0"}, "connection": {Conn: "k3v9qa-3"}, "port": {Port: "5353"},
		"since": {Since: middle}, "until": {Until: middle}, "direction": {Only: &in},
	} {
		d, err := dump.Open([]string{dir}, dump.Options{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		records, _, err := dumptest.Collect(d)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, e := range events {
			r := e.Record
			if strings.HasPrefix(r.Window, f.Window) && (f.Conn == "" || r.Conn == f.Conn) && (f.Port == "" || r.Port == f.Port) &&
				!r.Time.Before(f.Since) && (f.Until.IsZero() || r.Time.Before(f.Until)) &&
				(f.Only == nil || r.Kind == record.KindOpen || r.Kind == record.KindClose || r.Direction == in) {
				want++
			}
		}
		if len(records) != want {
			t.Errorf("%s: %d records, want %d", name, len(records), want)
		}
	}
}

func TestProgressReachesTheEnd(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "dump_tcp_copy.log", line(windowA, 5, 9, "five"))
	d, err := dump.Open([]string{dir}, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for {
		if _, err := d.Next(); errors.Is(err, io.EOF) {
			break
		}
	}
	if read, total := d.Progress(); read != total || total == 0 {
		t.Errorf("read %d of %d bytes", read, total)
	}
}
