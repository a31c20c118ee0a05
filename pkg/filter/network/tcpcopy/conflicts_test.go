package tcpcopy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

func strategyOf(interval int) object {
	return object{"switch": "OFF", "interval": interval, "duration": 5}
}

// interval returns the app layer's interval that is in force.
func (h *harness) interval() int { return h.recorder.controller.Status().Switch.App.Interval }

// refusals returns why listeners are refused.
func (h *harness) refusals() map[string]string {
	all := map[string]string{}
	for _, f := range h.recorder.status().Refused {
		all[f.Listener] = f.Error
	}
	return all
}

// What is the process's can differ between listeners in nothing.
func TestAListenerThatDisagreesIsRefused(t *testing.T) {
	h := newHarness(t, object{"strategy": strategyOf(60), "buffer": object{"size": "1MiB"}, "guard": "on"})
	other := filepath.Join(h.dir, "other")
	for part, config := range map[string]object{
		"strategy": {"strategy": strategyOf(90)},
		"output":   {"output": object{"dir": other}},
		"buffer":   {"buffer": object{"size": "2MiB"}},
		"guard":    {"guard": "off"},
	} {
		_, err := h.tryBind(part, config)
		if err == nil || !strings.Contains(err.Error(), part+" differs") || !strings.Contains(err.Error(), "listener "+part) || !strings.Contains(err.Error(), "listener test") {
			t.Errorf("%s: %v", part, err)
		}
	}
	_, err := h.tryBind("all", object{"strategy": strategyOf(90), "guard": "off", "capture": object{"sample": 0.5}})
	if err == nil || !strings.Contains(err.Error(), "strategy differs") || !strings.Contains(err.Error(), "guard differs") {
		t.Errorf("two parts: %v", err)
	}
	h.bind("alike", object{"strategy": strategyOf(60), "guard": "on"})
	h.bind("silent", object{})
	refused := h.refusals()
	if len(refused) != 5 || !strings.Contains(refused["buffer"], "buffer differs") {
		t.Errorf("the status has %v", refused)
	}
	if _, err := os.Stat(other); !os.IsNotExist(err) || h.interval() != 60 || !h.recorder.controller.Status().Guard.Enabled {
		t.Error("something of a refused listener is in force")
	}
	want := []string{"alike", "silent", "test"}
	if got := h.recorder.status().Output.Listeners; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("recorded listeners: %q", got)
	}
	// One that agrees at last is not refused any more.
	h.bind("strategy", object{"strategy": strategyOf(60)})
	if _, still := h.refusals()["strategy"]; still {
		t.Error("a listener that has been put right is still refused")
	}
}

// Connections of a refused listener pass unrecorded.
func TestARefusedListenerIsNotRecorded(t *testing.T) {
	h := newHarness(t, object{"strategy": strategyOf(60)})
	f, err := h.tryBind("refused", object{"strategy": strategyOf(90)})
	if err == nil {
		t.Fatal("accepted")
	}
	c := &fakeConn{}
	c.join(f) // a host that goes on in spite of the error
	if len(c.readers)+len(c.writers) > 0 {
		t.Error("it has filters")
	}
}

// A host that does not call Init finds the listener in the context.
func TestAHostWithoutInitStillRecords(t *testing.T) {
	h := newHarness(t, object{})
	f, err := newFactory(h.recorder, both)
	if err != nil {
		t.Fatal(err)
	}
	h.window(func() { h.connect(f).receive("x") })
	if c := h.connections()[0]; c.Port != "2045" {
		t.Errorf("connection %+v", c)
	}
	if err := f.(*factory).Init("no listener"); !errors.Is(err, ErrInvalidConfig) || !strings.Contains(err.Error(), "string") {
		t.Errorf("Init with text: %v", err)
	}
}

// An update of the listener that has brought a part replaces it, and takes it back
// by leaving it out: then another one may bring it.
func TestTheOwnerOfAPartMayChangeIt(t *testing.T) {
	h := newHarness(t, object{"strategy": strategyOf(60)})
	h.bind("test", h.into(object{"strategy": strategyOf(90)}))
	if got := h.interval(); got != 90 {
		t.Errorf("after an update the interval is %d", got)
	}
	h.bind("test", h.into(object{}))
	if got := h.interval(); got != 90 {
		t.Errorf("a listener that says nothing any more changes the interval to %d", got)
	}
	h.bind("other", object{"strategy": strategyOf(120)})
	if got := h.interval(); got != 120 {
		t.Errorf("another listener's interval is not in force, but %d", got)
	}
	if _, err := h.tryBind("test", h.into(object{"strategy": strategyOf(90)})); err == nil || !strings.Contains(err.Error(), "listener other") {
		t.Errorf("the first one again: %v", err)
	}
}

// An update that brings the strategy that it has brought before leaves alone what
// others have changed since.
func TestAStrategyIsAppliedWhenItChanges(t *testing.T) {
	h := newHarness(t, object{"strategy": strategyOf(60)})
	c := model.DefaultDumpConfig()
	c.Interval = 300
	if err := h.recorder.controller.Set(model.LayerApp, c, "an operator"); err != nil {
		t.Fatal(err)
	}
	h.bind("test", h.into(object{"strategy": strategyOf(60), "capture": object{"sample": 0.5}}))
	if got := h.interval(); got != 300 {
		t.Errorf("the interval is %d again", got)
	}
	h.bind("test", h.into(object{"strategy": strategyOf(90)}))
	if got := h.interval(); got != 90 {
		t.Errorf("the interval is still %d", got)
	}
}

