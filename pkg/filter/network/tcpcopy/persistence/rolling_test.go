package persistence

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// logs returns the base names of the flow logs in dir, the current one last.
func logs(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir) // sorted: the names' times sort as text
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "dump_tcp_copy-") && !strings.HasSuffix(e.Name(), ".tmp") {
			names = append(names, e.Name())
		}
	}
	if exists(filepath.Join(dir, layout.FlowLog)) {
		names = append(names, layout.FlowLog)
	}
	return names
}

// talkMuch lets about n bytes of log lines pass, for which there must be room.
func talkMuch(s *Session, p *peer, n int) {
	data := make([]byte, 50_000)
	for range n/(3*len(data)) + 1 {
		p.say(s, record.In, data)
	}
}

func TestFilesAreRolledBySize(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Roll.Size = 8<<20, 1<<20 }, nil)
	p := newPeer(r.run, 1)
	w := r.window(1, func(s *Session) {
		for range 5 {
			p.say(s, record.In, make([]byte, 300_000)) // a line of 900 kB each
		}
	})
	names := logs(t, r.dir)
	if len(names) != 5 || !slices.Equal(names, w.Files) {
		t.Errorf("the logs are %q, the index has %q", names, w.Files)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 1<<20 || len(text) == 0 || text[len(text)-1] != '\n' || strings.Count(string(text), "> ") < 1 {
			t.Errorf("%s has %d bytes, not whole lines of less than 1 MiB", name, len(text))
		}
	}
	r.agrees(w)
	r.quiet()
}

func TestFilesAreRolledByTime(t *testing.T) {
	change := func(c *Config) { c.Roll.Every = time.Hour }
	r := newHarness(t, change, nil)
	path := filepath.Join(r.dir, layout.FlowLog)
	start := time.Date(2024, 5, 6, 7, 30, 0, 0, time.Local)
	window := func(r *harness, n int, at time.Duration) {
		t.Helper()
		r.clock.set(start.Add(at))
		r.window(n, func(s *Session) { newPeer(r.run, 1).say(s, record.In, []byte("now")) })
		if err := os.Chtimes(path, start.Add(at), start.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	for n, at := range []time.Duration{0, 29 * time.Minute, 30 * time.Minute, 89 * time.Minute, 90 * time.Minute} {
		window(r, n, at)
	}
	want := []string{"dump_tcp_copy-2024-05-06T08-00-00.000.log", "dump_tcp_copy-2024-05-06T09-00-00.000.log", layout.FlowLog}
	if names := logs(t, r.dir); !slices.Equal(names, want) {
		t.Errorf("the logs are %q, want %q", names, want)
	}
	// A file that the process before has left is as old as its last line.
	r.store.Close()
	next := openHarness(t, r.dir, "bbbbbb", change, nil)
	window(next, 5, 91*time.Minute)
	window(next, 6, 24*time.Hour+91*time.Minute)
	if names := logs(t, r.dir); len(names) != 4 || names[2] != "dump_tcp_copy-2024-05-07T09-01-00.000.log" {
		t.Errorf("after the restart the logs are %q", names)
	}
}

func TestOldArchivesGo(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Roll = 8<<20, Roll{Size: 1 << 20, Keep: 2} }, nil)
	p := newPeer(r.run, 1)
	for n := range 4 {
		r.window(n, func(s *Session) { talkMuch(s, p, 1<<20) })
	}
	r.store.dir.Wait()
	names := logs(t, r.dir)
	if len(names) != 3 {
		t.Errorf("with keep=2 the logs are %q", names)
	}
	// The index says of each window which of its files are gone.
	for n := range 4 {
		w := r.indexed(n)
		for _, f := range w.Files {
			gone := !exists(filepath.Join(r.dir, f))
			if gone != slices.Contains(w.Removed, f) {
				t.Errorf("window %d: %s is gone: %v; removed %q", n, f, gone, w.Removed)
			}
		}
	}
	if first := r.indexed(0); len(first.Removed) == 0 {
		t.Errorf("nothing of the first window has been removed: %+v", first)
	}
	r.quiet()
}

