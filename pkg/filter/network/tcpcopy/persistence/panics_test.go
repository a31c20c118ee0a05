package persistence

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// A fault in the background is told of with its stack, what it has cost is counted,
// and the window goes on.
func TestAPanicInTheBackground(t *testing.T) {
	var broken atomic.Bool
	r := newRig(t, nil, func(h *Host) {
		h.Now = func() time.Time {
			if broken.Swap(false) {
				panic("no clock")
			}
			return time.Now()
		}
	})
	s := r.open(1)
	give := func(business model.BusinessType) {
		t.Helper()
		if taken, err := s.Portrait(business, "", func() ([]byte, error) { return []byte("{}"), nil }); !taken || err != nil {
			t.Fatalf("%v, %v", taken, err)
		}
	}
	broken.Store(true)
	give("FIRST")
	for broken.Load() {
		runtime.Gosched()
	}
	give("SECOND")
	s.Close(time.Now())
	if lines := portraitLines(t, r.dir); len(lines) != 1 || !strings.Contains(lines[0], "SECOND") {
		t.Errorf("portraits %q", lines)
	}
	if n := r.store.Stats().PortraitsLost; n != 1 {
		t.Errorf("%d portraits are lost", n)
	}
	a := r.alerted()
	if len(a) != 1 || !strings.HasPrefix(a[0], "panic: in writing a portrait: no clock") || !strings.Contains(a[0], "portraits.go") {
		t.Errorf("alerts %q", a)
	}
}

// Lines of the index that are given up are counted.
func TestLostIndexLinesAreCounted(t *testing.T) {
	r := newRig(t, nil, nil)
	lost := newLostDirectory(t, r.dir)
	lost.swap()
	r.open(1).Close(time.Now())
	r.open(2).Close(time.Now())
	if n := r.store.Stats().IndexLost; n != 0 {
		t.Errorf("%d lines are lost already", n)
	}
	r.store.writeIndex(make([]byte, maxUnindexed))
	r.store.Close()
	if n := r.store.Stats().IndexLost; n != 3 {
		t.Errorf("%d lines are lost, of 3", n)
	}
	lost.swap()
}
