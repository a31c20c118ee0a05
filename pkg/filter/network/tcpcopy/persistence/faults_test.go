package persistence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// shortWrites is a limit on the size of files that comes and goes: the write that
// reaches it is cut short, and the next one fails.
type shortWrites struct {
	t    *testing.T
	path string
	old  unix.Rlimit
}

// newShortWrites is for tests that run inOwnProcess.
func newShortWrites(t *testing.T, path string) *shortWrites {
	s := &shortWrites{t: t, path: path}
	signal.Ignore(unix.SIGXFSZ) // which otherwise comes before the error
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &s.old); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.repair()
		signal.Reset(unix.SIGXFSZ)
	})
	return s
}

// inOwnProcess runs the test in a process of its own, because a limit holds for
// all files of a process, those of the testing package too. It is true in that
// process; elsewhere the test is over.
func inOwnProcess(t *testing.T) bool {
	const mark = "TCPCOPY_TEST_PROCESS"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func (s *shortWrites) next(r *rand.Rand) {
	defer runtime.Gosched()
	if r.IntN(3) > 0 {
		s.repair()
		return
	}
	size := int64(0)
	if info, err := os.Stat(s.path); err == nil {
		size = info.Size()
	}
	s.limit(uint64(size) + r.Uint64N(30_000))
}

func (s *shortWrites) repair() { s.limit(s.old.Cur) }

func (s *shortWrites) limit(n uint64) {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: s.old.Max}); err != nil {
		s.t.Error(err)
	}
}

// lostDirectory puts a file in the directory's place, and the directory back. All
// that would be created or opened there fails.
type lostDirectory struct {
	t         *testing.T
	dir, file string
	lost      bool
}

func newLostDirectory(t *testing.T, dir string) *lostDirectory {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return &lostDirectory{t: t, dir: dir, file: file}
}

func (d *lostDirectory) next(r *rand.Rand) {
	defer runtime.Gosched()
	if r.IntN(2) == 0 {
		d.swap()
	}
}

func (d *lostDirectory) repair() {
	if d.lost {
		d.swap()
	}
}

func (d *lostDirectory) swap() {
	if err := unix.Renameat2(unix.AT_FDCWD, d.dir, unix.AT_FDCWD, d.file, unix.RENAME_EXCHANGE); err != nil {
		d.t.Error(err)
	}
	d.lost = !d.lost
}

// Files that fail at any time, and write half a batch before, leave gaps: the log
// has no torn line, no byte twice and none that is not accounted for.
func TestTheLogIsExactWhenFilesFail(t *testing.T) {
	if !inOwnProcess(t) {
		return
	}
	var missed uint64
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 2))
		size := []int64{MinBufferSize, 1 << 20}[r.IntN(2)]
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := &scenario{harness: newHarness(t, func(c *Config) {
				c.BufferSize, c.Roll.Size = size, 1<<20
			}, nil)}
			s.faults = newShortWrites(t, filepath.Join(s.dir, layout.FlowLog))
			if seed%2 == 1 {
				s.faults = newLostDirectory(t, s.dir)
			}
			for i := range 1 + r.IntN(30) {
				s.peers = append(s.peers, newPeer(s.run, i+1))
			}
			s.play(seed, 3, 4, 250)
			s.judge(false)
			for n := range s.sessions {
				missed += s.indexed(n).LostBy["write_error"]
			}
		})
	}
	if missed == 0 {
		t.Error("no write has failed")
	}
}

// With two formats a byte is written when both files have it.
func TestWrittenIsWhatEveryFileHas(t *testing.T) {
	if !inOwnProcess(t) {
		return
	}
	r := newHarness(t, func(c *Config) { c.Formats = []Format{FormatHexMeta, FormatPcapng} }, nil)
	faulty := newShortWrites(t, "")
	p := newPeer(r.run, 1)
	w := r.window(1, func(s *Session) {
		p.say(s, record.In, []byte("both"))
		awaitWritten(t, s)
		// The segment is the larger file at first: the log still has room.
		info, err := os.Stat(filepath.Join(r.dir, layout.FlowLog))
		if err != nil {
			t.Fatal(err)
		}
		faulty.limit(uint64(info.Size()) + 150)
		p.say(s, record.In, []byte("one"))
		awaitWritten(t, s)
		faulty.repair()
		p.say(s, record.In, []byte("both again"))
	})
	if w.Seen.In != 17 || w.Written.In != 14 || w.LostBy["write_error"] != 3 {
		t.Errorf("index %+v", w)
	}
	if c := r.connections()[0]; c.In.Kept() < w.Written.In || c.In.End() != 17 {
		t.Errorf("the log keeps %d bytes of %d", c.In.Kept(), c.In.End())
	}
}

// awaitWritten returns when all that has been offered to s is written or lost.
func awaitWritten(t *testing.T, s *Session) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		a := s.Accounts()
		if a.Seen.In == a.Written.In+a.Lost.In && a.Seen.Out == a.Written.Out+a.Lost.Out {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not written in 20 s: %+v", a)
		}
		runtime.Gosched()
	}
}

