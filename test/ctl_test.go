package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
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

// said is what a command has printed and how it has ended.
type said struct {
	command        string
	stdout, stderr string
	code           int
}

// run runs a command of the tool to its end.
func (c ctlBinary) run(t *testing.T, args ...string) said {
	t.Helper()
	command := exec.CommandContext(deadline(t), c.binary, args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("tcpcopyctl %q: %v", args, err)
	}
	return said{strings.Join(args, " "), stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// did fails the test unless the command succeeded and complained of nothing.
func (s said) did(t *testing.T) said {
	t.Helper()
	if s.code != exitDone || s.stderr != "" {
		t.Errorf("%s: exit code %d, %s", s.command, s.code, s.stderr)
	}
	return s
}

// refused fails the test unless the command ended with code and one line on
// standard error that has all of the words, and nothing on standard output.
func (s said) refused(t *testing.T, code int, words ...string) {
	t.Helper()
	if s.code != code || s.stdout != "" {
		t.Errorf("%s: exit code %d and %q, want %d and nothing", s.command, s.code, s.stdout, code)
	}
	line, rest, _ := strings.Cut(s.stderr, "\n")
	if code == exitUsage { // which has a second line, that tells of --help
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
func rows[T any](t *testing.T, s said) (all []T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s.did(t).stdout))
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
	done    chan struct{} // closed when it has said all
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
func (b *background) interrupt(t *testing.T) said {
	t.Helper()
	if err := b.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-b.done
	_ = b.command.Wait() // the exit code tells
	return said{strings.Join(b.command.Args[1:], " "), string(b.stdout.bytes()), b.stderr.String(), b.command.ProcessState.ExitCode()}
}

func TestCtl(t *testing.T) {
	t.Parallel()
	c := buildCtl(t)
	for name, test := range map[string]func(*testing.T, ctlBinary){
		"record":       ctlRecords,
		"interrupt":    ctlClosesTheWindowWhenInterrupted,
		"refusal":      ctlIsRefused,
		"token":        ctlShowsAToken,
		"switch":       ctlSwitches,
		"read":         ctlReadsWhatWasExchanged,
		"live":         ctlShowsRequestsSoon,
		"live capture": ctlStreamsToWireshark,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
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

// "record" opens a window, waits, and lists it.
func ctlRecords(t *testing.T, c ctlBinary) {
	m, address := echoMosn(t, newBase(t))
	const text = "while record waits"
	talked := make(chan struct{})
	go func() { // ends when the window is open and the text has come back, or in time
		defer close(talked)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		talkInWindow(ctx, t, m, address, text)
	}()
	began := time.Now()
	s := c.run(t, "record", "--for=2s", m.admin()).did(t)
	took := time.Since(began)
	<-talked
	windows, err := oracle.ReadIndex(m.dump)
	if err != nil || len(windows) != 1 {
		t.Fatalf("%d windows, %v", len(windows), err)
	}
	w := windows[0]
	complete(t, w)
	if length := w.Closed.Sub(w.Opened); length < 1900*time.Millisecond || took < length {
		t.Errorf("the window was open for %v, the command ran for %v", length, took)
	}
	lines := strings.Split(strings.TrimSpace(s.stdout), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[1], w.Window) || !strings.Contains(lines[1], fmt.Sprintf("%d B", len(text))) {
		t.Errorf("it lists %q, want the window %s with %d bytes", lines, w.Window, len(text))
	}
	// The JSON line is the index's.
	listed := rows[oracle.Window](t, c.run(t, "windows", "-o", "json", "--window", w.Window[:6], m.dump))
	if len(listed) != 1 || listed[0].Window != w.Window || listed[0].Seen != w.Seen || !listed[0].Opened.Equal(w.Opened) {
		t.Errorf("windows lists %+v, the index has %+v", listed, w)
	}
	c.run(t, "windows", "--check", m.dump).did(t)
}

// talkInWindow waits for an open window and then says text.
func talkInWindow(ctx context.Context, t *testing.T, m *mosn, address, text string) {
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

// What "record" cannot do it says in one line, with the exit code for it.
func ctlIsRefused(t *testing.T, c ctlBinary) {
	// A guard whose limit for memory is below what any machine uses.
	m, _ := echoMosn(t, newBase(t), block{"guard": "on", "strategy": block{"switch": "OFF", "interval": 30, "duration": 5, "cpu_max_rate": 99, "mem_max_rate": 0.01}})
	c.run(t, "record", "--for=2s", m.admin()).refused(t, exitUnread, "503", "mem", "0.01")

	c.run(t, "off", "--force", m.admin()).did(t)
	c.run(t, "record", "--for=2s", m.admin()).refused(t, exitUnread, "409", "FORCE_OFF")

	nobody := freeAddress(t)
	c.run(t, "record", "--for=2s", "--admin="+nobody).refused(t, exitUnread, nobody, "refused")
	c.run(t, "status", "--admin="+nobody).refused(t, exitUnread, nobody, "refused")
	c.run(t, "live", "--admin="+nobody).refused(t, exitUnread, nobody, "refused")
	c.run(t, "record", "--for=2h", m.admin()).refused(t, exitUsage, "2h")
	c.run(t, "record", "--admin=ftp://nowhere").refused(t, exitUsage, "ftp://nowhere")
	// An HTTP server that is no admin server.
	c.run(t, "record", "--admin="+httpUpstream(t)).refused(t, exitUnread)
	c.run(t, "windows", filepath.Join(m.dump, "nowhere")).refused(t, exitUnread, "nowhere")
}

func ctlShowsAToken(t *testing.T, c ctlBinary) {
	base := newBase(t)
	files := map[string]string{"right": "open-sesame-0815\n", "wrong": "open-sesame\n", "empty": "\n"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(base, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files[name] = filepath.Join(base, name)
	}
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", freeAddress(t), recorder(base), mosnproc.TCPProxy()))
	config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: block{"token_file": files["right"]}}}
	m := start(t, base, config)

	c.run(t, "record", "--for=1s", m.admin()).refused(t, exitUnread, "token", "401")
	c.run(t, "record", "--for=1s", m.admin(), "--token-file="+files["wrong"]).refused(t, exitUnread, "token", "401")
	c.run(t, "record", "--for=1s", m.admin(), "--token-file="+files["empty"]).refused(t, exitUnread, "empty")
	c.run(t, "live", m.admin(), "--token-file="+files["wrong"]).refused(t, exitUnread, "token", "401")
	c.run(t, "on", m.admin(), "--token-file="+files["wrong"]).refused(t, exitUnread, "token", "401")
	c.run(t, "record", "--for=1s", m.admin(), "--token-file="+files["right"]).did(t)
	if windows, err := oracle.ReadIndex(m.dump); err != nil || len(windows) != 1 {
		t.Errorf("%d windows, %v; want the one that the right token opened", len(windows), err)
	}
}

func ctlSwitches(t *testing.T, c ctlBinary) {
	m, _ := echoMosn(t, newBase(t))
	effective := func() string { return mustStatus(deadline(t), t, m).Switch.Effective }
	says := func(s said, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(s.did(t).stdout, word) {
				t.Errorf("%s: it says %q, which does not have %q", s.command, s.stdout, word)
			}
		}
	}
	says(c.run(t, "status", m.admin()), "OFF", "hex_meta", m.dump)
	says(c.run(t, "on", "--interval=60", "--duration=10", m.admin()), "switch ON")
	if on := effective(); on != "ON" {
		t.Errorf("the switch is %s", on)
	}
	says(c.run(t, "status", m.admin()), "ON, every 60 s for 10 s")
	c.run(t, "on", "--interval=5", m.admin()).refused(t, exitUsage, "interval", "5", "30 … 3600")
	says(c.run(t, "off", m.admin()), "switch OFF")
	says(c.run(t, "on", "--layer=global", m.admin()), "switch ON", "global ON")
	says(c.run(t, "off", "--force", m.admin()), "switch OFF", "FORCE_OFF")
	if off := effective(); off != "OFF" {
		t.Errorf("the switch is %s", off)
	}
	var status mosnproc.Status
	if err := json.Unmarshal([]byte(c.run(t, "status", "-o", "json", m.admin()).did(t).stdout), &status); err != nil || status.Switch.Effective != "OFF" {
		t.Errorf("status %+v, %v", status, err)
	}
}

// Ctrl-C ends the window, and it is listed all the same.
func ctlClosesTheWindowWhenInterrupted(t *testing.T, c ctlBinary) {
	m, address := echoMosn(t, newBase(t))
	b := c.begin(t, "record", "--for=10m", m.admin())
	talkInWindow(deadline(t), t, m, address, "before the interruption")
	s := b.interrupt(t).did(t)
	windows, err := oracle.ReadIndex(m.dump)
	if err != nil || len(windows) != 1 || !strings.Contains(s.stdout, windows[0].Window) {
		t.Errorf("%d windows, %v; it lists %q", len(windows), err, s.stdout)
	}
	if open := mustStatus(deadline(t), t, m).Window; open != nil {
		t.Errorf("window %s is still open", open.ID)
	}
}
