package test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mosn.io/tcpcopy/internal/program"
)

// What `make run` prints works when it is typed: it records a request, in the clone, and
// shows it.
func TestTheCommandsThatMakeRunPrintsWork(t *testing.T) {
	t.Parallel()
	program.Require(t, "curl")
	bin := runBin(t)
	for _, name := range []string{"tcp", "tls", "http", "grpc", "unix", "udp"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCheckout(t, bin, name)
			s := c.start(t)
			commands := s.commands(t)
			i := slices.IndexFunc(commands, func(command string) bool { return strings.HasPrefix(command, "(sleep 1; ") })
			if i < 0 || !slices.Contains(commands, "cd "+c.root) {
				t.Fatalf("it prints %q", commands)
			}
			send, look := commands[i], commands[i+1:len(commands)-1]
			for _, command := range commands[:i] {
				if strings.HasPrefix(command, "bin/") {
					c.shell(t, command)
				}
			}
			// On a busy machine the request may come before the window.
			row := ""
			for range 5 {
				if row = c.shell(t, send); strings.Contains(row, "hello") && hasBytes(row) {
					break
				}
			}
			if !strings.Contains(row, "hello") || !hasBytes(row) {
				t.Fatalf("%s printed\n%s", send, row)
			}
			var outputs []string
			for _, command := range look {
				outputs = append(outputs, c.shell(t, command))
			}
			shown := strings.Join(outputs, "")
			if !strings.Contains(shown, "manual") || !strings.Contains(shown, "hello") {
				t.Errorf("what was recorded is not shown by %q:\n%s", look, shown)
			}
			if _, err := os.Stat(filepath.Join(c.root, "home")); err == nil {
				t.Error("something was written to the user's home")
			}
			s.interrupt(t)
			if code := s.end(t); code != 0 {
				t.Errorf("after Ctrl-C it ends with %d: %s", code, &s.stderr)
			}
			if conn, err := net.Dial("tcp", c.admin); err == nil {
				conn.Close()
				t.Error("MOSN is still there")
			}
			if text := s.stderr.String() + s.out.String(); strings.Contains(text, "[INFO]") || strings.Contains(text, "[WARN]") {
				t.Errorf("MOSN's log is on the terminal:\n%s", text)
			}
		})
	}
}

// hasBytes reports whether the row of a window has recorded bytes of a connection.
func hasBytes(row string) bool {
	fields := strings.Fields(row[strings.LastIndex(strings.TrimSpace(row), "\n")+1:])
	i := slices.Index(fields, "off)") // "manual (guard off)", then the number of connections
	return i > 0 && i+1 < len(fields) && fields[i+1] != "0"
}

// Errors that stop the start are on the terminal, and nothing is left behind.
func TestMakeRunSaysWhatStopsIt(t *testing.T) {
	t.Parallel()
	bin := runBin(t)
	for _, test := range []struct {
		name, config string
		spoil        func(*testing.T, *checkout)
		want         []string
	}{
		{"a port that is in use", "http", func(t *testing.T, c *checkout) {
			t.Cleanup(closing(t, c.listen))
		}, []string{"listener http", "address already in use", "bin/mosn stop -c configs/http.json"}},
		{"the port of the admin server", "http", func(t *testing.T, c *checkout) {
			t.Cleanup(closing(t, c.admin))
		}, []string{"admin server", "address already in use"}},
		{"a block that the recorder refuses", "tcp", func(_ *testing.T, c *checkout) {
			c.recorder()["capture"].(block)["direction"] = "sideways"
		}, []string{"listener tcp", "sideways"}},
		{"a configuration that MOSN cannot read", "tcp", func(_ *testing.T, c *checkout) {
			c.listener()["bind_port"] = "yes"
		}, []string{"MOSN has ended", "bind_port", "logs/start.log"}},
		{"a certificate that is missing", "tls", func(_ *testing.T, c *checkout) {
			chain := c.listener()["filter_chains"].([]any)[0].(block)
			chain["tls_context"].(block)["cert_chain"] = "configs/certs/missing.pem"
		}, []string{"MOSN has ended", "missing.pem"}},
		{"a configuration for Layotto", "layotto", func(*testing.T, *checkout) {}, []string{"Layotto", "CONFIG=grpc"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCheckout(t, bin, test.config)
			test.spoil(t, c)
			s := c.start(t)
			if code := s.end(t); code != 1 {
				t.Errorf("it ends with %d", code)
			}
			for _, want := range test.want {
				if !strings.Contains(s.stderr.String(), want) {
					t.Errorf("it says %q, want %q", &s.stderr, want)
				}
			}
			if s.out.String() != "" {
				t.Errorf("it prints %q", &s.out)
			}
		})
	}
}

// What MOSN complains of and goes on with is on the terminal, too.
func TestMakeRunShowsWhatMOSNComplainsOf(t *testing.T) {
	t.Parallel()
	c := newCheckout(t, runBin(t), "http")
	c.listener()["filter_chains"].([]any)[0].(block)["filters"].([]any)[1].(block)["type"] = "no-such-filter"
	s := c.start(t)
	s.commands(t)
	if !strings.Contains(s.stderr.String(), "no-such-filter") {
		t.Errorf("it says %q", &s.stderr)
	}
}

// closing listens on address and returns what ends that. Where another program of this
// machine has the port by now, it is in use as well.
func closing(t *testing.T, address string) func() {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return func() {}
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { listener.Close() }
}

// runBin returns a folder with the programs that `make run` needs.
func runBin(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	binary, err := mosnBinary()
	if err != nil {
		t.Fatal(err)
	}
	runBinaries(t, bin)
	for name, path := range map[string]string{"mosn": binary, "tcpcopyctl": buildCtl(t).binary} {
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}
