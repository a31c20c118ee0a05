package persistence

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// During a hot upgrade the new process finds the spool that the old one works in.
func TestTheSpoolOfALivingProcessIsLeftAlone(t *testing.T) {
	spools := t.TempDir()
	change := func(c *Config) { c.Spool = spools }
	old := newRig(t, change, nil)
	s := old.open(1)
	newPeer(old.run, 1).say(s, record.In, []byte("the old process's"))

	next := openRig(t, old.dir, "bbbbbb", change, nil)
	all, err := Recover(next.store.config, next.store.host)
	if err != nil || len(all) > 0 {
		t.Errorf("recovered %+v, %v", all, err)
	}
	next.window(2, func(s *Session) { newPeer(next.run, 1).say(s, record.In, []byte("the new one's")) })
	s.Close(time.Now())
	old.agrees(old.indexed(1))
	old.quiet()
	next.quiet()
	if left, err := filepath.Glob(filepath.Join(spools, "*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

// What is no spool is refused with a reason, and stays for somebody to look at.
func TestADamagedSpoolIsRefused(t *testing.T) {
	head := append([]byte(spoolMagic), 0, 0, 0, 0)
	long := append([]byte(spoolMagic), 0xff, 0xff, 0xff, 0xff)
	for name, content := range map[string][]byte{
		"empty":              nil,
		"short":              head,
		"without its magic":  make([]byte, 2*pageSize),
		"without a header":   append(head, make([]byte, 2*pageSize)...),
		"with a long header": append(long, make([]byte, 2*pageSize)...),
	} {
		t.Run(name, func(t *testing.T) {
			dir, spools := t.TempDir(), t.TempDir()
			path := filepath.Join(spools, "dead"+layout.SpoolExtension)
			pointer := filepath.Join(dir, layout.SpoolPointerPrefix+"dead")
			if err := errors.Join(os.WriteFile(path, content, fileMode), os.WriteFile(pointer, []byte(path+"\n"), fileMode)); err != nil {
				t.Fatal(err)
			}
			config := testConfig(dir)
			all, err := Recover(config, Host{Run: "aaaaaa"})
			if err != nil || len(all) != 1 || !errors.Is(all[0].Err, errSpool) || !exists(path) {
				t.Errorf("recovered %+v, %v", all, err)
			}
		})
	}
}

// However often a log is rolled while files are compressed, one goroutine does it.
func TestOneGoroutineTidies(t *testing.T) {
	dir := t.TempDir()
	r := newRolled(newQuota(testConfig(dir), nil), nil)
	defer r.close()
	rolled := filepath.Join(dir, "dump_tcp_copy-2024-05-06T07-08-09.000.log")
	if err := os.WriteFile(rolled, []byte("text\n"), fileMode); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	r.quota.mu.Lock() // which compressing waits for
	for range 100 {
		r.tidy(filepath.Join(dir, layout.FlowLog), Roll{Compress: true})
		r.tidySegments(dir, Roll{Compress: true}, []string{"one.pcapng"})
	}
	if more := runtime.NumGoroutine() - before; more > 1 {
		t.Errorf("%d goroutines", more)
	}
	r.quota.mu.Unlock()
	r.work.Wait()
	if !exists(rolled + ".gz") {
		t.Error("the rolled log has not been compressed")
	}
}

// A look at the directory does not see what is about to be written.
func TestReservationsCountUntilTheyAreWritten(t *testing.T) {
	config := testConfig(t.TempDir())
	config.MaxTotal = 1 << 20
	q := newQuota(config, nil)
	const most = 600 << 10
	if err := q.reserve(most); err != nil {
		t.Fatal(err)
	}
	if q.reserve(most) == nil {
		t.Errorf("room for %d bytes twice in %d", most, config.MaxTotal)
	}
	q.settle(most) // it was not written
	if err := q.reserve(most); err != nil {
		t.Error(err)
	}
}