// hex cannot tell directions apart.
func TestHexIsRefusedForBothDirections(t *testing.T) {
	hex := object{"formats": []string{"hex"}}
	h := newHarness(t, object{})
	for name, config := range map[string]object{
		"test":  h.into(object{"output": hex, "capture": object{"direction": "both"}}),
		"other": {"output": hex, "capture": object{"direction": "both"}},
	} {
		_, err := h.tryBind(name, config)
		if name == "other" && err != nil && strings.Contains(err.Error(), "output differs") {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "output.formats") || !strings.Contains(err.Error(), "capture.direction") || !strings.Contains(err.Error(), "hex_meta, pcapng") {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.bind("both", both)
	_, err := h.tryBind("test", h.into(object{"output": hex}))
	if err == nil || !strings.Contains(err.Error(), "listener both") {
		t.Errorf("hex after another listener has both: %v", err)
	}
	alone := &harness{t: t, dir: t.TempDir(), recorder: newRecorder("bbbbbb", testHost(t))}
	t.Cleanup(func() { alone.recorder.close(false) })
	alone.bind("hex", alone.into(object{"output": hex}))
	if _, err := alone.tryBind("both", both); err == nil || !strings.Contains(err.Error(), "output.formats") {
		t.Errorf("both after hex: %v", err)
	}
}

// A new output takes the window that is open to its end; what comes then goes to
// the new place. One that cannot be had changes nothing.
func TestANewOutputEndsTheWindowOfTheOldOne(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	first, err := h.recorder.controller.OpenManual(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.receive("old")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := h.dir
	if _, err := h.tryBind("test", object{"output": object{"dir": filepath.Join(file, "x"), "formats": []string{"hex_meta"}}}); err == nil || !strings.Contains(err.Error(), "output.dir") {
		t.Errorf("a directory under a file: %v", err)
	}
	if h.recorder.controller.Open() == nil {
		t.Fatal("a configuration that was refused has closed the window")
	}

	h.dir = t.TempDir()
	h.bind("test", h.into(both))
	if w := h.recorder.controller.Open(); w != nil {
		t.Error("the window of the old output is still open")
	}
	h.recorder.retiring.Wait() // the listener does not
	w, err := oracle.FindWindow(old, first.ID)
	if err != nil || w.Written.In != 3 {
		t.Errorf("old index %+v, %v", w, err)
	}
	c.receive("between")
	w = h.window(func() { c.receive("new") })
	got := h.connections()
	if w.Written.In != 3 || len(got) != 1 || got[0].In.Begin() != 10 {
		t.Errorf("new index %+v, log %+v", w, got)
	}
	// The same output again is no change.
	if _, err := h.recorder.controller.OpenManual(time.Hour); err != nil {
		t.Fatal(err)
	}
	h.bind("test", h.into(object{"capture": object{"direction": "both", "sample": 1}}))
	if h.recorder.controller.Open() == nil {
		t.Error("an update without a new output has closed the window")
	}
	if s := h.recorder.stats(); s.Windows != 2 || s.Accounts.Written.In != 6 {
		t.Errorf("the totals forget the old output: %+v", s)
	}
}

func TestTheGuardBlockSwitchesTheGuard(t *testing.T) {
	h := newHarness(t, object{"guard": "off"})
	if h.recorder.controller.Status().Guard.Enabled {
		t.Error("the guard is on")
	}
	h.bind("test", h.into(object{"guard": "on"}))
	if !h.recorder.controller.Status().Guard.Enabled {
		t.Error("the guard is off")
	}
}

// MOSN's roller words hold where the output names none.
func TestTheProcessesRollerHoldsWithoutAnOwnOne(t *testing.T) {
	h := newHarness(t, object{})
	words := "size=7 keep=3"
	h.recorder.host.roller = func() string { return words }
	h.bind("test", h.into(object{}))
	if got := h.recorder.store.Config().Roll; got.Size != 7<<20 || got.Keep != 3 {
		t.Errorf("roll %+v", got)
	}
	words = "nonsense"
	if _, err := h.tryBind("test", h.into(object{})); err == nil || !strings.Contains(err.Error(), "global_log_roller") {
		t.Errorf("bad words: %v", err)
	}
	h.bind("test", h.into(object{"output": object{"roll": "size=9"}}))
}

// After the end nothing is bound and nothing opens, and closing again is nothing.
func TestAClosedRecorderRefusesEverything(t *testing.T) {
	h := newHarness(t, object{})
	h.window(func() { h.connect(h.factory).receive("x") })
	h.recorder.close(false)
	h.recorder.close(true)
	if _, err := h.tryBind("late", object{}); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("late: %v", err)
	}
	if _, err := h.recorder.OpenWindow(record.Window{ID: "late"}); err == nil {
		t.Error("a window opens")
	}
	if s := h.recorder.stats(); s.Windows != 1 || s.Accounts.Written.In != 1 {
		t.Errorf("the totals are gone: %+v", s)
	}
}
