package persistence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// blocksOf returns how many bytes the files of a directory have of their file system.
func blocksOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	return bytes
}

// die leaves the spool of a process that has died in a window of config's, with a
// message that was accepted and not written.
func die(t *testing.T, config Config, n int, opened time.Time, message []byte) (path string) {
	t.Helper()
	store, err := open(config, Host{Run: fmt.Sprintf("v%05d", n)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l := config.sizes()
	spool, fault, err := buffer.NewSpool(config.Spool, store.dir.Folder(), buffer.SpoolHeader{
		Dir: config.Dir, Run: store.host.Run, Window: windowID(n), Trigger: record.TriggerManual, Opened: opened,
		Formats: formatNames(config.Formats), Workers: l.Shards, Batch: l.Batch,
	}, nil)
	if fault != nil || err != nil {
		t.Fatal(fault, err)
	}
	w := openWorkerHarness(t, store, spool)
	w.say(newPeer(store.host.Run, 1), record.In, message)
	spool.Leave()
	return filepath.Join(config.Spool, store.host.Run+"-"+strings.SplitN(windowID(n), "-", 2)[0]+layout.SpoolExtension)
}

func crashConfig(t *testing.T) Config {
	t.Helper()
	return Config{Dir: filepath.Join(t.TempDir(), "dump"), Spool: sharedDir(t), Formats: []Format{FormatHexMeta}, BufferSize: 8 << 20, Workers: 2}
}

// Processes that die in a loop, each with another dump directory, leave less than a few
// buffers, and little of one of which little is needed.
func TestACrashLoopLeavesABoundedMemory(t *testing.T) {
	for name, test := range map[string]struct {
		message int  // bytes
		gone    bool // the dump directories are removed
		spools  int
		bytes   int64
	}{
		"little in each":       {100, false, maxWaiting, maxWaiting * 200 << 10},
		"little in each, gone": {100, true, maxWaitingOfDir, maxWaitingOfDir * 200 << 10},
		"much in each":         {900 << 10, false, maxWaiting, maxWaitingSizes * 11 << 20},
		"much in each, gone":   {900 << 10, true, maxWaitingOfDir, 11 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			config := crashConfig(t)
			now := time.Now()
			dirs := t.TempDir()
			var dropped []Recovered
			for n := range 40 {
				dead := config
				dead.Dir = filepath.Join(dirs, fmt.Sprint(n), "dump")
				message := []byte(strings.Repeat("x", test.message))
				die(t, dead, n, now.Add(time.Duration(n)*time.Second), message)
				if test.gone { // with the directory that it was in
					if err := os.RemoveAll(filepath.Dir(dead.Dir)); err != nil {
						t.Fatal(err)
					}
				}
				dropped = append(dropped, sweepSpools(config.Spool, config, Host{})...)
			}
			spools, err := filepath.Glob(filepath.Join(config.Spool, "*"))
			if err != nil || len(spools) > test.spools || len(spools) == 0 {
				t.Errorf("%d spools, %v", len(spools), err)
			}
			if bytes := blocksOf(t, config.Spool); bytes > test.bytes {
				t.Errorf("%d bytes, want %d at most", bytes, test.bytes)
			}
			for n := 39; n > 36 && len(spools) > 3; n-- { // the newest stay
				if found, _ := filepath.Glob(filepath.Join(config.Spool, fmt.Sprintf("v%05d-*", n))); len(found) != 1 {
					t.Errorf("the spool of death %d is gone", n)
				}
			}
			for _, r := range dropped {
				if r.Err == nil || !strings.Contains(r.Err.Error(), fmt.Sprintf("%d bytes in and 0 bytes out were not written", test.message)) {
					t.Errorf("dropped with %v", r.Err)
				}
			}
		})
	}
}

// What is dropped of a dump directory that is there is in its index.
func TestADroppedSpoolIsInTheIndex(t *testing.T) {
	config := crashConfig(t)
	for n := range maxWaitingOfDir + 2 {
		die(t, config, n, time.Now().Add(time.Duration(n)*time.Second), []byte("lost for ever"))
	}
	// The third one was killed when the file had the batch, before it was accounted for.
	written := die(t, config, maxWaitingOfDir+2, time.Now().Add(-time.Second), []byte("lost for ever"))
	s, err := buffer.OpenSpoolFile(config.Spool, filepath.Base(written), spoolLimits())
	if err != nil {
		t.Fatal(err)
	}
	for shard := range s.Header().Workers {
		for _, p := range s.Pending(shard) {
			p.State.Output(0).Set(buffer.PhaseDone, buffer.FilePosition{From: 1 << 20})
		}
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	s.Leave()
	dropped := sweepSpools(config.Spool, config, Host{Run: "aaaaaa", Clock: clock.System()})
	if len(dropped) != 3 {
		t.Fatalf("dropped %+v", dropped)
	}
	w, err := oracle.FindWindow(config.Dir, windowID(maxWaitingOfDir+2))
	if err != nil || w.Seen.In != 13 || w.Written.In != 13 || w.Lost.In != 0 {
		t.Errorf("the index has %+v, %v", w, err)
	}
	for n := range 2 {
		w, err := oracle.FindWindow(config.Dir, windowID(n))
		if err != nil {
			t.Fatal(err)
		}
		if !w.Recovered || w.Seen.In != 13 || w.Lost.In != 13 || w.Written.In != 0 || w.LostBy["write_error"] != 13 {
			t.Errorf("the index has %+v", w)
		}
	}
	all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
	if err != nil || len(all) != maxWaitingOfDir {
		t.Fatalf("recovered %+v, %v", all, err)
	}
	for _, r := range all {
		if r.Err != nil || r.Window.Written.In != 13 {
			t.Errorf("recovered %+v", r)
		}
	}
}

// A spool does not wait for a dump directory that has been removed, a day for one that is
// gone with what it was in, and for one that is there as long as it takes.
func TestASpoolWaitsForItsDirectory(t *testing.T) {
	config := crashConfig(t)
	there, gone, removed := config, config, config
	there.Dir, gone.Dir, removed.Dir = t.TempDir(), filepath.Join(t.TempDir(), "volume", "gone"), filepath.Join(t.TempDir(), "removed")
	rm := die(t, removed, 4, time.Now(), []byte("d"))
	now := time.Now()
	old, kept, fresh := die(t, gone, 1, now.Add(-25*time.Hour), []byte("a")), die(t, there, 2, now.Add(-1000*time.Hour), []byte("b")), die(t, gone, 3, now.Add(-23*time.Hour), []byte("c"))
	if err := errors.Join(os.RemoveAll(filepath.Dir(gone.Dir)), os.RemoveAll(removed.Dir)); err != nil {
		t.Fatal(err)
	}
	dropped := sweepSpools(config.Spool, config, Host{})
	if len(dropped) != 2 || exists(rm) || exists(old) || !exists(kept) || !exists(fresh) {
		t.Errorf("dropped %+v", dropped)
	}
}

// What is nobody's is removed: a process died while it created it, or before the window
// had begun. What is of a living process or of another user is not.
func TestWhatIsNobodysIsSwept(t *testing.T) {
	config := crashConfig(t)
	write := func(name string, content []byte) string {
		path := filepath.Join(config.Spool, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lock := func(path string) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
	}
	swept := []string{write("empty.spool", nil), write("zeros.spool", make([]byte, 9<<20)), write("garbage.spool", []byte(strings.Repeat("no spool ", 1000)))}
	dump := safedir.New(t.TempDir())
	defer dump.Close()
	spool, _, err := buffer.NewSpool(config.Spool, dump, buffer.SpoolHeader{Dir: dump.Path(), Run: "cccccc", Window: "w", Opened: time.Now(), Formats: []string{"hex"}, Workers: 1, Batch: 16 << 10}, nil)
	if err != nil {
		t.Fatal(err)
	}
	spool.Leave() // before Begin
	swept = append(swept, filepath.Join(config.Spool, "cccccc-w.spool"))
	kept := []string{write("being created.spool", make([]byte, 1<<20)), write("not ours", nil)}
	lock(kept[0])
	alive := die(t, config, 1, time.Now(), []byte("a"))
	lock(alive)
	kept = append(kept, alive)
	if os.Getuid() == 0 {
		theirs := write("theirs.spool", nil)
		if err := os.Chown(theirs, 65534, -1); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, theirs)
	}
	h := openHarness(t, config.Dir, "aaaaaa", func(c *Config) { *c = config }, nil)
	h.store.recovering.Wait()
	h.quiet()
	for _, path := range swept {
		if exists(path) {
			t.Errorf("%s is there", path)
		}
	}
	for _, path := range kept {
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
}

// Processes that create spools while another one sweeps get theirs.
func TestASpoolThatIsBeingCreatedIsNotSwept(t *testing.T) {
	config := crashConfig(t)
	stop, swept := make(chan struct{}), make(chan struct{})
	go func() { // ends when the spools have been created
		defer close(swept)
		for {
			select {
			case <-stop:
				return
			default:
				sweepSpools(config.Spool, config, Host{})
			}
		}
	}()
	dump := safedir.New(t.TempDir())
	defer dump.Close()
	for n := range 200 {
		h := buffer.SpoolHeader{Dir: dump.Path(), Run: "aaaaaa", Window: fmt.Sprint("w", n), Formats: []string{"hex"}, Workers: 1, Batch: 16 << 10}
		s, fault, err := buffer.NewSpool(config.Spool, dump, h, nil)
		if fault != nil || err != nil {
			t.Fatal(fault, err)
		}
		if path := filepath.Join(config.Spool, fmt.Sprintf("aaaaaa-w%d.spool", n)); !exists(path) {
			t.Fatalf("%s is gone", path)
		}
		s.Remove()
	}
	close(stop)
	<-swept
}

// damageSpool does what somebody does to the spool of a dead process.
func damageSpool(t *testing.T, path string, damage func(f *os.File, size int64) error) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := damage(f, info.Size()); err != nil {
		t.Fatal(err)
	}
}

// A recovery reads a damaged spool as far as it goes, and nothing of it is recorded that
// has not passed: what is damaged is lost, and there is an alert.
func TestADamagedSpoolIsReadAsFarAsItGoes(t *testing.T) {
	const sent = 300 << 10
	message := make([]byte, sent)
	for i := range message {
		message[i] = byte('a' + i%26)
	}
	punch := func(from, to int64) func(*os.File, int64) error {
		return func(f *os.File, size int64) error {
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, min(to, size)-from)
		}
	}
	const batches = 2 << 20
	for name, test := range map[string]struct {
		damage  func(f *os.File, size int64) error
		fine    bool // nothing is damaged
		counted bool // all bytes that passed are in the accounts
	}{
		"as it was":            {func(*os.File, int64) error { return nil }, true, true},
		"longer":               {func(f *os.File, size int64) error { return f.Truncate(size + 1<<30) }, true, true},
		"no data":              {punch(batches, batches+sent), false, true},
		"some data":            {punch(batches+8192, batches+12288), false, true},
		"no entries":           {punch(batches+1<<20, 1<<40), false, false},
		"no states":            {punch(4096, batches), true, false},
		"nothing but a header": {punch(4096, 1<<40), true, false},
		"cut off":              {func(f *os.File, _ int64) error { return f.Truncate(batches + 100) }, false, false},
		"cut off early":        {func(f *os.File, _ int64) error { return f.Truncate(4096) }, false, false},
	} {
		for _, format := range []Format{FormatHexMeta, FormatPcapng} {
			t.Run(name+" "+string(format), func(t *testing.T) {
				config := crashConfig(t)
				config.Formats, config.Workers = []Format{format}, 1
				path := die(t, config, 1, time.Now(), message)
				damageSpool(t, path, test.damage)
				all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
				if err != nil {
					t.Fatal(err)
				}
				if name == "no states" || name == "nothing but a header" { // as if it had not begun
					if len(all) != 0 || exists(path) {
						t.Errorf("recovered %+v", all)
					}
					return
				}
				if len(all) != 1 || (all[0].Err == nil) != test.fine || exists(path) {
					t.Fatalf("recovered %+v", all)
				}
				w := all[0].Window
				if w.Seen != w.Written.Plus(w.Lost) || test.counted && w.Seen.In != sent || test.fine && w.Written.In != sent || !test.fine && w.Written.In == sent {
					t.Errorf("the index has %+v", w)
				}
				var written uint64
				for _, stream := range recordedStreams(t, config.Dir) {
					for i, b := range stream {
						if b != 0 && b != message[i] { // 0 is a gap
							t.Fatalf("byte %d is %q", i, b)
						}
						if b != 0 {
							written++
						}
					}
				}
				if written != w.Written.In {
					t.Errorf("the files have %d bytes, the index says %d", written, w.Written.In)
				}
			})
		}
	}
}

// recordedStreams returns the bytes in of the connections, with zeros where there are gaps.
func recordedStreams(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	d, err := dump.Open([]string{dir}, dump.Options{})
	if err != nil {
		return nil // nothing is recorded
	}
	defer d.Close()
	found := map[string][]byte{}
	for {
		r, err := d.Next()
		if err != nil {
			return found
		}
		s := found[r.Conn]
		if end := r.Offset + uint64(len(r.Data)); r.Kind == record.KindData && uint64(len(s)) < end {
			s = append(s, make([]byte, end-uint64(len(s)))...)
		}
		if r.Kind == record.KindData {
			copy(s[r.Offset:], r.Data)
		}
		found[r.Conn] = s
	}
}

// On a file system that is full, a spool with holes is recovered: reading it needs no
// pages.
func TestASpoolWithHolesOnAFullFileSystemIsRecovered(t *testing.T) {
	spools := t.TempDir()
	if err := unix.Mount("tcpcopy", spools, "tmpfs", 0, "size=20m,mode=0700"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(spools, unix.MNT_DETACH) })
	config := crashConfig(t)
	config.Spool = spools
	path := die(t, config, 1, time.Now(), []byte("all that there is"))
	damageSpool(t, path, func(f *os.File, size int64) error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, size)
	})
	dead := die(t, config, 2, time.Now(), []byte(strings.Repeat("y", 100<<10)))
	damageSpool(t, dead, func(f *os.File, _ int64) error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 2<<20, 64<<10)
	})
	full := filepath.Join(spools, "full")
	f, err := os.OpenFile(full, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if f.Close(); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
	if err != nil || exists(dead) {
		t.Errorf("recovered %+v, %v", all, err)
	}
	w, err := oracle.FindWindow(config.Dir, windowID(2))
	if err != nil || w.Seen.In != 100<<10 || w.Lost.In == 0 || w.Seen.In != w.Written.In+w.Lost.In {
		t.Errorf("the index has %+v, %v", w, err)
	}
}

