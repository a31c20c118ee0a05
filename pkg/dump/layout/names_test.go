package layout_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

const window = "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44"

func segment(opened time.Time, run string, number int) string {
	return layout.Segment{Opened: opened, Window: window, Run: run, Number: number}.Name()
}

func TestSegmentNamesParseBack(t *testing.T) {
	opened := time.Date(2024, 5, 6, 15, 8, 9, 999, time.FixedZone("", 8*3600))
	for number, want := range map[int]string{1: "20240506T070809Z_5f3c9a52_k3v9qa_001.pcapng", 12345: "20240506T070809Z_5f3c9a52_k3v9qa_12345.pcapng"} {
		name := segment(opened, "k3v9qa", number)
		s, ok := layout.ParseSegment(name)
		if name != want || !ok || !s.Opened.Equal(opened.Truncate(time.Second)) || s.Window != "5f3c9a52" || s.Run != "k3v9qa" || s.Number != number || s.Name() != name {
			t.Errorf("name %q, want %q, parsed %+v %t", name, want, s, ok)
		}
	}
}

func TestOtherNamesAreNoSegments(t *testing.T) {
	for _, name := range []string{
		"", ".pcapng", "out.pcapng", "a_b_c_001.pcapng", "20240506T070809Z_5f3c9a52_k3v9qa_1.pcapng", "20240506T070809Z_5f3c9a52_k3v9qa_+01.pcapng",
		"20240506T070809Z__k3v9qa_001.pcapng", "20240506T070809Z_5f3c9a52__001.pcapng", "20240506T070809Z_5f3c9a52_k3v9qa_x_001.pcapng",
		"20240506T070809Z_5f3c9a52_k3v9qa_001.pcapng.gz", "20240506T070809Z_5f3c9a52_k3v9qa_001", "20241306T070809Z_5f3c9a52_k3v9qa_001.pcapng",
	} {
		if s, ok := layout.ParseSegment(name); ok {
			t.Errorf("%q is %+v", name, s)
		}
	}
}

func TestArchiveNamesParseBack(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123_000_000, time.Local)
	for _, log := range []string{layout.FlowLog, layout.PortraitLog, layout.EffectiveConfigs, layout.StaticConfigs, layout.Index} {
		name := layout.Archive(log, at)
		if got, ok := layout.ParseArchive(name, log); !ok || !got.Equal(at) {
			t.Errorf("%s is from %v, want %v", name, got, at)
		}
		if _, ok := layout.ParseArchive(log, log); ok {
			t.Errorf("%s is its own archive", log)
		}
	}
	if got, want := layout.Archive("/d/"+layout.FlowLog, at), "/d/dump_tcp_copy-2024-05-06T07-08-09.123.log"; got != want {
		t.Errorf("archive %q, want %q", got, want)
	}
}

func TestOnlyTheRecordersFilesAreOurs(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local)
	archive, file := layout.Archive(layout.PortraitLog, at), segment(at, "k3v9qa", 1)
	for _, name := range []string{layout.FlowLog, layout.Index, layout.Index + ".tmp", archive, archive + ".gz", archive + ".gz.tmp", file, file + ".gz"} {
		if !layout.IsOurs(name) {
			t.Errorf("%s is not ours", name)
		}
	}
	for _, name := range []string{"", "out.pcapng", "x-" + archive, layout.SpoolPointerPrefix + "k3v9qa-5f3c9a52", "dump_tcp_copy-x.log", layout.FlowLog + ".old"} {
		if layout.IsOurs(name) {
			t.Errorf("%q is ours", name)
		}
	}
}

func TestScanOrdersFiles(t *testing.T) {
	dir := t.TempDir()
	a, b := time.Date(2024, 5, 6, 7, 0, 0, 0, time.UTC), time.Date(2024, 5, 6, 8, 0, 0, 0, time.UTC)
	names := []string{
		layout.FlowLog, layout.Archive(layout.FlowLog, b), layout.Archive(layout.FlowLog, b) + ".gz", layout.Archive(layout.FlowLog, a) + ".gz",
		layout.FlowLog + ".2024-05-01", layout.PortraitLog, "out.pcapng",
		segment(a, "k3v9qa", 3), segment(a, "k3v9qa", 1) + ".gz", segment(a, "k3v9qa", 1), segment(b, "k3v9qa", 1), segment(b, "other1", 1),
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := layout.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	for _, path := range d.FlowLog {
		log = append(log, filepath.Base(path))
	}
	if want := []string{names[4], names[3], names[1], names[0]}; !slices.Equal(log, want) {
		t.Errorf("flow log %q, want %q", log, want)
	}
	var sets []string
	for i := range d.Sets {
		s := &d.Sets[i]
		sets = append(sets, fmt.Sprint(len(s.Segments), s.Whole(), s.Missing(), d.Finished(s)))
	}
	// The first process goes on to its second window; the other one is in its first.
	want := []string{fmt.Sprint(2, false, []string{segment(a, "k3v9qa", 2)}, true), "1 true [] false", "1 true [] false"}
	if !slices.Equal(sets, want) {
		t.Errorf("sets %q, want %q", sets, want)
	}
}

func FuzzNames(f *testing.F) {
	f.Add("20240506T070809Z_5f3c9a52_k3v9qa_001.pcapng")
	f.Add("dump_tcp_copy-2024-05-06T07-08-09.123.log")
	f.Add("dump_tcp_copy.log.2024-05-06_15")
	f.Fuzz(func(t *testing.T, name string) {
		if s, ok := layout.ParseSegment(name); ok {
			if again, ok := layout.ParseSegment(s.Name()); !ok || !again.Opened.Equal(s.Opened) || again.Run != s.Run || again.Number != s.Number {
				t.Errorf("%q is %+v, and that is %+v", name, s, again)
			}
			if !layout.IsOurs(name) {
				t.Errorf("%q is a segment, but not ours", name)
			}
		}
		layout.MayGrow(name)
	})
}

// What would keep a reader waiting is no file of the recorder.
func TestScanPassesOverPipes(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, layout.FlowLog)
	for _, err := range []error{
		syscall.Mkfifo(pipe, 0o600),
		os.Symlink(pipe, filepath.Join(dir, segment(time.Unix(0, 0), "k3v9qa", 1))),
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o600),
		os.Symlink("file", filepath.Join(dir, segment(time.Unix(0, 0), "k3v9qa", 2))),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := layout.Scan(dir)
	if err != nil || len(d.FlowLog) != 0 || len(d.Sets) != 1 || len(d.Sets[0].Segments) != 1 || d.Sets[0].Segments[0].Number != 2 {
		t.Errorf("%+v, %v", d, err)
	}
}
