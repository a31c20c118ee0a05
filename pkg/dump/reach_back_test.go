package dump_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// reachingBack are the triggers of windows whose lines are older than those before them.
var reachingBack = []record.Trigger{record.TriggerFlight, record.TriggerCrash}

// indexOf writes an index of windows.
func indexOf(t *testing.T, dir string, windows ...layout.WindowLine) {
	t.Helper()
	var text []byte
	for i := range windows {
		windows[i].Run = "k3v9qa"
		text = windows[i].AppendJSON(text)
	}
	if err := os.WriteFile(filepath.Join(dir, layout.Index), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A capture writes what was before between what is now, also at the beginning of a file.
func TestLogsWithCapturesAreInOrder(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	noon := time.Date(2026, 11, 27, 11, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	line := func(second int, window string, offset int) string {
		return metaLine(berlin, at(second), window, offset, fmt.Sprint(window[:1], offset))
	}
	for _, trigger := range reachingBack {
		dir := dumpDir(t, map[string]string{
			"dump_tcp_copy-2026-11-27T12-00-10.000.log": line(1, windowA, 100) + line(9, windowA, 200),
			// The capture has the connection from before the window.
			"dump_tcp_copy-2026-11-27T12-00-20.000.log": line(-30, windowB, 0) + line(-5, windowB, 50) + line(12, windowA, 300) + line(5, windowB, 150) + line(19, windowA, 400),
			"dump_tcp_copy-2026-11-27T12-00-30.000.log": line(9, windowB, 200) + line(14, windowB, 300) + line(25, windowA, 500),
			"dump_tcp_copy.log":                         line(40, windowA, 600),
		}, nil)
		indexOf(t, dir,
			layout.WindowLine{Window: windowB, Trigger: trigger, Opened: at(-30), Closed: at(15)},
			layout.WindowLine{Window: windowA, Trigger: record.TriggerManual, Opened: at(0), Closed: at(60)})
		records, remarks := readIn(t, dir, berlin)
		const want = "a100 a200 b0 b50 a300 b150 a400 b200 b300 a500 a600"
		if got := texts(records); got != want || len(remarks) > 0 {
			t.Errorf("%s: %s, want %s; remarks %q", trigger, got, want, remarks)
		}
	}
}

// What a ring held for hours is written by one worker after the other: the times of its lines
// go back, and are not hours wrong for that.
func TestTimesOfLinesThatGoBackAreRight(t *testing.T) {
	shanghai := zone(t, "Asia/Shanghai")
	begin := time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC)
	for _, trigger := range reachingBack {
		for _, length := range []time.Duration{3 * time.Minute, 5 * time.Hour} {
			for _, reader := range []*time.Location{shanghai, time.UTC} {
				var text string
				var want []time.Time
				for worker := range 2 {
					for i := range 10 {
						at := begin.Add(length * time.Duration(i) / 10)
						want = append(want, at)
						text += metaLine(shanghai, at, windowA, worker*10+i, "x")
					}
				}
				dir := dumpDir(t, map[string]string{"dump_tcp_copy.log": text}, nil)
				indexOf(t, dir, layout.WindowLine{Window: windowA, Trigger: trigger, Opened: begin, Closed: begin.Add(length)})
				records, remarks := readIn(t, dir, reader)
				var got []time.Time
				for _, r := range records {
					got = append(got, r.Time.UTC())
				}
				if !slices.EqualFunc(got, want, time.Time.Equal) && (reader == shanghai || length < time.Hour) {
					t.Errorf("%s, %v, read in %v: times %v, want %v", trigger, length, reader, got, want)
				}
				if len(remarks) > 0 && (reader == shanghai || length < time.Hour) {
					t.Errorf("%s, %v, read in %v: remarks %q", trigger, length, reader, remarks)
				}
			}
		}
	}
}
