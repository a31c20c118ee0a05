package test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/devcert"
)

// runBinaries builds what `make run` builds for itself, once for these tests, into dir.
func runBinaries(t *testing.T, dir string) {
	t.Helper()
	command := exec.CommandContext(deadline(t), "go", "build", "-o", dir, "./examples/run", "./examples/grpcclient")
	command.Dir = ".."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build examples/run: %v\n%s", err, out)
	}
}

// checkout is a folder that looks to bin/run like the repository, with one configuration
// on free ports.
type checkout struct {
	root   string
	config string // path of the configuration below root
	tree   block
	admin  string // address of the admin server
	listen string // address of the listener
}

// newCheckout makes a checkout with configs/<name>.json and the binaries of bin.
func newCheckout(t *testing.T, bin, name string) *checkout {
	t.Helper()
	c := &checkout{root: newBase(t), config: "configs/" + name + ".json", admin: freeAddress(t), listen: freeAddress(t)}
	if err := json.Unmarshal(mustRead(t, "../"+c.config), &c.tree); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(bin, filepath.Join(c.root, "bin")), os.Mkdir(filepath.Join(c.root, "configs"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if listener := c.listener(); listener["network"] != "unix" {
		listener["address"] = c.listen
	}
	if manager, ok := c.tree["cluster_manager"].(block); ok {
		cluster := manager["clusters"].([]any)[0].(block)
		cluster["hosts"].([]any)[0].(block)["address"] = freeAddress(t)
	}
	_, port, _ := strings.Cut(c.admin, ":")
	c.tree["admin"].(block)["address"].(block)["socket_address"].(block)["port_value"] = json.Number(port)
	pair, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := pair.Write(filepath.Join(c.root, "configs", "certs")); err != nil {
		t.Fatal(err)
	}
	return c
}

// listener returns the one listener of the configuration.
func (c *checkout) listener() block {
	return c.tree["servers"].([]any)[0].(block)["listeners"].([]any)[0].(block)
}

// recorder returns the configuration of the listener's recorder.
func (c *checkout) recorder() block {
	chain := c.listener()["filter_chains"].([]any)[0].(block)
	return chain["filters"].([]any)[0].(block)["config"].(block)
}

// environment is that of a user whose home is empty.
func (c *checkout) environment() []string {
	return append(os.Environ(), "HOME="+filepath.Join(c.root, "home"), "GORACE=exitcode=0")
}

// printed is what a process writes. It is safe for concurrent use.
type printed struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// started is a bin/run that is running.
type started struct {
	cmd         *exec.Cmd
	out, stderr printed
	done        chan struct{} // closed when it has ended
	err         error         // how it ended; written before done is closed
}

// start writes the configuration and starts bin/run with it.
func (c *checkout) start(t *testing.T) *started {
	t.Helper()
	text, err := json.Marshal(c.tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.root, c.config), text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &started{cmd: exec.Command("bin/run", "-config", c.config), done: make(chan struct{})}
	s.cmd.Dir, s.cmd.Env = c.root, c.environment()
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process, which the test ends at the latest
		defer close(s.done)
		s.err = s.cmd.Wait()
	}()
	t.Cleanup(func() {
		s.interrupt(t)
		<-s.done
		if t.Failed() {
			t.Logf("bin/run printed\n%s%s", &s.out, &s.stderr)
		}
	})
	return s
}

// interrupt is Ctrl-C.
func (s *started) interrupt(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// end returns the exit code, once the process has ended.
func (s *started) end(t *testing.T) int {
	t.Helper()
	select {
	case <-s.done:
	case <-deadline(t).Done():
		t.Fatal("bin/run does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// commands returns the commands that were printed, once all are there.
func (s *started) commands(t *testing.T) []string {
	t.Helper()
	eventually(t, "the commands are printed", func() bool {
		select {
		case <-s.done:
			t.Fatalf("bin/run has ended: %v", s.err)
		default:
		}
		return strings.Contains(s.out.String(), "\n  bin/tcpcopyctl live")
	})
	var all []string
	for lines := bufio.NewScanner(strings.NewReader(s.out.String())); lines.Scan(); {
		if command, ok := strings.CutPrefix(lines.Text(), "  "); ok {
			all = append(all, command)
		}
	}
	return all
}

// shell runs a command as a user types it, in the checkout, and returns what it printed.
func (c *checkout) shell(t *testing.T, command string) (stdout string) {
	t.Helper()
	shell := exec.CommandContext(deadline(t), "bash", "-c", command)
	shell.Dir, shell.Env = c.root, c.environment()
	out, err := shell.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = errors.Join(err, errors.New(string(exit.Stderr)))
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}
