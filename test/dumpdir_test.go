package test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// nobody is a user that is neither root nor the one of these tests.
const nobody = 65534

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// mkdir makes a directory of that mode, whatever the umask.
func mkdir(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	must(t, os.MkdirAll(path, 0o700), os.Chmod(path, mode))
	return path
}

// A directory that is not the proxy user's or root's, or that lies below such a one, is
// refused with the reason. A folder in a pod's volume, which all may write, is not.
func TestADumpDirectoryOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	base := newBase(t)
	in := func(name string) string { return filepath.Join(base, name) }
	cases := map[string]struct {
		dir    string
		reason string // part of it
	}{
		"somebody's":            {mkdir(t, in("a"), 0o755), "a directory that belongs to root"},
		"below somebody's":      {mkdir(t, in("b/c/dump"), 0o700), in("b/c") + " is not one that belongs to root"},
		"new, below somebody's": {in("b/c/new"), in("b/c") + " is not one that belongs to root"},
		"below somebody's link": {in("link/dump"), in("link") + " is not one that belongs to root"},
		"a link to somebody's":  {in("own"), "a directory that belongs to root"},
		"a volume of a pod":     {mkdir(t, in("volume"), 0o777), "name a folder in it"},
		"of a group":            {mkdir(t, in("group"), os.ModeSetgid|0o775), "name a folder in it"},
	}
	must(t,
		os.Chown(in("a"), nobody, nobody), os.Chown(in("b/c"), nobody, nobody), os.Chown(in("group"), 0, nobody),
		os.Symlink(mkdir(t, in("d"), 0o700), in("link")), os.Lchown(in("link"), nobody, nobody), os.Symlink(in("a"), in("own")),
	)
	var listeners []mosnproc.Listener
	for name, c := range cases {
		listeners = append(listeners, mosnproc.NewListener(name, freeAddress(t), recorder(base, block{"output": block{"dir": c.dir, "formats": []string{"hex_meta"}}}), mosnproc.TCPProxy()))
	}
	address, good := freeAddress(t), filepath.Join(in("volume"), "dump")
	listeners = append(listeners, mosnproc.NewListener("good", address, recorder(base, block{"output": block{"dir": good, "formats": []string{"hex_meta"}}}), mosnproc.TCPProxy()))
	m := start(t, base, configOf(upstream(t, echo), listeners...))
	m.dump = good
	refused := refusals(t, m)
	for name, c := range cases {
		if !strings.Contains(refused[name], "output.dir") || !strings.Contains(refused[name], c.reason) {
			t.Errorf("%s: refused for %q, want %q", name, refused[name], c.reason)
		}
		if files, err := filepath.Glob(filepath.Join(c.dir, "dump_*")); err != nil || len(files) != 0 {
			t.Errorf("%s: holds %q, %v", name, files, err)
		}
	}
	if reason := refused["good"]; reason != "" {
		t.Fatalf("the good one is refused: %s", reason)
	}
	w := m.window(func() { sendOnce(t, address, "for a folder in a volume") })
	complete(t, w)
	if all := m.connections(w); len(all) != 1 {
		t.Errorf("%d connections", len(all))
	}
	m.ownersOnly()
}