// fillUp makes a file of the file system's last free bytes but rest.
func fillUp(t *testing.T, path string, rest int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(max(0, info.Size()-rest)); err != nil {
		t.Fatal(err)
	}
}

// A full file system loses what comes meanwhile, with one alert for all of it, and
// nothing of what was there or comes later.
func TestAFullFileSystemCostsOnlyTheRecordsOfThatTime(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		t.Skipf("a file system of 2 MiB cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r := openHarness(t, dir, "aaaaaa", nil, nil)
	p, ballast := newPeer(r.run, 1), filepath.Join(dir, "ballast")
	text := []byte(strings.Repeat("full or not ", 500))
	w := r.window(1, func(s *Session) {
		p.say(s, record.In, text)
		awaitWritten(t, s)
		fillUp(t, ballast, 8<<10) // some of the next batch finds room
		for range 3 {
			p.say(s, record.In, text)
			awaitWritten(t, s)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		p.say(s, record.In, text)
	})
	n := uint64(len(text))
	if w.Seen.In != 5*n || w.Written.In != 2*n || w.LostBy["write_error"] != 3*n {
		t.Errorf("of 5 times %d bytes: %+v", n, w)
	}
	r.agrees(w)
	p.compare(t, r.connections()[0])
	if a := r.alerted(); len(a) != 1 || !strings.Contains(a[0], "no space left") || !strings.Contains(a[0], layout.FlowLog) {
		t.Errorf("alerts: %q", a)
	}
	r.store.Close()
}

// A directory that somebody removes comes back with the next batch. What was in
// its files is gone, and nothing else.
func TestARemovedDirectoryComesBack(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.Formats = []Format{FormatHexMeta, FormatPcapng} }, nil)
	p := newPeer(r.run, 1)
	s := r.open(1)
	p.say(s, record.In, []byte("before"))
	awaitWritten(t, s)
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	p.say(s, record.In, []byte("after"))
	s.Close(time.Now())
	if w := r.indexed(1); w.Written.In != 11 {
		t.Errorf("index %+v", w)
	}
	log, err := os.ReadFile(filepath.Join(r.dir, layout.FlowLog))
	if err != nil || !strings.HasSuffix(string(log), "[aaaaaa-1 > 6]61 66 74 65 72\n") {
		t.Errorf("log %q, %v", log, err)
	}
	segments, err := filepath.Glob(filepath.Join(r.dir, "*"+layout.SegmentExtension))
	if err != nil || len(segments) != 1 {
		t.Errorf("segments %q, %v", segments, err)
	}
	r.quiet()
}

// A directory that must not be written any more is an alert, once, and the index
// gets the window's line when it may be written again.
func TestAForbiddenDirectoryIsOneAlert(t *testing.T) {
	r := newHarness(t, nil, nil)
	lost := newLostDirectory(t, r.dir) // to whoever may do everything, too
	p := newPeer(r.run, 1)
	s := r.open(1)
	lost.swap()
	p.say(s, record.In, []byte("nowhere"))
	awaitWritten(t, s)
	p.say(s, record.In, []byte("to go"))
	s.Close(time.Now())
	lost.swap()
	if a := r.alerted(); len(a) == 0 || !strings.Contains(a[0], layout.FlowLog) && !strings.Contains(a[0], r.dir) {
		t.Errorf("alerts: %q", a)
	}
	r.window(2, func(s *Session) { p.say(s, record.In, []byte("here")) })
	first, second := r.indexed(1), r.indexed(2)
	if first.Lost.In != 12 || first.Written.In != 0 || second.Written != (oracle.PerDirection{In: 4}) {
		t.Errorf("index %+v, %+v", first, second)
	}
}

// What the index could not take is written when the store closes, if not before.
func TestTheLastWindowsLineIsWrittenAtClose(t *testing.T) {
	r := newHarness(t, nil, nil)
	lost := newLostDirectory(t, r.dir)
	s := r.open(1)
	newPeer(r.run, 1).say(s, record.In, []byte("x"))
	lost.swap()
	s.Close(time.Now())
	lost.swap()
	r.store.Close()
	r.store.Close()
	r.indexed(1)
}

// A line that a killed process has left half-written is cut off, so that the next
// one does not stick to it.
func TestAnIncompleteLineIsCutOff(t *testing.T) {
	for name, left := range map[string]string{
		"only":  "2024-05-06 07:08:09,123456 [INFO] [00",
		"last":  "whole\nhalf",
		"long":  "whole\n" + strings.Repeat("half", 100_000),
		"whole": "whole\n",
		"none":  "",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, layout.FlowLog)
		if err := os.WriteFile(path, []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		r := openHarness(t, dir, "aaaaaa", nil, nil)
		p := newPeer(r.run, 1)
		r.window(1, func(s *Session) { p.say(s, record.In, []byte("x")) })
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := left[:strings.LastIndex(left, "\n")+1]
		lines := strings.SplitAfter(strings.TrimPrefix(string(log), want), "\n")
		if !strings.HasPrefix(string(log), want) || len(lines) != 3 || !strings.Contains(lines[0], "[aaaaaa-1 open]") {
			t.Errorf("%s: %.200q", name, log)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != logdir.FileMode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
