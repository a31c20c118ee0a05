package tcpcopy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/record"
)

// skipHarness is a skipLog with a store and a clock of the test's.
type skipHarness struct {
	*skipLog
	t     *testing.T
	dir   string
	clock *clock.Manual
	none  bool // there is no store
}

func newSkipHarness(t *testing.T) *skipHarness {
	t.Helper()
	h := &skipHarness{t: t, dir: t.TempDir(), clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	config := persistence.DefaultConfig()
	config.Dir, config.Spool = h.dir, persistence.SpoolOff
	store, err := persistence.Open(config, persistence.Host{Run: "aaaaaa"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	h.skipLog = &skipLog{clock: h.clock, store: func() *persistence.Store {
		if h.none {
			return nil
		}
		return store
	}}
	return h
}

// skip skips a scheduled window after d, and returns when what is written is written.
func (h *skipHarness) skip(d time.Duration, reason record.SkipReason) {
	h.clock.Advance(d)
	now := h.clock.Now()
	h.add(record.Skip{Reason: reason, Trigger: record.TriggerSchedule, Windows: 1, First: now, Last: now, Why: string(reason)})
	h.wait()
}

// lines returns how many windows each line of the index has, by reason.
func (h *skipHarness) lines() (got []string, windows map[string]int) {
	h.t.Helper()
	all, err := oracle.ReadSkips(h.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	windows = map[string]int{}
	for _, s := range all {
		got = append(got, s.Reason)
		windows[s.Reason] += s.Windows
	}
	return got, windows
}

// The first window that is skipped is in the index at once; those that follow are
// lines of many.
func TestSkippedWindowsInARowAreOneLine(t *testing.T) {
	h := newSkipHarness(t)
	for range 21 {
		h.skip(30*time.Second, record.SkipGuard)
	}
	if got, windows := h.lines(); len(got) != 2 || windows["guard"] != 21 {
		t.Errorf("lines %v, windows %v", got, windows)
	}
	all, _ := oracle.ReadSkips(h.dir)
	if first, rest := all[0], all[1]; first.Windows != 1 || rest.Windows != 20 || rest.First.Sub(first.Last) != 30*time.Second || rest.Last.Sub(rest.First) != 19*30*time.Second {
		t.Errorf("lines %+v", all)
	}
	for range 1200 { // ten hours, and the reason changes each time
		h.skip(15*time.Second, record.SkipMemory)
		h.skip(15*time.Second, record.SkipBusy)
	}
	h.flush()
	h.wait()
	got, windows := h.lines()
	if windows["memory"] != 1200 || windows["busy"] != 1200 || len(got) > 2+2*62 {
		t.Errorf("%d lines, windows %v", len(got), windows)
	}
	// When the clock goes back, the next one does not wait for it.
	h.skip(-24*time.Hour, record.SkipOutput)
	if _, windows := h.lines(); windows["output"] != 1 {
		t.Errorf("windows %v", windows)
	}
}

// Whoever asked for a window has had the answer; a long reason is shortened.
func TestManualWindowsAreNoLines(t *testing.T) {
	h := newSkipHarness(t)
	h.add(record.Skip{Reason: record.SkipGuard, Trigger: record.TriggerManual, Windows: 1})
	h.add(record.Skip{Reason: record.SkipGuard, Trigger: record.TriggerSchedule, Windows: 1, Why: strings.Repeat("ä", 1<<20)})
	h.wait()
	all, err := oracle.ReadSkips(h.dir)
	if err != nil || len(all) != 1 || len(all[0].Why) > maxWhy+4 || !strings.HasSuffix(all[0].Why, "ä…") {
		t.Errorf("%+v, %v", all, err)
	}
}

// What cannot be written waits, bounded, and nobody waits for it.
func TestSkippedWindowsWaitForTheIndex(t *testing.T) {
	h := newSkipHarness(t)
	h.none = true
	for range 100 {
		h.skip(time.Minute, record.SkipGuard)
		h.skip(time.Minute, record.SkipListener)
	}
	if len(h.waiting) != 2 {
		t.Fatalf("%d wait", len(h.waiting))
	}
	h.none = false
	moved := h.dir + ".moved"
	if err := os.Rename(h.dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.skip(time.Hour, record.SkipGuard)
	if len(h.waiting) != 2 {
		t.Fatalf("after a failure %d wait", len(h.waiting))
	}
	if err := errors.Join(os.Remove(h.dir), os.Rename(moved, h.dir)); err != nil {
		t.Fatal(err)
	}

	// The disk hangs.
	index, err := os.OpenFile(filepath.Join(h.dir, layout.Index), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(index.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	h.flush()
	for range 100 {
		h.clock.Advance(time.Hour)
		h.add(record.Skip{Reason: record.SkipGuard, Trigger: record.TriggerSchedule, Windows: 1})
	}
	h.flush()
	if len(h.waiting) != 1 {
		t.Errorf("while the disk hangs %d wait", len(h.waiting))
	}
	index.Close()
	h.wait()
	h.flush()
	h.wait()
	if _, windows := h.lines(); windows["guard"] != 201 || windows["listener"] != 100 {
		t.Errorf("windows %v", windows)
	}
}

// The index of a recorder says of a scheduled window why it did not open, and the line
// is there when the process has ended.
func TestAScheduledWindowThatDoesNotOpenIsInTheIndex(t *testing.T) {
	h := newHarness(t, object{})
	f := &fakeListeners{}
	f.attach(h)
	f.remove("test")
	now := time.Now()
	one := record.Skip{Reason: record.SkipListener, Trigger: record.TriggerSchedule, Windows: 1, First: now, Last: now, Why: "removed"}
	h.recorder.skips.add(one)
	h.recorder.skips.add(one)
	h.recorder.skips.wait()
	if all, err := oracle.ReadSkips(h.dir); err != nil || len(all) != 1 || all[0].Run != "aaaaaa" {
		t.Errorf("at once: %+v, %v", all, err)
	}
	h.recorder.close(false)
	if all, err := oracle.ReadSkips(h.dir); err != nil || len(all) != 2 || all[1].Reason != "listener" {
		t.Errorf("at the end: %+v, %v", all, err)
	}
	if err := h.recorder.controller.Set(model.LayerApp, model.DefaultDumpConfig(), "test"); err == nil {
		t.Error("it has not ended")
	}
}