// Whatever has the recorder's names in the dump directory, nothing outside of it is
// written, nothing hangs, and the traffic is recorded.
func TestPlantedNamesLeadNowhere(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	dir := mkdir(t, dumpDir(base), 0o700)
	victim := func(name, text string) string {
		path := filepath.Join(base, name)
		must(t, os.WriteFile(path, []byte(text), 0o640), os.Chmod(path, 0o640))
		return path
	}
	secret, empty, absent := victim("secret", "root's only\n"), victim("empty", ""), filepath.Join(base, "absent")
	must(t,
		os.Symlink(secret, filepath.Join(dir, layout.Index+layout.TemporaryExtension)),
		os.Symlink(absent, filepath.Join(dir, layout.StaticConfigs)),
		os.Link(empty, filepath.Join(dir, layout.FlowLog)),
		syscall.Mkfifo(filepath.Join(dir, layout.EffectiveConfigs), 0o600),
		syscall.Mkfifo(filepath.Join(dir, layout.SpoolPointerPrefix+"aaaaaa-00000000"), 0o600),
	)
	m, address := echoMosn(t, base, roomy(), block{"output": block{"dir": dir, "formats": []string{"hex_meta", "pcapng"}, "roll": "size=1 keep=1"}})
	text := strings.Repeat("payload ", 128<<10)
	var w oracle.Window
	for range 3 { // so that rolled files go, which the index notes
		w = m.window(func() { sendOnce(t, address, text) })
		complete(t, w)
	}
	m.segments(w)
	windows, err := oracle.ReadIndex(dir)
	must(t, err)
	if len(windows) != 3 || len(windows[0].Removed) == 0 {
		t.Errorf("the index has %+v", windows)
	}
	for path, want := range map[string]string{secret: "root's only\n", empty: ""} {
		if got := mustRead(t, path); string(got) != want {
			t.Errorf("%s holds %d bytes", path, len(got))
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if _, err := os.Lstat(absent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the target of a link has been created: %v", err)
	}
	// What could not be written is an alert.
	if words := layout.EffectiveConfigs + ": it is a pipe"; !strings.Contains(m.Log(), words) {
		t.Errorf("the log does not say %q", words)
	}
}

// swap is a window whose dump directory is moved away.
type swap struct {
	m      *mosn
	conn   net.Conn
	window string
	moved  string // where the directory is
}

func startSwap(t *testing.T, format string) *swap {
	t.Helper()
	base := newBase(t)
	m, address := echoMosn(t, base, block{"output": block{"dir": dumpDir(base), "formats": []string{format}}})
	conn, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s := &swap{m: m, conn: conn, window: m.open(), moved: m.dump + ".moved"}
	s.record("in the first one")
	must(t, os.Rename(m.dump, s.moved))
	return s
}

// record sends text until some of what was sent is written.
func (s *swap) record(text string) {
	t := s.m.t
	t.Helper()
	before := s.m.account().Written.In
	eventually(t, "something is written", func() bool {
		sendAndReceive(t, s.conn, text)
		return s.m.account().Written.In > before
	})
}

// swapIn renames path to the dump directory's. The recorder may make that anew at any
// time.
func (s *swap) swapIn(path string) {
	s.m.t.Helper()
	eventually(s.m.t, path+" is the dump directory", func() bool {
		return os.RemoveAll(s.m.dump) == nil && os.Rename(path, s.m.dump) == nil
	})
}

// sum fails the test unless all bytes are accounted for.
func (s *swap) sum(w oracle.Window) {
	s.m.t.Helper()
	if w.Seen.In != w.Written.In+w.Lost.In || w.Seen.Out != w.Written.Out+w.Lost.Out || w.Written.In == 0 {
		s.m.t.Errorf("seen %+v, written %+v, lost %+v by %v", w.Seen, w.Written, w.Lost, w.LostBy)
	}
}

// holds reports whether a record in dir has that text.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	d, err := dump.Open([]string{dir}, dump.Options{})
	if errors.Is(err, dump.ErrNoDump) {
		return false
	}
	must(t, err)
	defer d.Close()
	for {
		r, err := d.Next()
		var damage *record.DamageError // the other directory has the window's first segment
		if errors.As(err, &damage) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return false
		}
		must(t, err)
		if bytes.Contains(r.Data, []byte(text)) {
			return true
		}
	}
}

