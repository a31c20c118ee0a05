package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// Whatever somebody does to the spool of a process that lives, the proxy goes on: the
// window loses what cannot be recorded any more, counts it, and the next one is whole.
func TestADamagedSpoolCostsAWindowAtMost(t *testing.T) {
	shared, err := os.MkdirTemp("/dev/shm", "tcpcopy-test-") //nolint:usetesting // in memory
	if err != nil {
		t.Skipf("no memory file system: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(shared) })
	// cut returns what cuts a spool off at a share of its size.
	cut := func(share float64) func(string) error {
		return func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, int64(share*float64(info.Size())))
		}
	}
	for name, test := range map[string]struct {
		damage func(path string) error
		loses  bool
	}{
		"cut off":                  {damage: cut(0), loses: true},
		"cut off in the middle":    {damage: cut(0.5), loses: true},
		"cut off after the states": {damage: cut(0.01), loses: true},
		"cut off and as long again": {loses: true, damage: func(path string) error {
			info, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, 0)
			}
			if err == nil {
				err = os.Truncate(path, info.Size())
			}
			return err
		}},
		"overwritten": {damage: func(path string) error { return os.WriteFile(path, randomBytes(1, 1<<20), 0o600) }, loses: true},
		"removed":     {damage: os.Remove},
		"punched": {damage: func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 1<<30)
		}},
	} {
		for i, format := range []string{"hex_meta", "pcapng"} {
			t.Run(name+" "+format, func(t *testing.T) {
				spools := filepath.Join(shared, fmt.Sprintf("%s %d", name, i))
				if name == "cut off" { // on a disk too
					spools = filepath.Join(newBase(t), "spool")
				}
				base, address := newBase(t), freeAddress(t)
				filter := recorder(base, block{
					"output": block{"dir": dumpDir(base), "formats": []string{format}},
					"buffer": block{"size": "256MiB", "spool": spools},
				})
				m := start(t, base, configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy())))
				l := newLoad(t, address, 8, 16<<10)
				defer l.close()
				id := m.open()
				l.run(t, 100*time.Millisecond)
				paths, err := filepath.Glob(filepath.Join(spools, "*.spool"))
				if err != nil || len(paths) != 1 {
					t.Fatalf("spools %q, %v", paths, err)
				}
				done := make(chan struct{})
				go func() { // ends before the load does
					defer close(done)
					if err := test.damage(paths[0]); err != nil {
						t.Error(err)
					}
				}()
				l.run(t, 300*time.Millisecond)
				<-done
				w := m.close(id)
				if w.Seen != (oracle.PerDirection{In: w.Written.In + w.Lost.In, Out: w.Written.Out + w.Lost.Out}) || w.Seen.In == 0 {
					t.Errorf("index line %+v", w)
				}
				if test.loses != (w.LostBy["write_error"] > 0) && name != "punched" { // which may hit what is in use
					t.Errorf("it lost %+v, by %v", w.Lost, w.LostBy)
				}
				if log := m.Log(); test.loses && !strings.Contains(log, "records nothing more") {
					t.Error("the log says nothing of it")
				}
				next := m.window(func() { l.run(t, 100*time.Millisecond) })
				if next.Written.In == 0 || next.LostBy["write_error"] > 0 || next.Seen.In != next.Written.In+next.Lost.In || next.Seen.Out != next.Written.Out+next.Lost.Out {
					t.Errorf("the next window's index line %+v", next)
				}
				if err := m.Stop(deadline(t)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
