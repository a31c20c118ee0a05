package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

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
		"decode as":    ctlSaysHowWiresharkDecodes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

// "record" opens a window, waits, and lists it.
func ctlRecords(t *testing.T, c ctlBinary) {
	m, address := echoMosn(t, newBase(t))
	const text = "while record waits"
	talked := make(chan struct{})
	go func() { // ends when the window is open and the text has come back, or in time
		defer close(talked)
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		sendInWindow(ctx, t, m, address, text)
	}()
	began := time.Now()
	s := c.run(t, "record", "--for=2s", m.admin()).ok(t)
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
	if len(lines) != 2 || !strings.HasPrefix(lines[1], w.Window[:8]+" ") || !strings.Contains(lines[1], fmt.Sprintf("%d B", len(text))) {
		t.Errorf("it lists %q, want the window %s with %d bytes", lines, w.Window, len(text))
	}
	// The JSON line is the index's.
	listed := rows[oracle.Window](t, c.run(t, "windows", "-o", "json", "--window", w.Window[:6], m.dump))
	if len(listed) != 1 || listed[0].Window != w.Window || listed[0].Seen != w.Seen || !listed[0].Opened.Equal(w.Opened) {
		t.Errorf("windows lists %+v, the index has %+v", listed, w)
	}
	c.run(t, "windows", "--check", m.dump).ok(t)
}

// What "record" cannot do it says in one line, with the exit code for it.
func ctlIsRefused(t *testing.T, c ctlBinary) {
	// A guard whose limit for memory is below what any machine uses.
	m, _ := echoMosn(t, newBase(t), block{"guard": "on", "strategy": block{"switch": "OFF", "interval": 30, "duration": 5, "cpu_max_rate": 99, "mem_max_rate": 0.01}})
	c.run(t, "record", "--for=2s", m.admin()).refused(t, exitUnread, "503", "mem", "0.01")

	c.run(t, "off", "--force", m.admin()).ok(t)
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
	c.run(t, "record", "--for=1s", m.admin(), "--token-file="+files["right"]).ok(t)
	if windows, err := oracle.ReadIndex(m.dump); err != nil || len(windows) != 1 {
		t.Errorf("%d windows, %v; want the one that the right token opened", len(windows), err)
	}
}

func ctlSwitches(t *testing.T, c ctlBinary) {
	m, _ := echoMosn(t, newBase(t))
	effective := func() string { return mustStatus(deadline(t), t, m).Switch.Effective }
	says := func(s result, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(s.ok(t).stdout, word) {
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
	if err := json.Unmarshal([]byte(c.run(t, "status", "-o", "json", m.admin()).ok(t).stdout), &status); err != nil || status.Switch.Effective != "OFF" {
		t.Errorf("status %+v, %v", status, err)
	}
}

// Ctrl-C ends the window, and it is listed all the same.
func ctlClosesTheWindowWhenInterrupted(t *testing.T, c ctlBinary) {
	m, address := echoMosn(t, newBase(t))
	b := c.begin(t, "record", "--for=10m", m.admin())
	sendInWindow(deadline(t), t, m, address, "before the interruption")
	s := b.interrupt(t).ok(t)
	windows, err := oracle.ReadIndex(m.dump)
	if err != nil || len(windows) != 1 || !strings.Contains(s.stdout, windows[0].Window[:8]) {
		t.Errorf("%d windows, %v; it lists %q", len(windows), err, s.stdout)
	}
	if open := mustStatus(deadline(t), t, m).Window; open != nil {
		t.Errorf("window %s is still open", open.ID)
	}
}