func TestArchivesAreCompressed(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.BufferSize, c.Roll = 8<<20, Roll{Size: 1 << 20, Compress: true} }, nil)
	p := newPeer(r.run, 1)
	w := r.window(1, func(s *Session) { talkMuch(s, p, 3<<20) })
	r.store.dir.Wait()
	names := logs(t, r.dir)
	for i, name := range names {
		if strings.HasSuffix(name, ".gz") != (i < len(names)-1) {
			t.Errorf("log %d of %d is %s", i, len(names), name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*.tmp")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	r.agrees(w)
	r.quiet()
}

// During a hot upgrade two processes write to one directory: both roll and
// compress, and neither loses or tears a line of the other.
func TestTwoStoresShareADirectory(t *testing.T) {
	dir := t.TempDir()
	change := func(c *Config) { c.BufferSize, c.Roll = 8<<20, Roll{Size: 1 << 20, Compress: true} }
	var harnesses []*harness
	var talk sync.WaitGroup
	peers := map[string]*peer{}
	for i, run := range []string{"aaaaaa", "bbbbbb"} {
		r := openHarness(t, dir, run, change, func(h *Host) { h.Clock = clock.System() })
		harnesses = append(harnesses, r)
		p := newPeer(run, 1)
		peers[p.id] = p
		talk.Add(1)
		go func() {
			defer talk.Done()
			s := r.open(i)
			for k := range 200 {
				p.say(s, record.In, []byte(strings.Repeat(fmt.Sprint(i, k), 1000)))
				if k%50 == 49 {
					awaitWritten(t, s)
				}
			}
			s.Close(time.Now())
		}()
	}
	talk.Wait()
	for _, r := range harnesses {
		r.store.Close()
		r.quiet()
	}
	for i, r := range harnesses {
		w := harnesses[0].indexed(i)
		if w.Lost != (oracle.PerDirection{}) {
			t.Errorf("store %d: %+v", i, w)
		}
		r.agrees(w)
	}
	if n := len(logs(t, dir)); n < 4 {
		t.Errorf("only %d logs", n)
	}
	for _, c := range harnesses[0].connections() {
		peers[c.Conn].compare(t, c)
	}
}

// What is created is its owner's alone, whatever the process's mask.
func TestFilesAreTheOwnersOnly(t *testing.T) {
	defer umask(0)()
	dir := filepath.Join(t.TempDir(), "a", "b")
	r := openHarness(t, dir, "aaaaaa", func(c *Config) {
		c.Formats, c.Roll = []Format{FormatHexMeta, FormatPcapng}, Roll{Size: 1 << 20, Keep: 1, Compress: true}
		c.BufferSize, c.MaxTotal = 8<<20, 16<<20
	}, func(h *Host) {
		h.Effective = bytesSource(func() ([]byte, error) { return []byte(`{"a":1}`), nil })
		h.Static = h.Effective
	})
	p := newPeer(r.run, 1)
	for n := range 3 {
		r.window(n, func(s *Session) {
			talkMuch(s, p, 1<<20)
			if accepted, err := s.Portrait(model.RPC, "2045", func() ([]byte, error) { return []byte("{}"), nil }); !accepted || err != nil {
				t.Error(accepted, err)
			}
		})
	}
	r.store.dir.Wait()
	seen := map[string]bool{}
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(logdir.FileMode)
		if e.IsDir() {
			want = os.ModeDir | logdir.DirMode
		}
		if info.Mode() != want {
			t.Errorf("%s: %v, want %v", path, info.Mode(), want)
		}
		seen[strings.TrimSuffix(filepath.Ext(path), "ng")] = true
		return nil
	})
	if err != nil || !seen[".gz"] || !seen[".log"] || !seen[".jsonl"] {
		t.Errorf("%v, %v", seen, err)
	}
	r.quiet()
}
