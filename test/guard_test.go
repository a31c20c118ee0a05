package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// fakeHost is a /proc whose processors are idle and whose memory use the test sets.
type fakeHost struct {
	t   *testing.T
	dir string
}

// newFakeHost writes the files of a host that is idle. Its processor time goes on until
// the test ends.
func newFakeHost(t *testing.T, dir string) *fakeHost {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := &fakeHost{t: t, dir: dir}
	f.memory(10)
	stop, stopped := make(chan struct{}), make(chan struct{})
	idle := func(n int) {
		f.write("stat", fmt.Sprintf("cpu  100 0 100 %d 0 0 0 0 0 0\ncpu0 100 0 100 %[1]d 0 0 0 0 0 0\nbtime 1\n", n))
	}
	idle(1000)
	go func() { // ends with the test
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 1010; ; n += 10 {
			select {
			case <-tick.C:
				idle(n)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return f
}

// memory sets how much of the memory is in use.
func (f *fakeHost) memory(percent int) {
	const total = 1 << 20
	f.write("meminfo", fmt.Sprintf("MemTotal: %d kB\nMemFree: %[2]d kB\nMemAvailable: %[2]d kB\nBuffers: 0 kB\nCached: 0 kB\n", total, total/100*(100-percent)))
}

// write replaces a file.
func (f *fakeHost) write(name, text string) {
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		f.t.Error(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Error(err)
	}
}

// A load that swings around its limit makes the guard go down once, with one line of the
// log, and not at each swing. It is up again some time after the load is low.
func TestTheGuardDoesNotSwingWithTheLoad(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	host := newFakeHost(t, filepath.Join(base, "proc"))
	filter := recorder(base, block{"guard": "on", "strategy": block{"switch": "ON", "interval": 3600, "cpu_max_rate": 99, "mem_max_rate": 60}})
	spec := mosnproc.Spec{Base: base, Env: []string{"HOST_PROC=" + host.dir}}
	m := startSpec(t, spec, configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy())))
	reads := func(word string) {
		t.Helper()
		eventually(t, "a reading has "+word, func() bool { return strings.Contains(m.control().Guard.Source, word) })
	}
	reads("0") // the first one
	if g := m.control().Guard; !strings.Contains(g.Source, "host mem 10.0 < 60") || !g.Available {
		t.Skipf("this machine's control groups have limits of their own that are in use: %s", g.Source)
	}
	for range 5 {
		host.memory(65)
		reads("mem 65.0 >= 60")
		host.memory(40)
		reads("mem 40.0 < 60")
		if g := m.control().Guard; g.Available {
			t.Errorf("up at once: %+v", g)
		}
	}
	if n := strings.Count(m.Log(), "guard is "); n != 1 || m.control().Guard.Downs != 1 {
		t.Errorf("the log has %d lines of the guard, and it went down %d times", n, m.control().Guard.Downs)
	}
	low := time.Now()
	eventually(t, "the guard is up again", func() bool { return m.control().Guard.Available })
	if after := time.Since(low); after < 5*time.Second {
		t.Errorf("it is up again %v after the load is low", after)
	}
	if n := strings.Count(m.Log(), "guard is "); n != 2 {
		t.Errorf("the log has %d lines of the guard", n)
	}
}
