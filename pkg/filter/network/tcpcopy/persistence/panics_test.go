package persistence

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// A fault in the background is reported with its stack, what it has cost is counted,
// and the window goes on.
func TestAPanicInTheBackgroundIsCountedAndTheWindowGoesOn(t *testing.T) {
	var broken atomic.Bool
	r := newHarness(t, nil, func(h *Host) {
		h.Clock = clock.Func(func() time.Time {
			if broken.Swap(false) {
				panic("no clock")
			}
			return time.Now()
		})
	})
	s := r.open(1)
	give := func(business model.BusinessType) {
		t.Helper()
		if accepted, err := s.Portrait(business, "", func() ([]byte, error) { return []byte("{}"), nil }); !accepted || err != nil {
			t.Fatalf("%v, %v", accepted, err)
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

// A panic of a worker goes to the host's hook with its stack, and is no alert. The
// worker goes on with the next batch.
func TestAPanicOfAWorkerIsNoAlert(t *testing.T) {
	var where, stack string
	r := newHarness(t, nil, func(h *Host) {
		h.Panicked = func(w string, _ any, s []byte) { where, stack = w, string(s) }
	})
	b := newWorkerHarness(t, r, nil, nil)
	p := newPeer(r.run, 1)
	outputs := b.pipeline.outputs
	b.pipeline.outputs = []*output{nil}
	b.say(p, record.In, []byte("lost"))
	b.drain()
	if where != "a worker" || !strings.Contains(stack, "worker.go") {
		t.Errorf("the hook has %q with the stack\n%s", where, stack)
	}
	if n := r.store.Stats().Faults; n != 0 {
		t.Errorf("%d faults", n)
	}
	r.quiet()
	b.pipeline.outputs = outputs
	b.say(p, record.In, []byte("kept"))
	b.finish()
	if a := tallyOf(b).Accounts(); a.Written.In != 4 {
		t.Errorf("accounts %+v", a)
	}
}

// Lines of the index that are given up are counted.
func TestLostIndexLinesAreCounted(t *testing.T) {
	r := newHarness(t, nil, nil)
	lost := newLostDirectory(t, r.dir)
	lost.swap()
	r.open(1).Close(time.Now())
	r.open(2).Close(time.Now())
	if n := r.store.Stats().IndexLost; n != 0 {
		t.Errorf("%d lines are lost already", n)
	}
	r.store.unindexed.add(make([]byte, maxUnindexed), &buffer.Spool{})
	r.store.Close()
	if n := r.store.Stats().IndexLost; n != 3 {
		t.Errorf("%d lines are lost, of 3", n)
	}
	lost.swap()
}

// A line whose spool has been damaged is lost where the index cannot be written, and that
// is counted: nobody finds the spool any more, or nothing in it.
func TestALineWithoutItsSpoolIsCounted(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"removed": os.Remove,
		"cut off": func(path string) error { return os.Truncate(path, 0) },
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, before the end of the window: %t", name, before), func(t *testing.T) {
				spools := sharedDir(t)
				r := newHarness(t, func(c *Config) { c.Spool = spools }, nil)
				lost := newLostDirectory(t, r.dir)
				s := r.open(1)
				path := s.spool.Path()
				lost.swap()
				if before {
					if err := damage(path); err != nil {
						t.Fatal(err)
					}
				}
				s.Close(time.Now())
				if !before {
					if err := damage(path); err != nil {
						t.Fatal(err)
					}
				}
				r.store.Close()
				if n := r.store.Stats().IndexLost; n != 1 {
					t.Errorf("%d lines are lost, of 1", n)
				}
				lost.swap()
			})
		}
	}
}
