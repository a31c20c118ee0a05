package persistence

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/record"
)

// A capture has what its connection has exchanged since it was asked to begin, and nothing
// else.
func TestACaptureHasWhatCameBefore(t *testing.T) {
	for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}, {FormatHexMeta, FormatPcapng}} {
		t.Run(fmt.Sprint(formats), func(t *testing.T) {
			r := newHarness(t, func(c *Config) { c.Formats = formats }, nil)
			f := r.openFlight(4 << 20)
			one, other := newPeer(r.run, 1), newPeer(r.run, 2)
			one.sayTo(f.Ring, record.In, []byte("long ago"))
			other.sayTo(f.Ring, record.In, []byte("somebody else"))
			<-time.After(20 * time.Millisecond)
			since := time.Now()
			<-time.After(20 * time.Millisecond)
			one.sayTo(f.Ring, record.In, []byte("before"))
			other.sayTo(f.Ring, record.Out, []byte("somebody else"))
			s, err := f.OpenCapture(record.Window{ID: windowID(1), Trigger: record.TriggerFlight, Opened: since}, Scope{Conn: one.id})
			if err != nil {
				t.Fatal(err)
			}
			one.sayTo(f.Ring, record.Out, []byte("after"))
			other.sayTo(f.Ring, record.Out, []byte("somebody else"))
			s.Close(time.Now())
			one.sayTo(f.Ring, record.Out, []byte("too late"))
			f.Shut()
			f.Close()
			w := r.indexed(1)
			if w.Connections != 1 || w.Seen != (oracle.PerDirection{In: 6, Out: 5}) || w.Seen != w.Written {
				t.Errorf("index %+v", w)
			}
			if formats[0] == FormatPcapng {
				return
			}
			r.agrees(w)
			for _, c := range r.connections() {
				if c.Conn != one.id || text(c.In) != "before" || text(c.Out) != "after" || c.In.Begin() != 8 {
					t.Errorf("%s: %q, %q", c.Conn, text(c.In), text(c.Out))
				}
			}
		})
	}
}

// Captures that come and go leave nothing behind.
func TestCapturesLeaveNothing(t *testing.T) {
	r := newHarness(t, nil, nil)
	f := r.openFlight(1 << 20)
	p := newPeer(r.run, 1)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const captures = 60
	var first uint64
	goroutines := 0
	for n := 1; n <= captures; n++ {
		s := r.capture(f, n, time.Now().Add(-time.Second), Scope{})
		p.sayTo(f.Ring, record.In, []byte("12345"))
		s.Close(time.Now())
		if n == captures/3 {
			r.store.snapshots.backlog.working.Wait()
			first, goroutines = heap(), runtime.NumGoroutine()
		}
	}
	r.store.snapshots.backlog.working.Wait()
	if grown := int64(heap()) - int64(first); grown > 1<<20 || runtime.NumGoroutine() > goroutines {
		t.Errorf("the heap has grown by %d bytes, there are %d goroutines of %d", grown, runtime.NumGoroutine(), goroutines)
	}
	if slices.Contains(f.slots, true) || len(r.store.captures) > 0 {
		t.Errorf("slots %v, captures %v", f.slots, r.store.captures)
	}
	if a := r.store.Stats().Accounts; a.Seen.In != 5*captures || a.Written.In != 5*captures {
		t.Errorf("totals %+v", a)
	}
	f.Shut()
	f.Close()
	r.quiet()
}
