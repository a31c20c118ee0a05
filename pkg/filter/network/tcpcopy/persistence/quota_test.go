package persistence

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// usage returns what the files of dir take together.
func usage(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	return total
}

// watchUsage looks at the size of the directory again and again until stop is
// called, which returns the most that was found.
func watchUsage(r *harness) (stop func() int64) {
	end, most := make(chan struct{}), make(chan int64)
	go func() { // ends with stop
		var found int64
		for {
			select {
			case <-end:
				most <- found
				return
			default:
				resume := r.store.dir.Pause() // so that no file goes between two looks
				found = max(found, usage(r.t, r.dir))
				resume()
				runtime.Gosched()
			}
		}
	}()
	return func() int64 {
		close(end)
		return <-most
	}
}

// The directory never takes more than max_total: the oldest files go, and the
// index says so. A log of the default roller, which rolls once a day, is rolled
// often enough for that.
func TestTheDirectoryKeepsToItsSize(t *testing.T) {
	for _, roll := range []Roll{{}, {Size: 256 << 20, Compress: true}} {
		const limit = 2 << 20
		r := newHarness(t, func(c *Config) {
			c.BufferSize, c.MaxTotal, c.Roll = 8<<20, limit, roll
			c.Formats = []Format{FormatHexMeta, FormatPcapng}
		}, nil)
		// Another program's file is not the recorder's business.
		other := filepath.Join(r.dir, "notes.txt")
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		stop := watchUsage(r)
		p := newPeer(r.run, 1)
		const windows = 6
		for n := range windows {
			w := r.window(n, func(s *Session) { talkMuch(s, p, 1<<20) })
			if w.Lost != (oracle.PerDirection{}) {
				t.Errorf("window %d: %+v", n, w)
			}
			// A segment may be another process's until it is a while old.
			old := time.Now().Add(-time.Minute)
			for _, name := range w.Files {
				if strings.HasSuffix(name, layout.SegmentExtension) {
					_ = os.Chtimes(filepath.Join(r.dir, name), old, old)
				}
			}
		}
		r.store.dir.Wait()
		if most := stop(); most > limit+4096 { // the index is written in any case
			t.Errorf("the files took up to %d bytes of %d", most, limit)
		}
		marked := 0
		for n := range windows {
			w := r.indexed(n)
			marked += len(w.Removed)
			for _, f := range w.Files {
				there := exists(filepath.Join(r.dir, f)) || exists(filepath.Join(r.dir, f+".gz"))
				if there == slices.Contains(w.Removed, f) {
					t.Errorf("window %d: %s is there: %v, removed: %q", n, f, there, w.Removed)
				}
			}
		}
		// Compressed, these records may be small enough for all to stay.
		if marked == 0 && !roll.Compress || !exists(other) {
			t.Errorf("%+v: %d files are marked, the other one is there: %v", roll, marked, exists(other))
		}
		r.quiet()
		r.store.Close()
		// A restart finds what there is.
		next := openHarness(t, r.dir, "bbbbbb", func(c *Config) { c.BufferSize, c.MaxTotal = 8<<20, limit/2 }, nil)
		q := newPeer(next.run, 1)
		next.window(windows, func(s *Session) { talkMuch(s, q, 1<<17) })
		if got := usage(t, r.dir); got > limit/2+4096 {
			t.Errorf("after a restart with half the limit the files take %d bytes", got)
		}
		next.quiet()
	}
}

// When nothing more may be removed, what comes is lost, and the file that is
// being written stays.
func TestAQuotaThatIsFullLosesRecords(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.MaxTotal = minMaxTotal }, nil)
	if err := os.WriteFile(filepath.Join(r.dir, layout.PortraitLog), make([]byte, minMaxTotal), logdir.FileMode); err != nil {
		t.Fatal(err)
	}
	w := r.window(1, func(s *Session) { newPeer(r.run, 1).say(s, record.In, []byte("no room")) })
	if w.LostBy["write_error"] != 7 {
		t.Errorf("index %+v", w)
	}
	if a := r.alerted(); len(a) != 1 || !strings.Contains(a[0], "max_total") {
		t.Errorf("alerts: %q", a)
	}
}

func TestOldSegmentsGo(t *testing.T) {
	r := newHarness(t, func(c *Config) {
		c.Formats, c.Roll.Age = []Format{FormatPcapng}, 24*time.Hour
	}, nil)
	p := newPeer(r.run, 1)
	first := r.window(1, func(s *Session) { p.say(s, record.In, []byte("x")) })
	r.store.dir.Wait()
	old := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(r.dir, first.Files[0]), old, old); err != nil {
		t.Fatal(err)
	}
	second := r.window(2, func(s *Session) { p.say(s, record.In, []byte("x")) })
	r.store.dir.Wait()
	if first = r.indexed(1); !slices.Equal(first.Removed, first.Files) || exists(filepath.Join(r.dir, first.Files[0])) {
		t.Errorf("first window: %+v", first)
	}
	if !exists(filepath.Join(r.dir, second.Files[0])) {
		t.Errorf("second window: %+v", second)
	}
}

// A window with very many segments has its line: the accounts are there, and the lists
// say how much they leave out.
func TestALineWithVeryManyFilesIsWritten(t *testing.T) {
	r := newHarness(t, func(c *Config) {
		c.BufferSize, c.MaxTotal, c.Formats = 4<<20, minMaxTotal, []Format{FormatPcapng}
	}, nil)
	p := newPeer(r.run, 1)
	const bytes, records = 30_000, 3000 // of a segment of 128 KiB at most
	w := r.window(1, func(s *Session) {
		for n := range records {
			p.say(s, record.In, make([]byte, bytes))
			if n%50 == 49 {
				awaitWritten(t, s)
			}
		}
	})
	if w.Seen.In != bytes*records || w.Written.In == 0 {
		t.Errorf("accounts %+v", w)
	}
	if len(w.Files)+w.FilesLeftOut < 400 || w.FilesLeftOut == 0 {
		t.Errorf("%d files and %d more", len(w.Files), w.FilesLeftOut)
	}
	there := 0
	for _, name := range w.Files {
		if exists(filepath.Join(r.dir, name)) {
			there++
		}
	}
	if there == 0 {
		t.Errorf("none of %d files is there", len(w.Files))
	}
	r.store.dir.Wait()
	if got := usage(t, r.dir); got > minMaxTotal {
		t.Errorf("the files take %d bytes", got)
	}
	// Each segment that is there is found by its name.
	for _, name := range r.indexed(1).Removed {
		if exists(filepath.Join(r.dir, name)) {
			t.Errorf("%s is there", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "dump_windows*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			if len(line) > r.store.dir.Index().MaxLine() {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	}
}
