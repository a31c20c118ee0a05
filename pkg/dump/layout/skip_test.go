package layout_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

func skipLine() layout.SkipLine {
	first := time.Date(2026, 11, 23, 17, 0, 0, 5, time.FixedZone("CET", 3600))
	return layout.SkipLine{Run: "ujr4v2", Skip: record.Skip{
		Reason: record.SkipGuard, Trigger: record.TriggerSchedule, Windows: 3,
		First: first, Last: first.Add(time.Minute), Why: "guard: host cpu 91.2 >= 80",
	}}
}

// The line of skipped windows has no window, so that whoever does not know it does not
// see a window without traffic.
func TestASkipLineIsNoWindow(t *testing.T) {
	l := skipLine()
	got := string(l.AppendJSON(nil))
	const want = `{"skipped":"guard","trigger":"schedule","windows":3,"first":"2026-11-23T16:00:00.000000005Z","last":"2026-11-23T16:01:00.000000005Z","why":"guard: host cpu 91.2 \u003e= 80","run":"ujr4v2"}` + "\n"
	if got != want {
		t.Errorf("got  %s want %s", got, want)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(got), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"window", "seen", "written", "lost", "opened", "closed"} {
		if _, has := fields[name]; has {
			t.Errorf("it has the field %q of a window", name)
		}
	}
}

// Windows and skipped windows are read beside each other, and beside damage and lines
// of other kinds.
func TestSkipsAreReadBesideWindows(t *testing.T) {
	skip := skipLine()
	window := layout.WindowLine{Window: "a"}
	both := []byte(`{"window":"b","skipped":"guard"}` + "\n") // a window, whatever else it has
	long := append(bytes.Repeat([]byte(" "), 1<<20), '\n')
	path := filepath.Join(t.TempDir(), layout.Index)
	var text []byte
	for _, part := range [][]byte{
		skip.AppendJSON(nil), window.AppendJSON(nil), []byte("{\"skipped\": \n"), long, both, skip.AppendJSON(nil), []byte("\n"), skip.AppendJSON(nil)[:40],
	} {
		text = append(text, part...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	skips, err := layout.ReadSkips(path)
	if err != nil || len(skips) != 2 {
		t.Fatalf("%d skips, %v", len(skips), err)
	}
	skip.First, skip.Last = skip.First.UTC(), skip.Last.UTC()
	if !reflect.DeepEqual(skips[1], skip) {
		t.Errorf("got %+v, want %+v", skips[1], skip)
	}
	windows, err := layout.ReadIndex(path)
	if len(windows) != 2 || windows[0].Window != "a" || windows[1].Window != "b" {
		t.Errorf("windows %+v", windows)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("damage %v, want that of three lines", err)
	}
	if _, err := layout.ReadSkips(filepath.Join(t.TempDir(), layout.Index)); !os.IsNotExist(err) {
		t.Errorf("without an index: %v", err)
	}
}
