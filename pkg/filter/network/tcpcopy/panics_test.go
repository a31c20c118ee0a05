package tcpcopy

import (
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// countingLog counts what is logged, and panics at warnings where that is wanted.
type countingLog struct {
	mu             sync.Mutex // guards the rest
	warned, alerts int
	panics         bool
}

func (l *countingLog) Infof(string, ...any) {}

func (l *countingLog) Warnf(string, ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warned++
	if l.panics {
		panic("no log")
	}
}

func (l *countingLog) Alertf(string, string, ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alerts++
}

func (l *countingLog) counts() (warned, alerts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.warned, l.alerts
}

// A fault in a goroutine of the recorder's is counted, alerted once, and ends
// nothing.
func TestPanicsInTheBackgroundAreCountedAndAlertedOnce(t *testing.T) {
	h := newHarness(t, object{})
	log := &countingLog{panics: true}
	h.recorder.host.log = log
	for range 3 { // each looks once, and the log panics
		startWatch(h.recorder, filepath.Join(t.TempDir(), "missing"), watchPoll).close()
	}
	h.recorder.host.metrics = panickingMetrics{}
	h.recorder.meters = newMeters(h.recorder.host.metrics)
	for range 3 {
		h.recorder.publish()
	}
	if n := h.recorder.panics.Load(); n < 4 {
		t.Errorf("%d panics are counted", n)
	}
	if _, alerts := log.counts(); alerts != 2 {
		t.Errorf("%d alerts, want one per place", alerts)
	}
	h.recorder.host.metrics = nil
}

type panickingMetrics struct{}

func (panickingMetrics) counter(string) func(int64) { panic("no metrics") }
func (panickingMetrics) gauge(string) func(int64)   { panic("no metrics") }

// A portrait that is wrong at each request is logged once per window.
func TestBadPortraitsDoNotFloodTheLog(t *testing.T) {
	h := newHarness(t, object{})
	log := &countingLog{}
	h.recorder.host.log = log
	for range 2 {
		h.window(func() {
			for range 100 {
				h.recorder.uploadPortrait(model.RPC, func() {}, nil)
				h.recorder.Schedule(&model.DumpUploadDynamicConfig{BusinessType: model.RPC, PortraitData: "{"})
			}
		})
	}
	if warned, _ := log.counts(); warned != 2 {
		t.Errorf("%d warnings in 2 windows", warned)
	}
}

// However many ports the work pool is given, the memory for them is bounded, and
// nothing is lost.
func TestTheWorkPoolBoundsItsPorts(t *testing.T) {
	h := newHarness(t, object{})
	const ports = maxPool + 100
	w := h.window(func() {
		for i := range ports {
			h.recorder.Schedule(&model.DumpUploadDynamicConfig{Port: fmt.Sprint(i), BinaryFlowData: []byte("x")})
		}
	})
	if n := len(h.recorder.pool); n > maxPool+1 {
		t.Errorf("%d ports are remembered", n)
	}
	if w.Written.In != ports || w.Connections != maxPool+1 {
		t.Errorf("index: %d connections, written %+v", w.Connections, w.Written)
	}
}

// A panic where files are written raises panics by one, and is no write error.
func TestAPanicWhereFilesAreWrittenIsNoWriteError(t *testing.T) {
	h := newHarness(t, both)
	m := newFakeMetrics()
	h.recorder.host.metrics, h.recorder.meters = m, newMeters(m)
	h.recorder.host.effective = &persistence.Source{JSON: func() (io.ReadCloser, error) { panic("no configuration") }}
	h.dir = t.TempDir()
	f := h.bind("test", h.into(both)) // a store that knows the new host
	h.window(func() { h.connect(f).receive("recorded") })
	eventually(t, "a panic is counted", func() bool { // the snapshot comes behind the index line
		h.recorder.publish()
		return m.get("panics") > 0
	})
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
