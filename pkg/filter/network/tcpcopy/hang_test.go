package tcpcopy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/api"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// hang makes what is written to the flow log hang, until resume is called or the
// test ends: the lock of a file that somebody else has is waited for as long as a
// disk that does not answer.
func (h *harness) hang() (resume func()) {
	h.t.Helper()
	f, err := os.OpenFile(filepath.Join(h.dir, layout.FlowLog), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		h.t.Fatal(err)
	}
	resume = sync.OnceFunc(func() { f.Close() })
	h.t.Cleanup(resume)
	return resume
}

// hungWindow opens a window whose disk hangs, and begins to close it. closed gets
// what CloseWindow returns.
func (h *harness) hungWindow(c *fakeConn) (id string, resume func(), closed chan error) {
	h.t.Helper()
	w, err := h.recorder.controller.OpenManual(time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	resume = h.hang()
	c.receive("hung")
	closed = make(chan error, 1)
	go func() { // ends after resume
		_, err := h.recorder.controller.CloseWindow()
		closed <- err
	}()
	for h.recorder.status().Closing == nil {
		runtime.Gosched()
	}
	return w.ID, resume, closed
}

// While the disk takes nothing, everything but the closing of the window goes on.
func TestNothingWaitsForTheDisk(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	id, resume, closed := h.hungWindow(c)

	s := h.recorder.status()
	if s.Window != nil || s.Closing.ID != id || s.Closing.Accounts == nil || s.Closing.Accounts.Seen.In != 4 {
		t.Errorf("window %+v, closing %+v", s.Window, s.Closing)
	}
	if _, err := h.recorder.controller.OpenManual(time.Minute); !errors.Is(err, strategy.ErrBusy) || statusOf(err) != 409 || !strings.Contains(err.Error(), id) {
		t.Errorf("another window: %v", err)
	}
	c.receive("unrecorded")
	h.connect(h.factory).end(api.RemoteClose)
	h.bind("test", h.into(object{"strategy": strategyOf(90), "capture": object{"direction": "both"}}))
	if got := h.interval(); got != 90 {
		t.Errorf("the interval is %d", got)
	}
	// Another output is in force at once, and has its windows when the one of the
	// former is written out.
	old := h.dir
	h.dir = t.TempDir()
	h.bind("test", h.into(both))
	if got := h.recorder.status().Output.Dir; got != h.dir {
		t.Errorf("output %s", got)
	}
	if got := h.recorder.stats(); got.Accounts.Seen.In != 4 || got.Windows != 0 {
		t.Errorf("the totals forget the old output: %+v", got)
	}
	h.recorder.publish()
	select {
	case err := <-closed:
		t.Errorf("the window is closed without its disk, %v", err)
	default:
	}

	resume()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	h.recorder.retiring.Wait()
	if w, err := oracle.FindWindow(old, id); err != nil || w.Written.In != 4 {
		t.Errorf("old index %+v, %v", w, err)
	}
	if w := h.window(func() { c.receive("again") }); w.Written.In != 5 {
		t.Errorf("new index %+v", w)
	}
	if got := h.recorder.stats(); got.Accounts.Seen.In != 9 || got.Windows != 2 {
		t.Errorf("totals %+v", got)
	}
	if n := len(h.recorder.old); n > 0 {
		t.Errorf("%d old stores are left", n)
	}
}

// An output that is replaced just after its window has closed must not take the
// window of the new one with it.
func TestAReplacedOutputClosesItsOwnWindow(t *testing.T) {
	h := newHarness(t, both)
	first := h.recorder.store
	h.dir = t.TempDir()
	h.bind("test", h.into(both))
	if _, err := h.recorder.controller.OpenManual(time.Hour); err != nil {
		t.Fatal(err)
	}
	h.recorder.retire(first) // late
	h.recorder.retiring.Wait()
	if h.recorder.controller.Open() == nil {
		t.Error("the new output's window is closed")
	}
}

// alertLog keeps the alerts.
type alertLog struct {
	testLog
	mu     sync.Mutex // guards the rest
	alerts []string
}

func (l *alertLog) Alertf(_, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alerts = append(l.alerts, fmt.Sprintf(format, args...))
}

// A stop does not wait for the disk for ever, and says so.
func TestAStopEndsWithoutTheDisk(t *testing.T) {
	h := newHarness(t, both)
	log := &alertLog{testLog: testLog{t}}
	h.recorder.host.log = log
	h.recorder.drainTimeout = 50 * time.Millisecond
	id, resume, closed := h.hungWindow(h.connect(h.factory))
	h.recorder.close(false)
	if _, err := h.tryBind("late", object{}); !errors.Is(err, errStopping) {
		t.Errorf("bind: %v", err)
	}
	if h.recorder.status().Closing == nil {
		t.Error("the status has forgotten the window")
	}
	log.mu.Lock()
	if len(log.alerts) != 1 || !strings.HasPrefix(log.alerts[0], "stop: ") {
		t.Errorf("alerts %q", log.alerts)
	}
	log.mu.Unlock()
	resume()
	<-h.recorder.drained
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if w, err := oracle.FindWindow(h.dir, id); err != nil || w.Written.In != 4 {
		t.Errorf("index %+v, %v", w, err)
	}
	if s := h.recorder.stats(); s.Windows != 1 || !slices.Equal(h.recorder.old, nil) {
		t.Errorf("stats %+v", s)
	}
}
