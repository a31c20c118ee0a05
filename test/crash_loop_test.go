package test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// Processes that are killed one after the other, each with a dump directory that is
// removed, leave no spools, and neither does a process that was killed while it created
// its spool.
func TestACrashLoopLeavesLittleSharedMemory(t *testing.T) {
	spools, err := os.MkdirTemp("/dev/shm", "tcpcopy-test-") //nolint:usetesting // in memory
	if err != nil {
		t.Skipf("no memory file system: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(spools) })
	next := func() (*mosn, string) {
		base, address := newBase(t), freeAddress(t)
		filter := recorder(base, block{"buffer": block{"size": "64MiB", "spool": spools}})
		return start(t, base, configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy()))), address
	}
	const deaths = 6
	for range deaths {
		m, address := next()
		m.open()
		l := newLoad(t, address, 1, 1<<10)
		if _, err := l.conns[0].Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		l.close()
		if err := m.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(m.dump); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{0, 1 << 20} {
		if err := os.WriteFile(filepath.Join(spools, "headerless"+string(rune('a'+size>>20))+".spool"), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, _ := next()
	m.window(func() {})
	paths, err := filepath.Glob(filepath.Join(spools, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks int64
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		blocks += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if len(paths) != 0 || blocks > 0 {
		t.Errorf("%d spools with %d bytes: %q", len(paths), blocks, paths)
	}
}