// A header that asks for gigabytes costs none.
func TestASpoolThatClaimsGigabytesCostsNone(t *testing.T) {
	config := crashConfig(t)
	path := die(t, config, 1, time.Now(), []byte("a"))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := string(content[:4096])
	l := config.sizes()
	for _, claim := range []struct {
		workers, batch int64
	}{{1, 60 << 30}, {256, 128 << 20}, {1, 1 << 62}, {1 << 40, 4096}, {-1, 4096}, {1, -4096}, {256, 64 << 30}} {
		text := strings.Replace(head[12:], fmt.Sprintf(`"workers":%d,"batch":%d`, l.Shards, l.Batch), fmt.Sprintf(`"workers":%d,"batch":%d`, claim.workers, claim.batch), 1)
		text = strings.TrimRight(text, "\x00")
		next := append([]byte(head[:8]), byte(len(text)), byte(len(text)>>8), 0, 0)
		next = append(append(next, text...), make([]byte, 4096-12-len(text))...)
		next = append(next, content[4096:2<<20]...)
		// All that the states may say is that everything is there.
		if err := os.WriteFile(path, next, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 200<<30); err != nil {
			t.Skip(err)
		}
		before := rss(t)
		all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
		if grown := rss(t) - before; err != nil || grown > 64<<20 {
			t.Errorf("%+v: %d bytes, %+v, %v", claim, grown, all, err)
		}
	}
}

// rss returns how many bytes of memory this process has.
func rss(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// Whoever looks at the spools of others, as a process that starts at the same time does,
// keeps nobody from the recovery of its own.
func TestRecoveryWaitsForThoseWhoLook(t *testing.T) {
	config := crashConfig(t)
	path := die(t, config, 1, time.Now(), []byte("hello"))
	for _, pointer := range []bool{true, false} {
		if !pointer {
			path = die(t, config, 2, time.Now(), []byte("hello"))
			pointers, err := filepath.Glob(filepath.Join(config.Dir, layout.SpoolPointerPrefix+"*"))
			if err != nil || len(pointers) != 1 || os.Remove(pointers[0]) != nil {
				t.Fatal(pointers, err)
			}
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(50*time.Millisecond, func() { f.Close() })
		all, err := Recover(config, Host{Run: "r00001"})
		if err != nil || len(all) != 1 || all[0].Err != nil || all[0].Window.Written.In != 5 {
			t.Errorf("with a pointer: %t: recovered %+v, %v", pointer, all, err)
		}
		f.Close()
	}
}
