package test

import (
	"errors"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/program"
)

// hangFor is how long file systems hang in the tests, at least. From longHang on,
// there are more tests.
var hangFor = flag.Duration("hang", 8*time.Second, "how long a file system hangs in the tests of that; from 20s on there are more of them")

const longHang = 20 * time.Second

// frozen is a file system that can be made to hang: a write waits for as long as it
// is frozen, and its process cannot even be killed. So nothing of a test touches it
// meanwhile, and it is thawed when the test's process ends, however that ends.
type frozen struct {
	t    *testing.T
	dir  string
	thaw func()
}

// mountFreezable makes base's dump directory a file system of its own.
func mountFreezable(t *testing.T, base string) *frozen {
	t.Helper()
	for _, name := range []string{"mkfs.ext4", "mount", "fsfreeze"} {
		program.Require(t, name)
	}
	dir, image := dumpDir(base), filepath.Join(base, "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 256<<20), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("mount a file system in a file: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &frozen{t: t, dir: dir, thaw: func() {}}
}

// freeze makes the file system hang until thaw is called. It is to be called when
// the process is started, because cleanups run in the opposite order.
func (f *frozen) freeze() {
	f.t.Helper()
	// The program ends when the pipe is closed, if only because this process ends.
	program := exec.Command("sh", "-c", `fsfreeze -f "$1" && echo frozen && cat >&2; fsfreeze -u "$1"`, "sh", f.dir)
	hold, err := program.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	began, err := program.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		f.t.Fatal(err)
	}
	thawed := false
	f.thaw = func() {
		if thawed {
			return
		}
		thawed = true
		hold.Close()
		if err := program.Wait(); err != nil {
			f.t.Errorf("thaw: %v", err)
		}
	}
	f.t.Cleanup(func() { f.thaw() })
	if n, err := began.Read(make([]byte, 100)); err != nil || n == 0 {
		f.t.Fatalf("freeze: %v", err)
	}
}

// hanging is a recorder under load whose disk can be made to hang.
type hanging struct {
	*mosn
	disk    *frozen
	spec    mosnproc.Spec
	config  mosnproc.Config
	address string
	clients *visitors
}

func newHanging(t *testing.T, format string) *hanging {
	t.Helper()
	base, address := newBase(t), freeAddress(t)
	h := &hanging{address: address, disk: mountFreezable(t, base), spec: mosnproc.Spec{Base: base}}
	h.config = configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, recorder(base, block{
		"output": block{"dir": dumpDir(base), "formats": []string{format}, "min_free": "0"},
		"buffer": block{"size": "256KiB"},
	}), mosnproc.TCPProxy()))
	h.mosn = startSpec(t, h.spec, h.config)
	h.clients = newVisitors(t)
	const pace = 20 * time.Millisecond
	h.clients.visit(8, manner{kind: "TCP", address: address, pace: pace, send: sendEcho})
	h.clients.visit(4, manner{kind: "short TCP", address: address, pace: pace, most: 5, send: sendEcho})
	return h
}

// traffic is what a stretch of time had of it.
type traffic struct {
	perSecond float64
	stall     time.Duration // the longest without a message
}

// watchTraffic counts the clients' messages until goOn returns false.
func (h *hanging) watchTraffic(goOn func(past time.Duration) bool) (seen traffic) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began, first := time.Now(), h.clients.messages()
	last, lastAt := first, began
	for goOn(time.Since(began)) {
		<-tick.C
		if n := h.clients.messages(); n > last {
			last, lastAt = n, time.Now()
		} else {
			seen.stall = max(seen.stall, time.Since(lastAt))
		}
	}
	seen.perSecond = float64(last-first) / time.Since(began).Seconds()
	return seen
}

// answers fails the test unless the admin server answers while the disk hangs, which
// lasts until the test ends the hang.
func (h *hanging) answers(method, path, body string) {
	h.t.Helper()
	began := time.Now()
	if _, err := h.Admin.Do(deadline(h.t), method, path, "", []byte(body)); err != nil {
		h.t.Errorf("while the disk hangs: %v after %v", err, time.Since(began))
	}
}

// hang freezes the disk for hangFor, and until the log reports it, while all goes
// on. during is called once meanwhile.
func (h *hanging) hang(during func()) {
	t := h.t
	t.Helper()
	before := h.watchTraffic(func(past time.Duration) bool { return past < 2*time.Second })
	h.disk.freeze()
	defer h.disk.thaw()
	h.answers(http.MethodPut, "/api/v1/tcpcopy/config?layer=app", `{"switch":"OFF","interval":77}`)
	connections := h.clients.dialled.Load()
	during()
	asked, slowest := 0, time.Duration(0)
	limit := time.Now().Add(timeout)
	meanwhile := h.watchTraffic(func(past time.Duration) bool {
		began := time.Now()
		h.answers(http.MethodGet, "/api/v1/tcpcopy", "")
		h.answers(http.MethodGet, "/api/v1/stats", "")
		asked++
		slowest = max(slowest, time.Since(began))
		return (past < *hangFor || h.alerts("hang") == 0) && time.Now().Before(limit)
	})
	connections = h.clients.dialled.Load() - connections
	t.Logf("messages a second %.0f before, %.0f while the disk hangs; longest stall %v before, %v meanwhile; %d new connections; %d times status and metrics, in %v at most",
		before.perSecond, meanwhile.perSecond, before.stall, meanwhile.stall, connections, asked, slowest)
	if meanwhile.perSecond < before.perSecond/3 || meanwhile.stall > before.stall+*hangFor/2 {
		t.Errorf("the disk holds the traffic up: %+v, before %+v", meanwhile, before)
	}
	if connections < 10 {
		t.Errorf("%d new connections while the disk hangs", connections)
	}
}

// judge checks a window whose disk has hung.
func (h *hanging) judge(format string, w oracle.Window) {
	t := h.t
	t.Helper()
	if len(h.clients.faults) > 0 {
		t.Errorf("the clients have noticed: %v", h.clients.faults)
	}
	t.Logf("%d messages, seen %+v, written %+v, lost %+v", h.clients.messages(), w.Seen, w.Written, w.Lost)
	sum := oracle.PerDirection{In: w.Written.In + w.Lost.In, Out: w.Written.Out + w.Lost.Out}
	if w.Seen != sum || w.LostBy["buffer_full"] != w.Lost.In+w.Lost.Out || w.Lost.In == 0 || w.Written.In == 0 {
		t.Errorf("seen %+v, written %+v, lost %+v by %v, want buffer_full alone", w.Seen, w.Written, w.Lost, w.LostBy)
	}
	if n, all := h.alerts("hang"), strings.Count(h.Log(), "[ERROR] [tcpcopy]"); n != 1 || all != 1 {
		t.Errorf("%d alerts report that the disk hangs, of %d", n, all)
	}
	if format == "hex_meta" {
		h.connections(w)
	}
	h.keptAgrees(w, h.clients.visits)
	next := h.window(func() { sendOnce(t, h.address, "after") })
	complete(t, next)
	if next.Seen.In != uint64(len("after")) {
		t.Errorf("the next window has seen %+v", next.Seen)
	}
}
