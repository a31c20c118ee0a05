package dump_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// metaLine returns a hex_meta line that a process in that zone writes.
func metaLine(in *time.Location, at time.Time, window string, offset int, text string) string {
	return fmt.Sprintf("%s [INFO] [%s][8080][k3v9qa-1 > %d]% x\n", at.In(in).Format("2006-01-02 15:04:05,000000"), window, offset, text)
}

// dumpDir writes files, and an index of windows that were open from and until two times.
func dumpDir(t *testing.T, files map[string]string, windows map[string][2]time.Time) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		if strings.HasSuffix(name, ".gz") {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write([]byte(text))
			_ = w.Close()
			text = b.String()
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var index []byte
	for id, span := range windows {
		index = (&layout.WindowLine{Window: id, Run: "k3v9qa", Opened: span[0].UTC(), Closed: span[1].UTC()}).AppendJSON(index)
	}
	if len(index) > 0 {
		if err := os.WriteFile(filepath.Join(dir, layout.Index), index, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readIn reads a dump as somebody in a zone does.
func readIn(t *testing.T, path string, in *time.Location) (records []record.Record, remarks []string) {
	t.Helper()
	d, err := dump.Open([]string{path}, dump.Options{Zone: in, Remark: func(s string) { remarks = append(remarks, s) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	records, damage, err := dumptest.Collect(d)
	if err != nil || len(damage) > 0 {
		t.Fatal(damage, err)
	}
	return records, remarks
}

// texts returns the payload of records, in their order.
func texts(records []record.Record) string {
	var all []string
	for _, r := range records {
		all = append(all, string(r.Data))
	}
	return strings.Join(all, " ")
}

func TestTimesOfLinesComeFromTheIndex(t *testing.T) {
	berlin, shanghai, kathmandu, kolkata, utc := zone(t, "Europe/Berlin"), zone(t, "Asia/Shanghai"), zone(t, "Asia/Kathmandu"), zone(t, "Asia/Kolkata"), time.UTC
	newYork, apia, marquesas, lordHowe := zone(t, "America/New_York"), zone(t, "Pacific/Apia"), zone(t, "Pacific/Marquesas"), zone(t, "Australia/Lord_Howe")
	day := time.Date(2026, 11, 27, 12, 0, 0, 0, utc)
	autumn := time.Date(2026, 10, 25, 1, 0, 0, 0, utc) // Berlin goes from +2 to +1
	spring := time.Date(2026, 3, 29, 1, 0, 0, 0, utc)  // and from +1 to +2
	type line struct {
		in *time.Location
		at time.Time
	}
	every := func(in *time.Location, from time.Time, step time.Duration, n int) (lines []line) {
		for i := range n {
			lines = append(lines, line{in, from.Add(time.Duration(i) * step)})
		}
		return lines
	}
	for name, c := range map[string]struct {
		windows [][]line
		reader  *time.Location
		remark  string // a part of the one that there is; empty: none
	}{
		"the reader's zone":             {[][]line{every(berlin, day, time.Second, 5)}, berlin, ""},
		"east of the reader":            {[][]line{every(shanghai, day, time.Second, 5)}, utc, ""},
		"west of the reader":            {[][]line{every(newYork, day, time.Second, 5)}, shanghai, ""},
		"half an hour":                  {[][]line{every(kolkata, day, time.Second, 5)}, berlin, ""},
		"three quarters of one":         {[][]line{every(kathmandu, day, time.Minute, 5)}, utc, ""},
		"the date line":                 {[][]line{every(apia, day, time.Second, 5)}, marquesas, ""},
		"half an hour of daylight time": {[][]line{every(lordHowe, time.Date(2026, 4, 4, 14, 55, 0, 0, utc), time.Minute, 10)}, utc, ""},
		"another zone later":            {[][]line{every(berlin, day, time.Second, 3), every(utc, day.Add(time.Hour), time.Second, 3), every(kolkata, day.Add(2*time.Hour), time.Second, 3)}, newYork, ""},
		"autumn":                        {[][]line{every(berlin, autumn.Add(-9*time.Minute), 2*time.Minute, 10)}, berlin, ""},
		"autumn, read elsewhere":        {[][]line{every(berlin, autumn.Add(-9*time.Minute), 2*time.Minute, 10)}, newYork, ""},
		"spring":                        {[][]line{every(berlin, spring.Add(-9*time.Minute), 2*time.Minute, 10)}, berlin, ""},
		"spring, read elsewhere":        {[][]line{every(berlin, spring.Add(-9*time.Minute), 2*time.Minute, 10)}, utc, ""},
		"a long autumn":                 {[][]line{every(berlin, autumn.Add(-3*time.Hour), 5*time.Minute, 70)}, berlin, "for certain"},
		"a long spring":                 {[][]line{every(berlin, spring.Add(-3*time.Hour), 5*time.Minute, 70)}, berlin, "for certain"},
		"a long autumn after a window":  {[][]line{every(berlin, autumn.Add(-4*time.Hour), time.Second, 3), every(berlin, autumn.Add(-3*time.Hour), 5*time.Minute, 70)}, berlin, ""},
		"a long spring after a window":  {[][]line{every(berlin, spring.Add(-4*time.Hour), time.Second, 3), every(berlin, spring.Add(-3*time.Hour), 5*time.Minute, 70)}, berlin, ""},
		"six hours of another zone":     {[][]line{every(shanghai, day, 10*time.Minute, 36)}, berlin, ""},
		"the repeated hour, twice":      {[][]line{every(berlin, autumn.Add(-30*time.Minute), time.Second, 3), every(berlin, autumn.Add(30*time.Minute), time.Second, 3)}, utc, ""},
	} {
		var text strings.Builder
		var want []time.Time
		windows := map[string][2]time.Time{}
		for i, lines := range c.windows {
			id := fmt.Sprintf("%08d-7f4e-4b5e-9d7b-0c8f3f1e2a44", i)
			windows[id] = [2]time.Time{lines[0].at, lines[len(lines)-1].at}
			for n, l := range lines {
				text.WriteString(metaLine(l.in, l.at, id, n, "x"))
				want = append(want, l.at)
			}
		}
		dir := dumpDir(t, map[string]string{layout.FlowLog: text.String()}, windows)
		for _, path := range []string{dir, filepath.Join(dir, layout.FlowLog)} {
			records, remarks := readIn(t, path, c.reader)
			if len(records) != len(want) {
				t.Fatalf("%s: %d records, want %d", name, len(records), len(want))
			}
			for i, r := range records {
				if !r.Time.Equal(want[i]) {
					t.Errorf("%s: line %d is of %v, want %v", name, i, r.Time.UTC(), want[i])
					break
				}
			}
			if path == dir && (len(remarks) > 1 || (len(remarks) == 1) != (c.remark != "") || len(remarks) == 1 && !strings.Contains(remarks[0], c.remark)) {
				t.Errorf("%s: remarks %q, want one with %q", name, remarks, c.remark)
			}
		}
	}
}

func TestTimesWithoutAnIndexAreTheReaders(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	day := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	text := metaLine(berlin, day, windowA, 0, "a") + metaLine(berlin, day.Add(time.Hour), windowB, 0, "b")
	for name, c := range map[string]struct {
		windows map[string][2]time.Time
		reader  *time.Location
		want    []time.Duration // after day
		remark  string
	}{
		"none":                {nil, berlin, []time.Duration{0, time.Hour}, "in the zone Europe/Berlin"},
		"none, elsewhere":     {nil, time.UTC, []time.Duration{time.Hour, 2 * time.Hour}, "in the zone UTC"},
		"of the first window": {map[string][2]time.Time{windowA: {day, day}}, time.UTC, []time.Duration{0, time.Hour}, "as those of the windows before"},
		"of another time":     {map[string][2]time.Time{windowA: {day.AddDate(1, 0, 0), day.AddDate(1, 0, 0)}, windowB: {day.Add(time.Hour), day.Add(time.Hour)}}, berlin, []time.Duration{0, time.Hour}, "not those of the index"},
	} {
		records, remarks := readIn(t, dumpDir(t, map[string]string{layout.FlowLog: text}, c.windows), c.reader)
		for i, r := range records {
			if !r.Time.Equal(day.Add(c.want[i])) {
				t.Errorf("%s: line %d is of %v, want %v", name, i, r.Time.UTC(), day.Add(c.want[i]))
			}
		}
		if len(records) != 2 || len(remarks) != 1 || !strings.Contains(remarks[0], c.remark) {
			t.Errorf("%s: %d records, remarks %q", name, len(records), remarks)
		}
	}
}

// Milliseconds are a count: MOSN's logger does not pad them.
func TestFractionsAreCounts(t *testing.T) {
	for fraction, want := range map[string]time.Duration{
		"7": 7 * time.Millisecond, "70": 70 * time.Millisecond, "700": 700 * time.Millisecond, "007": 7 * time.Millisecond, "0": 0,
		"000007": 7 * time.Microsecond, "7000": 7 * time.Millisecond, "123456": 123456 * time.Microsecond, "123456789": 123456789,
	} {
		records, _ := readIn(t, writeTemp(t, "x.log", []byte("2026-11-27 12:00:09,"+fraction+" [INFO] [w][8080]68 69\n")), time.UTC)
		if len(records) != 1 || records[0].Time.Sub(time.Date(2026, 11, 27, 12, 0, 9, 0, time.UTC)) != want {
			t.Errorf("%s: %v", fraction, records)
		}
	}
}

// The files of a log are in the order of their offsets and of the index, whatever their
// names say.
func TestLogsAreInTheOrderOfTheirContent(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	autumn := time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return autumn.Add(time.Duration(minutes) * time.Minute) }
	meta := func(minutes int, window string, offset int, text string) string {
		return metaLine(berlin, at(minutes), window, offset, text)
	}
	hex := func(minutes int, window, text string) string {
		return fmt.Sprintf("%s [INFO] [%s][8080]% x\n", at(minutes).In(berlin).Format("2006-01-02 15:04:05,000"), window, text)
	}
	archive := func(minutes int) string {
		return "dump_tcp_copy-" + at(minutes).In(berlin).Format("2006-01-02T15-04-05.000") + ".log"
	}
	now := layout.FlowLog
	for name, c := range map[string]struct {
		files   map[string]string
		windows map[string][2]time.Time
		remark  string
	}{
		"one connection through the repeated hour": {map[string]string{
			archive(-10): meta(-20, windowA, 0, "1"), archive(10): meta(5, windowA, 1, "2"), now: meta(15, windowA, 2, "3"),
		}, nil, "is not known"},
		"the same, compressed": {map[string]string{
			archive(-10) + ".gz": meta(-20, windowA, 0, "1"), archive(10) + ".gz": meta(5, windowA, 1, "2"), now: meta(15, windowA, 2, "3"),
		}, nil, "is not known"},
		"windows of lines without offsets": {map[string]string{
			archive(-10): hex(-20, windowA, "1"), archive(10): hex(5, windowB, "2"), now: hex(15, windowC, "3"),
		}, map[string][2]time.Time{windowA: {at(-21), at(-19)}, windowB: {at(4), at(6)}, windowC: {at(14), at(16)}}, ""},
		"the clock set back an hour between": {map[string]string{
			"dump_tcp_copy-2026-11-27T12-00-00.000.log": metaLine(berlin, at(100), windowA, 0, "1"),
			"dump_tcp_copy-2026-11-27T11-10-00.000.log": metaLine(berlin, at(101), windowA, 1, "2"), now: metaLine(berlin, at(102), windowA, 2, "3"),
		}, nil, "is not known"},
		"numbers of logrotate": {map[string]string{
			now + ".10.gz": meta(90, windowA, 0, "1"), now + ".9": meta(91, windowA, 1, "2"), now: meta(92, windowA, 2, "3"),
		}, nil, "is not known"},
		"numbers, without a start": {map[string]string{
			now + ".2.gz": hex(90, windowA, "1"), now + ".1": hex(91, windowA, "2"), now + ".0": hex(92, windowA, "3"),
		}, nil, "is not known"},
		"dates of logrotate": {map[string]string{
			now + "-20261025.gz": meta(90, windowA, 0, "1"), "dump_tcp_copy-20261026.log": meta(91, windowA, 1, "2"), now + "-20261027-1793000000": meta(92, windowA, 2, "3"),
		}, nil, "is not known"},
		"seconds": {map[string]string{
			now + "-1792900000": hex(90, windowA, "1"), now + "-1792900001.gz": hex(91, windowA, "2"), now: hex(92, windowA, "3"),
		}, nil, "is not known"},
		"a name of MOSN's roller": {map[string]string{
			now + ".2026-10-25_03": meta(90, windowA, 0, "1"), now + ".2026-10-25_04": meta(91, windowA, 1, "2"), now: meta(92, windowA, 2, "3"),
		}, nil, "is not known"},
		"lines without offsets through the repeated hour, in one window": {map[string]string{
			archive(5): hex(-10, windowA, "1"), archive(10): hex(5, windowA, "2"), now: hex(10, windowA, "3"),
		}, nil, "is not known"},
		"numbers of logrotate through the repeated hour": {map[string]string{
			now + ".2": hex(-10, windowA, "1"), now + ".1": hex(5, windowA, "2"), now: hex(10, windowA, "3"),
		}, nil, "is not known"},
		"archives of one second, whose lines are a little out of order": {map[string]string{
			"dump_tcp_copy-2026-10-25T04-31-02.100.log": "2026-10-25 04:31:02,120 [INFO] [" + windowA + "][8080]31\n",
			"dump_tcp_copy-2026-10-25T04-31-02.200.log": "2026-10-25 04:31:02,110 [INFO] [" + windowA + "][8080]32\n",
			now: "2026-10-25 04:31:02,105 [INFO] [" + windowA + "][8080]33\n",
		}, nil, "is not known"},
		"a copy that was left": {map[string]string{
			now + ".1": meta(90, windowA, 0, "1"), now: meta(90, windowA, 0, "1") + meta(91, windowA, 1, "2") + meta(92, windowA, 2, "3"),
		}, nil, "is a copy of"},
		"a copy of lines without offsets": {map[string]string{
			now + ".1": hex(90, windowA, "1") + hex(91, windowA, "2"), now: hex(90, windowA, "1") + hex(91, windowA, "2") + hex(92, windowA, "3"),
		}, nil, "is a copy of"},
	} {
		for _, reader := range []*time.Location{berlin} {
			records, remarks := readIn(t, dumpDir(t, c.files, c.windows), reader)
			if got := texts(records); got != "1 2 3" {
				t.Errorf("%s: %q", name, got)
			}
			if c.remark != "" && !strings.Contains(strings.Join(remarks, "\n"), c.remark) || c.remark == "" && len(remarks) > 0 {
				t.Errorf("%s: remarks %q, want %q", name, remarks, c.remark)
			}
			for i := range records[1:] {
				if records[i+1].Time.Before(records[i].Time.Add(-time.Second)) {
					t.Errorf("%s: %v after %v", name, records[i+1].Time.UTC(), records[i].Time.UTC())
				}
			}
		}
	}
}

// Files that were the recorder's and are not read are named, and what to do.
func TestUnreadFilesAreNamed(t *testing.T) {
	line := metaLine(time.UTC, time.Unix(1_700_000_000, 0), windowA, 0, "x")
	for name, want := range map[string]string{
		"dump_tcp_copy.log.2.zst": "zstd -d", "dump_tcp_copy.log.1.bz2": "bzip2 -d", "dump_tcp_copy.log-20261127.xz": "xz -d", "dump_tcp_copy.log.lz4": "lz4 -d",
		"dump_tcp_copy.log.old": "by its name", "dump_tcp_copy.log.bak": "by its name", "dump_tcp_copy.log~": "by its name", "dump_tcp_copy-x.log": "by its name",
		"20261123T164147Z_0c748822_ujr4v2_001.pcapng.zst": "zstd -d", "20261123T164147Z_0c748822_ujr4v2_001.pcapng.1": "by its name",
		"dump_windows.jsonl.2.gz": "gzip -d", "dump_windows.jsonl.old": "by its name", "dump_windows.jsonl.1": "",
		"dump_tcp_copy.log.gz.tmp": "", "out.pcapng": "", "notes.txt": "", "dump_portrait_data.log.1": "", "dump_mem_dump.log.1.zst": "",
	} {
		dir := dumpDir(t, map[string]string{layout.FlowLog: line, name: "?"}, map[string][2]time.Time{windowA: {time.Unix(1_700_000_000, 0), time.Unix(1_700_000_001, 0)}})
		_, remarks := readIn(t, dir, time.UTC)
		if want == "" && len(remarks) > 0 || want != "" && (len(remarks) != 1 || !strings.Contains(remarks[0], name) || !strings.Contains(remarks[0], want)) {
			t.Errorf("%s: %q, want %q", name, remarks, want)
		}
	}
}

// What another zone's clock has named is not passed over because of its name.
func TestArchivesOfOtherZonesAreNotTooOld(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	west := time.FixedZone("", -11*3600)
	dir := dumpDir(t, map[string]string{"dump_tcp_copy-" + at.In(west).Format("2006-01-02T15-04-05.000") + ".log": metaLine(west, at, windowA, 0, "x")}, map[string][2]time.Time{windowA: {at, at}})
	d, err := dump.Open([]string{dir}, dump.Options{Zone: zone(t, "Asia/Shanghai"), Filter: dump.Filter{Since: at.Add(-time.Minute)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if records, _, err := dumptest.Collect(d); err != nil || len(records) != 1 {
		t.Errorf("%d records, %v", len(records), err)
	}
}
