package persistence

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// A write that hangs is one alert, and its end one line, however long it lasts and
// however many workers it keeps.
func TestAHangIsReportedOnce(t *testing.T) {
	var infos []string
	r := newHarness(t, nil, func(h *Host) {
		h.Info = func(format string, args ...any) { infos = append(infos, fmt.Sprintf(format, args...)) }
	})
	s := r.open(1)
	now := time.Now()
	h := &hangWatch{store: r.store, window: windowID(1)} // a second one, whose clock is the test's
	h.opened(s.shards)
	later := func(d time.Duration) {
		now = now.Add(d)
		h.look(now)
	}
	later(0)
	later(time.Hour) // nothing to do is no hang
	resume := hang(r)
	peers := []*peer{newPeer(r.run, 1), newPeer(r.run, 2), newPeer(r.run, 3), newPeer(r.run, 4)}
	stuck := func() bool { // the workers have come once, and come no more
		for _, sh := range s.shards {
			if n, _ := sh.Progress(); n < 2 {
				return false
			}
		}
		return true
	}
	for !stuck() {
		for _, p := range peers {
			p.say(s, record.In, []byte("x"))
		}
	}
	for _, p := range peers {
		p.say(s, record.In, []byte("y"))
	}
	later(time.Second)
	later(hangAfter - 1)
	r.quiet()
	later(1)
	later(time.Second)
	later(time.Hour)
	if a := r.alerted(); len(a) != 1 || !strings.HasPrefix(a[0], "hang: writing window "+windowID(1)) || !strings.Contains(a[0], r.dir) {
		t.Errorf("alerts: %q", a)
	}
	resume()
	awaitWritten(t, s)
	later(time.Second)
	later(time.Hour)
	if n := len(infos); n != 1 || !strings.Contains(infos[0], "answers again") {
		t.Errorf("infos: %q", infos)
	}
	s.Close(time.Now())
	r.agrees(r.indexed(1))
	if a := r.alerted(); len(a) != 1 {
		t.Errorf("alerts: %q", a)
	}
}

// The opening and the closing of a window are watched, too.
func TestOpeningAndClosingMayHang(t *testing.T) {
	r := newHarness(t, nil, nil)
	now := time.Now()
	h := &hangWatch{store: r.store, window: windowID(1), busy: "opening"}
	h.look(now)
	h.look(now.Add(hangAfter))
	h.opened(nil)
	h.look(now.Add(2 * hangAfter))
	r.store.alerted = map[string]time.Time{}
	for range 3 { // each part of the closing has its time
		h.step()
		now = now.Add(4 * hangAfter)
		h.look(now)
		h.look(now.Add(hangAfter - 1))
	}
	h.look(now.Add(hangAfter))
	got := r.alerted()
	if len(got) != 2 || !strings.HasPrefix(got[0], "hang: opening") || !strings.HasPrefix(got[1], "hang: closing") {
		t.Errorf("alerts: %q", got)
	}
}

// While the disk hangs in the opening or closing of a window, the store answers.
func TestTheStoreAnswersWhileTheDiskHangs(t *testing.T) {
	r := newHarness(t, nil, nil)
	p := newPeer(r.run, 1)
	s := r.open(1)
	p.say(s, record.In, []byte("12345"))
	awaitWritten(t, s)
	resume := hang(r)
	p.say(s, record.In, []byte("678"))
	closed := make(chan struct{})
	go func() { // ends after resume
		defer close(closed)
		s.Close(time.Now())
	}()
	if st := r.store.Stats(); st.Window == nil || st.Accounts.Seen.In != 8 {
		t.Errorf("while it is closed: %+v", st)
	}
	if got := r.store.Seal(); got != windowID(1) {
		t.Errorf("sealed with window %q", got)
	}
	resume()
	<-closed
	r.agrees(r.indexed(1))
	if got := r.store.Seal(); got != "" {
		t.Errorf("sealed with window %q", got)
	}

	r = openHarness(t, t.TempDir(), "bbbbbb", nil, nil)
	resume = hang(r) // which a window's beginning needs
	opened := make(chan *Session)
	go func() { opened <- r.open(2) }()
	for opening := ""; opening == ""; runtime.Gosched() {
		r.store.Stats()
		r.store.mu.Lock()
		opening = r.store.opening
		r.store.mu.Unlock()
	}
	if got := r.store.Seal(); got != windowID(2) {
		t.Errorf("sealed with window %q", got)
	}
	if _, err := r.store.OpenWindow(record.Window{ID: windowID(3)}); err == nil {
		t.Error("a window of a sealed store")
	}
	resume()
	s = <-opened // what was begun goes on
	p.say(s, record.In, []byte("9"))
	s.Close(time.Now())
	if w := r.indexed(2); w.Written.In != 1 {
		t.Errorf("index %+v", w)
	}
	if !slices.Equal(r.alerted(), nil) {
		t.Errorf("alerts: %q", r.alerted())
	}
}
