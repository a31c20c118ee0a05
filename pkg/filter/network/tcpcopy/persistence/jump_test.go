package persistence

import (
	"slices"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// wallClock is the time of day without a monotonic reading, which somebody sets.
type wallClock struct {
	mu  sync.Mutex // guards the rest
	off time.Duration
}

func (c *wallClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.off)
}

func (c *wallClock) jump(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += by
}

// Whatever the clock is set to in a window, between two, and while a file waits
// after a failure: the records are exact, and the index says how long the windows
// were.
func TestRecordsAreExactWhenTheClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			setClock := &wallClock{}
			r := newHarness(t, func(c *Config) {
				c.Formats, c.Roll.Every = []Format{FormatHexMeta, FormatPcapng}, time.Hour
			}, func(h *Host) { h.Clock = clock.Func(setClock.now) })
			p := newPeer(r.run, 1)
			window := func(n int, in func(*Session)) {
				t.Helper()
				began := time.Now()
				s, err := r.store.OpenWindow(record.Window{ID: windowID(n), Trigger: record.TriggerManual, Opened: setClock.now()})
				if err != nil {
					t.Fatal(err)
				}
				p.say(s, record.In, []byte("before the jump"))
				awaitWritten(t, s)
				in(s)
				p.say(s, record.Out, []byte("after the jump"))
				s.Close(setClock.now())
				w := r.indexed(n)
				if length, most := w.Closed.Sub(w.Opened), time.Since(began)+time.Second; length < 0 || length > most {
					t.Errorf("window %d is said to have lasted %v, of %v", n, length, most)
				}
				r.agrees(w)
			}
			window(1, func(*Session) {})
			setClock.jump(jump)
			window(2, func(*Session) {})
			window(3, func(*Session) { setClock.jump(jump) })
			r.quiet()

			// The file is tried again no later than without the jump.
			lost := newLostDirectory(t, r.dir)
			window(4, func(s *Session) {
				r.store.flowLog.SetMemory(nil) // so that it is opened anew
				r.store.flowLog.SetMemory(make([]byte, 1<<20))
				lost.swap()
				p.say(s, record.In, []byte("lost"))
				awaitWritten(t, s)
				lost.swap()
				setClock.jump(jump)
				for tries := s.Accounts().Written.In; s.Accounts().Written.In == tries; {
					p.say(s, record.In, []byte("kept?"))
					awaitWritten(t, s)
				}
			})
			p.compare(t, r.connections()[0])
			if alerts := len(r.alerted()); alerts == 0 {
				t.Error("no write has failed")
			}

			// Nor are alerts silent for longer.
			before := len(r.alerted())
			r.store.alert("write", logdir.ErrWaiting)
			setClock.jump(jump)
			r.store.alert("write", logdir.ErrWaiting)
			if n := len(r.alerted()) - before; n < 1 {
				t.Errorf("%d alerts after a jump", n)
			}
			names := logs(t, r.dir)
			if slices.Sort(names); len(slices.Compact(names)) < 3 {
				t.Errorf("rolled by time: %q", names)
			}
		})
	}
}
