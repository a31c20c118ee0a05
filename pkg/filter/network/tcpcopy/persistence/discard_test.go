package persistence

import (
	"os"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/record"
)

// filesIn returns the names of the files below dir.
func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A session whose window nobody wanted any more when it was open leaves no index line
// and no file, in whatever format, and is no finished window.
func TestADiscardedSessionLeavesNothing(t *testing.T) {
	for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}, {FormatHexMeta, FormatPcapng}} {
		for _, spool := range []bool{false, true} {
			spools := t.TempDir()
			if err := os.Chmod(spools, 0o700); err != nil {
				t.Fatal(err)
			}
			r := newHarness(t, func(c *Config) {
				c.Formats = formats
				if spool {
					c.Spool = spools
				}
			}, nil)
			r.open(1).Discard()
			if got := append(filesIn(t, r.dir), filesIn(t, spools)...); len(got) > 0 {
				t.Errorf("%v with a spool %t: left %q", formats, spool, got)
			}
			if s := r.store.Stats(); s.Windows != 0 || s.Window != nil || s.Buffered != 0 {
				t.Errorf("stats %+v", s)
			}
			p := newPeer(r.run, 1)
			if w := r.window(2, func(s *Session) { p.say(s, record.In, []byte("12345")) }); w.Written.In != 5 {
				t.Errorf("the next window has %+v", w)
			}
			if all, err := oracle.ReadIndex(r.dir); err != nil || len(all) != 1 {
				t.Errorf("the index has %d windows, %v", len(all), err)
			}
			r.quiet()
		}
	}
}

// The index says which windows did not open, between the lines of those that did, and
// whether the guard had a say.
func TestTheIndexHasSkippedAndUnguardedWindows(t *testing.T) {
	r := newHarness(t, nil, nil)
	at := time.Now().UTC().Round(0)
	skip := record.Skip{Reason: record.SkipMemory, Trigger: record.TriggerSchedule, Windows: 2, First: at, Last: at.Add(time.Minute), Why: "no memory"}
	if err := r.store.WriteSkips([]record.Skip{skip, {Reason: record.SkipBusy, Windows: 1}}); err != nil {
		t.Fatal(err)
	}
	s, err := r.store.OpenWindow(record.Window{ID: windowID(1), Trigger: record.TriggerManual, Opened: time.Now(), Unguarded: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Close(time.Now())
	r.window(2, func(*Session) {})
	if w := r.indexed(1); w.Guard != "off" {
		t.Errorf("an unguarded window: %+v", w)
	}
	if w := r.indexed(2); w.Guard != "" {
		t.Errorf("a guarded window: %+v", w)
	}
	got, err := oracle.ReadSkips(r.dir)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := oracle.Skip{Reason: "memory", Trigger: "schedule", Windows: 2, First: at, Last: at.Add(time.Minute), Why: "no memory", Run: r.run}
	if got[0] != want || got[1].Reason != "busy" {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// A directory that cannot be written is an error and an alert.
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.store.WriteSkips([]record.Skip{skip}); err == nil || len(r.alerted()) == 0 {
		t.Errorf("%v, alerts %q", err, r.alerted())
	}
}
