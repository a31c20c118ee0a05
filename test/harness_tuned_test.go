package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// startTuned is start for a configuration with fields that mosnproc.Config does
// not have: top are those of the file, server those of its one server.
func startTuned(t *testing.T, base string, config mosnproc.Config, top, server block) *mosn {
	t.Helper()
	spec := fill(t, mosnproc.Spec{Base: base})
	config.Servers[0].LogPath, config.Servers[0].LogLevel = filepath.Join(base, "logs", "mosn.log"), "INFO"
	config.Admin.Address.Socket.Address, config.Admin.Address.Socket.Port = "127.0.0.1", spec.AdminPort
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var all block
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for field, value := range top {
		all[field] = value
	}
	for field, value := range server {
		all["servers"].([]any)[0].(block)[field] = value
	}
	if text, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	p, err := spec.StartText(text)
	if err != nil {
		t.Fatal(err)
	}
	m := &mosn{Process: p, t: t, dump: dumpDir(base)}
	t.Cleanup(m.end)
	if err := p.Ready(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for _, l := range config.Servers[0].Listeners {
		if err := p.Accepts(deadline(t), "tcp", l.Address); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// end is what watch does when the test ends, without the races of MOSN's own: it
// writes to connections that have come from another process before they have all
// their filters (pkg/network/transfer.go, transferHandler).
func (m *mosn) end() {
	t := m.t
	if err := m.Kill(); err != nil {
		t.Error(err)
	}
	for _, report := range m.Races() {
		if !strings.Contains(report, "network.transferHandler") {
			t.Errorf("data race:\n%s", report)
		}
	}
	if strings.Contains(m.Log(), "panic") {
		t.Error("a process's log has a panic")
	}
	if t.Failed() {
		t.Logf("the processes' log:\n%s", m.Log())
	}
}

// successor finds the process that has written its number to pidFile after m has
// been asked to upgrade, and kills it with the test. It is not this process's child,
// and is taken for m's successor only if it runs on m's configuration.
func (m *mosn) successor(pidFile string) {
	t := m.t
	t.Helper()
	pid := 0
	eventually(t, "another process has written the pid file", func() bool {
		text, err := os.ReadFile(pidFile)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil && pid != m.Pid()
	})
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || !strings.Contains(string(line), m.ConfigPath()) {
		t.Fatalf("process %d of the pid file is not the new one: %q, %v", pid, line, err)
	}
	t.Cleanup(func() {
		if err := process.Signal(syscall.SIGKILL); err != nil {
			t.Logf("the new process has ended already: %v", err)
		}
		eventually(t, "the new process has ended", func() bool {
			text, err := os.ReadFile(filepath.Join(proc, "stat"))
			return err != nil || strings.Contains(string(text), ") Z ")
		})
	})
}
