package tcpcopy

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
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

// A fault in a goroutine of the recorder's is counted, told of once, and ends
// nothing.
func TestPanicsInTheBackground(t *testing.T) {
	r := newRig(t, object{})
	log := &countingLog{panics: true}
	r.recorder.host.log = log
	for range 3 { // each looks once, and the log panics
		startWatch(r.recorder, filepath.Join(t.TempDir(), "missing")).close()
	}
	r.recorder.host.metrics = panickingMetrics{}
	r.recorder.meters = newMeters(r.recorder.host.metrics)
	for range 3 {
		r.recorder.publish()
	}
	if n := r.recorder.panics.Load(); n < 4 {
		t.Errorf("%d panics are counted", n)
	}
	if _, alerts := log.counts(); alerts != 2 {
		t.Errorf("%d alerts, want one a place", alerts)
	}
	r.recorder.host.metrics = nil
}

type panickingMetrics struct{}

func (panickingMetrics) counter(string) func(int64) { panic("no metrics") }
func (panickingMetrics) gauge(string) func(int64)   { panic("no metrics") }

// A portrait that is wrong at each request is told of once a window.
func TestBadPortraitsDoNotFloodTheLog(t *testing.T) {
	r := newRig(t, object{})
	log := &countingLog{}
	r.recorder.host.log = log
	for range 2 {
		r.window(func() {
			for range 100 {
				r.recorder.uploadPortrait(model.RPC, func() {}, nil)
				r.recorder.Schedule(&model.DumpUploadDynamicConfig{BusinessType: model.RPC, PortraitData: "{"})
			}
		})
	}
	if warned, _ := log.counts(); warned != 2 {
		t.Errorf("%d warnings in 2 windows", warned)
	}
}

// However many ports the work pool is given, there is an end to what they take, and
// nothing is lost.
func TestThePoolIsBounded(t *testing.T) {
	r := newRig(t, object{})
	const ports = maxPool + 100
	w := r.window(func() {
		for i := range ports {
			r.recorder.Schedule(&model.DumpUploadDynamicConfig{Port: fmt.Sprint(i), BinaryFlowData: []byte("x")})
		}
	})
	if n := len(r.recorder.pool); n > maxPool+1 {
		t.Errorf("%d ports are remembered", n)
	}
	if w.Written.In != ports || w.Connections != maxPool+1 {
		t.Errorf("index: %d connections, written %+v", w.Connections, w.Written)
	}
}
