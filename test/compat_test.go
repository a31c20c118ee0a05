package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// What existing Layotto configurations have is the strategy block and nothing
// else: they get hex lines of requests, in the directory that they know.
func TestStrategyAloneWritesTheLinesThatLayottoWrote(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	home := filepath.Join(base, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	spec := mosnproc.Spec{Base: base, Env: []string{"HOME=" + home}}
	if os.Getuid() == 0 {
		// Nobody's process cannot make /home/admin and takes its own home, as a
		// developer's does.
		const nobody = 65534
		spec.Account = &syscall.Credential{Uid: nobody, Gid: nobody}
		if err := os.Chown(home, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	} else if _, err := os.Stat("/home/admin"); err == nil {
		t.Skip("this machine has a /home/admin, which is not the test's to write to")
	}
	filter := mosnproc.Filter{Type: "tcpcopy", Config: block{
		"strategy": block{"switch": "ON", "interval": 30, "duration": 10, "cpu_max_rate": 80, "mem_max_rate": 80},
	}}
	// The guard is the process's. Another listener, which nobody talks to, turns
	// it off, because this machine may be too busy for it.
	unguarded := mosnproc.Filter{Type: "tcpcopy", Config: block{"guard": "off"}}
	m := startSpec(t, spec, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy()),
		mosnproc.NewListener("unguarded", freeAddress(t), unguarded, mosnproc.TCPProxy())))
	m.dump = filepath.Join(home, "logs/mosn/dump")

	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	requests := []string{"hello", "hello", string(randomBytes(1, 100))} // each short enough for one read
	w := m.window(func() {
		for _, text := range requests {
			sendAndReceive(t, conn, text)
		}
	})

	log, err := os.ReadFile(filepath.Join(m.dump, "dump_tcp_copy.log"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	lines := strings.Split(strings.TrimSuffix(string(log), "\n"), "\n")
	complete(t, w)
	if len(lines) != len(requests) || w.Seen.Out != 0 {
		t.Errorf("%d lines and %d bytes out, want %d requests only:\n%s", len(lines), w.Seen.Out, len(requests), log)
	}
	for i, line := range lines[:min(len(lines), len(requests))] {
		want := fmt.Sprintf("[%s][%s]% x", w.Window, port, requests[i])
		prefix, rest, _ := strings.Cut(line, " [INFO] ")
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}$`).MatchString(prefix) || rest != want {
			t.Errorf("line %d: %q\nwant … [INFO] %q", i, line, want)
		}
	}
	if parsed, err := oracle.ReadHex(m.dump); err != nil || len(parsed) != len(requests) {
		t.Errorf("%d lines parse: %v", len(parsed), err)
	}
	m.ownersOnly()
}
