package persistence

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

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
			path := filepath.Join(spools, "dead"+spoolExtension)
			pointer := filepath.Join(dir, pointerPrefix+"dead")
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