// A directory that is swapped for a link gets nothing where the link leads, and the
// losses are counted, until there is a good directory again.
func TestALinkInPlaceOfTheDumpDirectoryGetsNothing(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"hex_meta", "pcapng"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := startSwap(t, format)
			trap := mkdir(t, s.m.dump+".trap", 0o755)
			must(t, os.Symlink(trap, s.m.dump))
			eventually(t, "something is lost", func() bool {
				sendAndReceive(t, s.conn, "for the trap")
				return s.m.account().LostBy["write_error"] > 0
			})
			if s.m.alerts("write") == 0 || !strings.Contains(s.m.Log(), "and not a symbolic link to") {
				t.Error("the log has no alert")
			}
			if entries, err := os.ReadDir(trap); err != nil || len(entries) != 0 {
				t.Errorf("the trap holds %v, %v", entries, err)
			}
			must(t, os.Remove(s.m.dump), os.Mkdir(s.m.dump, 0o700))
			s.record("in the second one")
			w := s.m.close(s.window)
			s.sum(w)
			if w.LostBy["write_error"] != w.Lost.In+w.Lost.Out || w.Lost.In == 0 {
				t.Errorf("lost %+v by %v", w.Lost, w.LostBy)
			}
			if !holds(t, s.moved, "in the first one") || !holds(t, s.m.dump, "in the second one") || holds(t, s.m.dump, "in the first one") {
				t.Error("the directories do not hold what was recorded in them")
			}
			s.m.ownersOnly()
		})
	}
}

// However fast a link and the directory change places, nothing goes where the link leads,
// and all bytes are accounted for.
func TestADirectoryThatIsSwappedInALoopLeaksNothing(t *testing.T) {
	t.Parallel()
	s := startSwap(t, "pcapng")
	trap := mkdir(t, s.m.dump+".trap", 0o777)
	link := filepath.Join(s.m.Base(), "link")
	for range 300 {
		must(t, os.Symlink(trap, link))
		s.swapIn(link)
		sendAndReceive(t, s.conn, strings.Repeat("payload ", 1000))
		s.swapIn(s.moved)
		sendAndReceive(t, s.conn, "payload")
		must(t, os.Rename(s.m.dump, s.moved))
	}
	s.swapIn(s.moved)
	s.record("payload")
	w := s.m.close(s.window)
	s.sum(w)
	if entries, err := os.ReadDir(trap); err != nil || len(entries) != 0 {
		t.Errorf("the trap holds %v, %v", entries, err)
	}
	t.Logf("seen %d bytes, written %d, lost by %v", w.Seen.In, w.Written.In, w.LostBy)
}

// A directory that is moved away and made anew is an alert, and nothing is lost.
func TestRecordingGoesOnInADirectoryThatReplacesAnother(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"hex_meta", "pcapng"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := startSwap(t, format)
			if err := os.Mkdir(s.m.dump, 0o700); err != nil && !errors.Is(err, os.ErrExist) { // the recorder may have been faster
				t.Fatal(err)
			}
			s.record("in the second one")
			eventually(t, "the second one holds it", func() bool {
				sendAndReceive(t, s.conn, "in the second one")
				return holds(t, s.m.dump, "in the second one")
			})
			w := s.m.close(s.window)
			complete(t, w)
			s.sum(w)
			if s.m.alerts("directory") != 1 {
				t.Errorf("%d alerts", s.m.alerts("directory"))
			}
			if !holds(t, s.moved, "in the first one") || holds(t, s.moved, "in the second one") {
				t.Error("the first directory does not hold what was recorded in it")
			}
		})
	}
}

// A directory that is given to another user, or opened to all, gets nothing more.
func TestADirectoryThatChangesItsOwnerGetsNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	base := newBase(t)
	m, address := echoMosn(t, base)
	conn, err := net.Dial("tcp", address)
	must(t, err)
	defer conn.Close()
	s := &swap{m: m, conn: conn, window: m.open()}
	s.record("payload")
	for _, change := range []func() error{
		func() error { return os.Chown(m.dump, nobody, nobody) },
		func() error { return os.Chmod(m.dump, 0o777) },
	} {
		must(t, change())
		before := m.account().LostBy["write_error"]
		eventually(t, "something is lost", func() bool {
			sendAndReceive(t, conn, "payload")
			return m.account().LostBy["write_error"] > before
		})
		must(t, os.Chown(m.dump, 0, 0), os.Chmod(m.dump, 0o700))
		s.record("payload")
	}
	// Alerts of a kind keep silent for a while after the first.
	if m.alerts("write") == 0 || !strings.Contains(m.Log(), m.dump+" belongs to user 65534") {
		t.Error("the log has no alert that names the owner")
	}
	s.sum(m.close(s.window))
}
