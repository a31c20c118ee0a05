package persistence

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"relative": "dump", "under a file": filepath.Join(file, "dump"), "a file": file, "none": ""} {
		if _, err := Open(testConfig(dir), Host{}); err == nil || !strings.Contains(err.Error(), "Dir") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := testConfig(t.TempDir())
	bad.Workers, bad.BufferSize, bad.Formats = -1, 1, nil
	_, err := Open(bad, Host{})
	for _, field := range []string{"Workers", "BufferSize", "Formats"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestOneWindowAtATime(t *testing.T) {
	r := newHarness(t, nil, nil)
	s := r.open(1)
	if _, err := r.store.OpenWindow(record.Window{ID: windowID(2)}); err == nil || !strings.Contains(err.Error(), windowID(1)) {
		t.Errorf("a second window: %v", err)
	}
	s.Close(time.Now())
	r.open(3).Close(time.Now())
	r.store.Close()
	r.store.Close()
	if _, err := r.store.OpenWindow(record.Window{ID: windowID(4)}); err == nil {
		t.Error("a window of a closed store")
	}
}

// The statistics are of one moment, add up, and go on over windows.
func TestStatsAddUp(t *testing.T) {
	r := newHarness(t, nil, nil)
	p := newPeer(r.run, 1)
	s := r.open(1)
	p.say(s, record.In, []byte("12345"))
	st := r.store.Stats()
	if st.Window == nil || st.Window.Seen.In != 5 || st.Accounts.Seen.In != 5 || st.Windows != 0 {
		t.Errorf("in the window: %+v", st)
	}
	s.Close(time.Now())
	r.window(2, func(s *Session) { p.say(s, record.Out, []byte("123")) })
	st = r.store.Stats()
	if st.Window != nil || st.Windows != 2 || st.Buffered != 0 || st.Accounts.Written != (record.PerDirection{In: 5, Out: 3}) || st.Accounts.Connections != 2 {
		t.Errorf("after two windows: %+v", st)
	}
}

// An index line is complete and has what the window had.
func TestTheIndexLineHasWhatTheWindowHad(t *testing.T) {
	r := newHarness(t, nil, nil)
	opened := time.Now()
	w := r.window(1, func(s *Session) {
		for i := range 3 {
			p := newPeer(r.run, i+1)
			p.say(s, record.In, []byte("12345"))
			p.say(s, record.Out, []byte("123"))
		}
	})
	want := oracle.Window{
		Window: windowID(1), Trigger: "manual", Run: r.run, Connections: 3,
		Records: oracle.PerDirection{In: 3, Out: 3}, Seen: oracle.PerDirection{In: 15, Out: 9}, Written: oracle.PerDirection{In: 15, Out: 9},
	}
	if w.Opened.Before(opened) || w.Closed.Before(w.Opened) {
		t.Errorf("from %v to %v", w.Opened, w.Closed)
	}
	same(t, "files", w.Files, []string{layout.FlowLog})
	same(t, "ports", w.Ports, []string{"2045"})
	if w.Window != want.Window || w.Trigger != want.Trigger || w.Run != want.Run || w.Connections != 3 || w.Records != want.Records || w.Seen != want.Seen || w.Written != want.Written || len(w.LostBy) > 0 {
		t.Errorf("index %+v, want %+v", w, want)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, layout.Index))
	if err != nil || !strings.Contains(string(text), `"lost_by":{}`) || strings.Count(string(text), "\n") != 1 {
		t.Errorf("index %q, %v", text, err)
	}
	empty := r.window(2, func(*Session) {})
	if empty.Files == nil || empty.Ports == nil || len(empty.Files)+len(empty.Ports) > 0 {
		t.Errorf("a window without traffic: %+v", empty)
	}
}

// Too little free space holds the session from its first byte.
func TestTooLittleSpacePausesTheSession(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.MinFree = MinFree{Bytes: 1 << 60} }, nil)
	w := r.window(1, func(s *Session) {
		if !s.Paused() {
			t.Error("not paused")
		}
		newPeer(r.run, 1).say(s, record.In, []byte("12345"))
	})
	if w.LostBy["disk"] != 5 {
		t.Errorf("index %+v", w)
	}
	if a := r.alerted(); len(a) != 1 || !strings.Contains(a[0], "min_free") {
		t.Errorf("alerts: %q", a)
	}
}

// Reading and writing of one connection, its end, pauses, status and the closing
// come from goroutines of their own. This is for the race detector.
func TestASessionMayBeUsedConcurrently(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Formats = MinBufferSize, []Format{FormatHexMeta, FormatPcapng} }, nil)
	for n := range 3 {
		s := r.open(n)
		p := newPeer(r.run, 1)
		var talk sync.WaitGroup
		start := func(f func(i int)) {
			talk.Add(1)
			go func() {
				defer talk.Done()
				for i := range 200 {
					f(i)
				}
			}()
		}
		data := make([]byte, 300)
		start(func(int) { s.Data(&p.Conn, record.In, record.PerDirection{}, [][]byte{data}, len(data)) })
		start(func(int) { s.Data(&p.Conn, record.Out, record.PerDirection{}, [][]byte{data}, len(data)) })
		start(func(int) { s.Skip(&p.Conn, record.Out, record.PerDirection{}, 7, record.ReasonUnseen) })
		start(func(int) { s.Pause(record.ReasonGuard); s.Resume(record.ReasonGuard) })
		start(func(int) { r.store.Stats(); s.Paused(); s.Accounts(); s.Buffered() })
		start(func(i int) {
			if i == 150 {
				s.End(&p.Conn, "LocalClose", record.PerDirection{In: 1, Out: 1})
			}
		})
		start(func(i int) {
			if i == 190 {
				s.Close(time.Now())
			}
		})
		talk.Wait()
		r.indexed(n) // which checks that it adds up
	}
	r.connections()
}
