package persistence

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// During a hot upgrade the new process finds the spool that the old one works in.
func TestTheSpoolOfALivingProcessIsLeftAlone(t *testing.T) {
	spools := t.TempDir()
	change := func(c *Config) { c.Spool = spools }
	old := newHarness(t, change, nil)
	s := old.open(1)
	newPeer(old.run, 1).say(s, record.In, []byte("the old process's"))

	next := openHarness(t, old.dir, "bbbbbb", change, nil)
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
	head := append([]byte("TCSPOOL\n"), 0, 0, 0, 0)
	long := append([]byte("TCSPOOL\n"), 0xff, 0xff, 0xff, 0xff)
	for name, content := range map[string][]byte{
		"empty":              nil,
		"short":              head,
		"without its magic":  make([]byte, 2*buffer.PageSize),
		"without a header":   append(head, make([]byte, 2*buffer.PageSize)...),
		"with a long header": append(long, make([]byte, 2*buffer.PageSize)...),
	} {
		t.Run(name, func(t *testing.T) {
			dir, spools := t.TempDir(), t.TempDir()
			path := filepath.Join(spools, "dead"+layout.SpoolExtension)
			pointer := filepath.Join(dir, layout.SpoolPointerPrefix+"dead")
			if err := errors.Join(os.WriteFile(path, content, logdir.FileMode), os.WriteFile(pointer, []byte(path+"\n"), logdir.FileMode)); err != nil {
				t.Fatal(err)
			}
			config := testConfig(dir)
			all, err := Recover(config, Host{Run: "aaaaaa"})
			if err != nil || len(all) != 1 || !errors.Is(all[0].Err, buffer.ErrSpool) || !exists(path) {
				t.Errorf("recovered %+v, %v", all, err)
			}
		})
	}
}
