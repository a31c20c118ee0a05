package tcpcopy

import (
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// A panic where files are written raises panics by one, and is no write error.
func TestAPanicWhereFilesAreWrittenIsNoWriteError(t *testing.T) {
	r := newRig(t, both)
	m := newFakeMetrics()
	r.recorder.host.metrics, r.recorder.meters = m, newMeters(m)
	r.recorder.host.effective = func() ([]byte, error) { panic("no configuration") }
	r.dir = t.TempDir()
	f := r.bind("test", r.into(both)) // a store that knows the new host
	r.window(func() { r.connect(f).receive("recorded") })
	r.recorder.publish()
	if panics, faults := m.get("panics"), m.get("write_errors"); panics != 1 || faults != 0 {
		t.Errorf("panics is %d, want 1; write_errors is %d, want 0", panics, faults)
	}
}

// A sink and a meter that panic are counted by the hook that all packages share.
func TestThePanicHookOfTheStrategyIsTheRecorders(t *testing.T) {
	h := testHost(t)
	h.meter = strategyPanics{}
	r := newRecorder("aaaaaa", h)
	defer r.close(false)
	if _, err := r.controller.OpenManual(1); err == nil {
		t.Error("a window opens without a reading")
	}
	if n := r.panics.Load(); n == 0 {
		t.Error("no panic is counted")
	}
}

type strategyPanics struct{ strategy.Meter }
