package tcpcopy

import (
	"errors"
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
func (r *rig) hang() (resume func()) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, layout.FlowLog), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		r.t.Fatal(err)
	}
	resume = sync.OnceFunc(func() { f.Close() })
	r.t.Cleanup(resume)
	return resume
}

// hungWindow opens a window whose disk hangs, and begins to close it. closed gets
// what CloseWindow returns.
func (r *rig) hungWindow(c *fakeConn) (id string, resume func(), closed chan error) {
	r.t.Helper()
	w, err := r.recorder.controller.OpenManual(time.Hour)
	if err != nil {
		r.t.Fatal(err)
	}
	resume = r.hang()
	c.receive("hung")
	closed = make(chan error, 1)
	go func() { // ends after resume
		_, err := r.recorder.controller.CloseWindow()
		closed <- err
	}()
	for r.recorder.status().Closing == nil {
		runtime.Gosched()
	}
	return w.ID, resume, closed
}

// While the disk takes nothing, everything but the closing of the window goes on.
func TestNothingWaitsForTheDisk(t *testing.T) {
	r := newRig(t, both)
	c := r.connect(r.factory)
	id, resume, closed := r.hungWindow(c)

	s := r.recorder.status()
	if s.Window != nil || s.Closing.ID != id || s.Closing.Accounts == nil || s.Closing.Accounts.Seen.In != 4 {
		t.Errorf("window %+v, closing %+v", s.Window, s.Closing)
	}
	if _, err := r.recorder.controller.OpenManual(time.Minute); !errors.Is(err, strategy.ErrBusy) || statusOf(err) != 409 || !strings.Contains(err.Error(), id) {
		t.Errorf("another window: %v", err)
	}
	c.receive("unrecorded")
	r.connect(r.factory).end(api.RemoteClose)
	r.bind("test", r.into(object{"strategy": strategyOf(90), "capture": object{"direction": "both"}}))
	if got := r.interval(); got != 90 {
		t.Errorf("the interval is %d", got)
	}
	// Another output is in force at once, and has its windows when the one of the
	// former is written out.
	old := r.dir
	r.dir = t.TempDir()
	r.bind("test", r.into(both))
	if got := r.recorder.status().Output.Dir; got != r.dir {
		t.Errorf("output %s", got)
	}
	if got := r.recorder.stats(); got.Accounts.Seen.In != 4 || got.Windows != 0 {
		t.Errorf("the totals forget the old output: %+v", got)
	}
	r.recorder.publish()
	select {
	case err := <-closed:
		t.Errorf("the window is closed without its disk, %v", err)
	default:
	}

	resume()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	r.recorder.retiring.Wait()
	if w, err := oracle.FindWindow(old, id); err != nil || w.Written.In != 4 {
		t.Errorf("old index %+v, %v", w, err)
	}
	if w := r.window(func() { c.receive("again") }); w.Written.In != 5 {
		t.Errorf("new index %+v", w)
	}
	if got := r.recorder.stats(); got.Accounts.Seen.In != 9 || got.Windows != 2 {
		t.Errorf("totals %+v", got)
	}
	if n := len(r.recorder.old); n > 0 {
		t.Errorf("%d old stores are left", n)
	}
}

// An output that is replaced just after its window has closed must not take the
// window of the new one with it.
func TestAReplacedOutputClosesItsOwnWindow(t *testing.T) {
	r := newRig(t, both)
	first := r.recorder.store
	r.dir = t.TempDir()
	r.bind("test", r.into(both))
	if _, err := r.recorder.controller.OpenManual(time.Hour); err != nil {
		t.Fatal(err)
	}
	r.recorder.retire(first) // late
	r.recorder.retiring.Wait()
	if r.recorder.controller.Open() == nil {
		t.Error("the new output's window is closed")
	}
}

// alertLog keeps the alerts.
type alertLog struct {
	testLog
	mu     sync.Mutex // guards the rest
	alerts []string
}

func (l *alertLog) Alertf(_, format string, _ ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alerts = append(l.alerts, format)
}

// A stop does not wait for the disk for ever, and says so.
func TestAStopEndsWithoutTheDisk(t *testing.T) {
	r := newRig(t, both)
	log := &alertLog{testLog: testLog{t}}
	r.recorder.host.log = log
	r.recorder.drainPatience = 50 * time.Millisecond
	id, resume, closed := r.hungWindow(r.connect(r.factory))
	r.recorder.close(false)
	if _, err := r.tryBind("late", object{}); !errors.Is(err, errStopping) {
		t.Errorf("bind: %v", err)
	}
	if r.recorder.status().Closing == nil {
		t.Error("the status has forgotten the window")
	}
	log.mu.Lock()
	if len(log.alerts) != 1 || !strings.HasPrefix(log.alerts[0], "stop: ") {
		t.Errorf("alerts %q", log.alerts)
	}
	log.mu.Unlock()
	resume()
	<-r.recorder.drained
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if w, err := oracle.FindWindow(r.dir, id); err != nil || w.Written.In != 4 {
		t.Errorf("index %+v, %v", w, err)
	}
	if s := r.recorder.stats(); s.Windows != 1 || !slices.Equal(r.recorder.old, nil) {
		t.Errorf("stats %+v", s)
	}
}
