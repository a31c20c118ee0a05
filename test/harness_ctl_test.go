package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// Exit codes of tcpcopyctl, from section 11 of the design. 1 is for what was
// asked for with --check.
const (
	exitDone   = 0
	exitUsage  = 2
	exitUnread = 3
)

// ctlBinary is the tool, built for these tests.
type ctlBinary struct{ binary string }

// buildCtl compiles tcpcopyctl, which is in a module of its own, under the race
// detector where the tests run under it.
func buildCtl(t *testing.T) ctlBinary {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tcpcopyctl")
	args := []string{"build", "-C", "../tool", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "./cmd/tcpcopyctl")...).CombinedOutput(); err != nil {
		t.Fatalf("build tcpcopyctl: %v\n%s", err, out)
	}
	return ctlBinary{binary}
}

// result is what a command has printed and how it has ended.
type result struct {
	command        string
	stdout, stderr string
	code           int
}

// run runs a command of the tool to its end.
func (c ctlBinary) run(t *testing.T, args ...string) result {
	t.Helper()
	command := exec.CommandContext(deadline(t), c.binary, args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("tcpcopyctl %q: %v", args, err)
	}
	return result{strings.Join(args, " "), stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// ok fails the test unless the command succeeded and complained of nothing.
func (s result) ok(t *testing.T) result {
	t.Helper()
	if s.code != exitDone || s.stderr != "" {
		t.Errorf("%s: exit code %d, %s", s.command, s.code, s.stderr)
	}
	return s
}

// saysItWaits fails the test unless the command, which is live, succeeded and said first that
// it waits for a window, and nothing but that.
func (s result) saysItWaits(t *testing.T) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(s.stderr, "\n"), "\n")
	for _, line := range lines {
		if s.code != exitDone || !strings.HasPrefix(line, "tcpcopyctl: waiting for ") {
			t.Errorf("%s: exit code %d, %s", s.command, s.code, s.stderr)
		}
	}
}

// refused fails the test unless the command ended with code and one line on
// standard error that has all of the words, and nothing on standard output.
func (s result) refused(t *testing.T, code int, words ...string) {
	t.Helper()
	if s.code != code || s.stdout != "" {
		t.Errorf("%s: exit code %d and %q, want %d and nothing", s.command, s.code, s.stdout, code)
	}
	line, rest, _ := strings.Cut(s.stderr, "\n")
	if code == exitUsage { // which has a second line, that names --help
		rest = ""
	}
	if !strings.HasPrefix(line, "tcpcopyctl: ") || rest != "" {
		t.Errorf("%s: it says %q, want one line", s.command, s.stderr)
	}
	for _, word := range words {
		if !strings.Contains(line, word) {
			t.Errorf("%s: it says %q, which does not name %q", s.command, line, word)
		}
	}
}

// rows decodes JSON lines.
func rows[T any](t *testing.T, s result) (all []T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s.ok(t).stdout))
	for d.More() {
		var row T
		if err := d.Decode(&row); err != nil {
			t.Fatalf("%s: %v", s.command, err)
		}
		all = append(all, row)
	}
	return all
}

// background is a command of the tool that runs until it is interrupted.
type background struct {
	command *exec.Cmd
	stdout  growing
	stderr  bytes.Buffer  // read once done is closed
	done    chan struct{} // closed when it has ended
}

// begin starts a command. The test's end ends it, if interrupt has not.
func (c ctlBinary) begin(t *testing.T, args ...string) *background {
	t.Helper()
	b := &background{command: exec.Command(c.binary, args...), done: make(chan struct{})}
	b.command.Stderr = &b.stderr
	stdout, err := b.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the command
		defer close(b.done)
		b.stdout.fill(stdout)
	}()
	t.Cleanup(func() {
		_ = b.command.Process.Kill() // or it has ended
		<-b.done
		_ = b.command.Wait() // or interrupt has waited
	})
	return b
}

// interrupt sends what Ctrl-C does, after which the command must end in order.
func (b *background) interrupt(t *testing.T) result {
	t.Helper()
	if err := b.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-b.done
	_ = b.command.Wait() // the exit code says it
	return result{strings.Join(b.command.Args[1:], " "), string(b.stdout.bytes()), b.stderr.String(), b.command.ProcessState.ExitCode()}
}

// echoMosn is a MOSN in front of an echo server.
func echoMosn(t *testing.T, base string, blocks ...block) (m *mosn, address string) {
	t.Helper()
	address = freeAddress(t)
	return start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base, blocks...), mosnproc.TCPProxy()))), address
}

// admin returns the flags that lead the tool to m.
func (m *mosn) admin() string { return "--admin=" + m.Admin.URL("") }

// sendInWindow waits for an open window and then sends text.
func sendInWindow(ctx context.Context, t *testing.T, m *mosn, address, text string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := m.Admin.Status(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		if status.Window != nil {
			break
		}
		<-tick.C
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, len(text))); err != nil {
		t.Error(err)
	}
}
