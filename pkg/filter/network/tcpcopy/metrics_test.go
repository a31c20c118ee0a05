package tcpcopy

import (
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
)

// fakeMetrics are metrics as MOSN's store has them.
type fakeMetrics struct {
	mu     sync.Mutex // guards the rest
	values map[string]int64
	made   map[string]int // how often each was asked for
}

func newFakeMetrics() *fakeMetrics {
	return &fakeMetrics{values: map[string]int64{}, made: map[string]int{}}
}

func (f *fakeMetrics) counter(name string) func(int64) {
	return f.metric(name, func(old, n int64) int64 { return old + n })
}

func (f *fakeMetrics) gauge(name string) func(int64) {
	return f.metric(name, func(_, v int64) int64 { return v })
}

func (f *fakeMetrics) metric(name string, change func(old, n int64) int64) func(int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made[name]++
	return func(n int64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.values[name] = change(f.values[name], n)
	}
}

func (f *fakeMetrics) get(name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.values[name]
}

func TestMetricsFollowTheTotals(t *testing.T) {
	h := newHarness(t, both)
	m := newFakeMetrics()
	h.recorder.host.metrics, h.recorder.meters = m, newMeters(m)
	if _, err := h.tryBind("bad", object{"guard": "maybe"}); err == nil {
		t.Error("accepted")
	}
	c := h.connect(h.factory)
	for range 2 {
		if _, err := h.recorder.controller.OpenManual(time.Hour); err != nil {
			t.Fatal(err)
		}
		c.receive("12345")
		c.send("123")
		c.early = nil
		h.recorder.publish()
		if m.get("window_open") != 1 || m.get("guard_available") != 1 || m.get("switch_on") != 0 {
			t.Errorf("in a window: %v", m.values)
		}
		if _, err := h.recorder.controller.CloseWindow(); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int64{
		"windows": 2, "connections": 2, "seen_bytes_in": 10, "seen_bytes_out": 6, "written_bytes_in": 10, "written_bytes_out": 6,
		"records_in": 2, "records_out": 2, "lost_bytes_in": 0, "lost_bytes_out": 0, "window_open": 0, "buffer_used_bytes": 0,
		"refused_configurations": 1, "panics": 0, "write_errors": 0,
	} {
		if got := m.get(name); got != want || m.made[name] != 1 {
			t.Errorf("%s is %d, want %d; made %d times", name, got, want, m.made[name])
		}
	}
	// Losses by reason, and counters that never go back.
	h.dir = t.TempDir()
	limited := h.bind("test", h.into(object{"capture": object{"max_bytes_per_connection": 2}}))
	h.window(func() { h.connect(limited).receive("12345") })
	if m.get("lost_bytes_limit") != 3 || m.get("windows") != 3 || m.get("written_bytes_in") != 12 {
		t.Errorf("after a new output: %v", m.values)
	}
}

// A recorder without metrics, and one whose totals go back, publish nothing wrong.
func TestCountersDoNotGoBack(t *testing.T) {
	f := newFakeMetrics()
	m := newMeters(f)
	for _, total := range []uint64{5, 3, 5, 8} {
		m.count("x", total)
	}
	if f.get("x") != 8 {
		t.Errorf("x is %d", f.get("x"))
	}
	h := newHarness(t, object{})
	h.recorder.publish()
}

func TestPlusAddsWhatStoresHaveDone(t *testing.T) {
	a := persistence.Stats{Windows: 1, Faults: 2, LiveLost: 3}
	b := persistence.Stats{Windows: 10, Faults: 20, LiveLost: 30, Buffered: 7, Live: 1}
	if s := plus(a, b); s.Windows != 11 || s.Faults != 22 || s.LiveLost != 33 || s.Buffered != 7 || s.Live != 1 {
		t.Errorf("%+v", s)
	}
}
