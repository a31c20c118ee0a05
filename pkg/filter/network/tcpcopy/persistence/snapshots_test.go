package persistence

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// bytesSource returns a source whose JSON is all in memory.
func bytesSource(load func() ([]byte, error)) *Source {
	return &Source{JSON: func() (io.ReadCloser, error) {
		text, err := load()
		return io.NopCloser(bytes.NewReader(text)), err
	}}
}

// snapshotsOf returns what the lines of a snapshot file say, each with the number
// of its window.
func snapshotsOf(t *testing.T, dir, name string) (said []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.SplitAfter(string(text), "\n") {
		if line == "" {
			continue
		}
		_, rest, ok := strings.Cut(line, " [INFO] [")
		window, config, ok2 := strings.Cut(rest, "]")
		if !ok || !ok2 || !strings.HasSuffix(config, "\n") {
			t.Errorf("%s: %q", name, line)
			continue
		}
		said = append(said, strings.TrimLeft(window[:8], "0")+" "+strings.TrimSuffix(config, "\n"))
	}
	return said
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// A configuration is written when it has changed since the last one in the file,
// across restarts, and each window in which anything was recorded has a line.
func TestSnapshotsAreWrittenOnce(t *testing.T) {
	effective := `{"a": 1}`
	load := func(h *Host) {
		h.Effective = bytesSource(func() ([]byte, error) { return []byte(effective), nil })
	}
	r := newHarness(t, nil, load)
	talk := func(r *harness, n int) {
		t.Helper()
		r.window(n, func(s *Session) { newPeer(r.run, n).say(s, record.In, []byte("x")) })
	}
	want := []string{`1 {"a":1}`, `2 no_change`}
	talk(r, 1)
	talk(r, 2)
	r.window(3, func(*Session) {})
	r.window(4, func(s *Session) {
		s.Pause(record.ReasonGuard)
		newPeer(r.run, 4).say(s, record.In, []byte("nothing of this is recorded"))
	})
	same(t, "one process", snapshotsOf(t, r.dir, layout.EffectiveConfigs), want)

	effective = "{\n\"a\": 2}"
	talk(r, 5)
	want = append(want, `5 {"a":2}`)
	r.store.Close()
	next := openHarness(t, r.dir, "bbbbbb", nil, load)
	talk(next, 6)
	want = append(want, `6 no_change`)
	same(t, "after a restart", snapshotsOf(t, r.dir, layout.EffectiveConfigs), want)

	// During a hot upgrade two processes write to the file.
	other := openHarness(t, r.dir, "cccccc", nil, func(h *Host) {
		h.Effective = bytesSource(func() ([]byte, error) { return []byte(`{"a":3}`), nil })
	})
	talk(other, 7)
	talk(next, 8)
	talk(next, 9)
	want = append(want, `7 {"a":3}`, `8 {"a":2}`, `9 no_change`)
	same(t, "two processes", snapshotsOf(t, r.dir, layout.EffectiveConfigs), want)

	// A file that is gone, or rolled, begins with the configuration.
	if err := os.Remove(filepath.Join(r.dir, layout.EffectiveConfigs)); err != nil {
		t.Fatal(err)
	}
	talk(next, 10)
	same(t, "a new file", snapshotsOf(t, r.dir, layout.EffectiveConfigs), []string{`10 {"a":2}`})
	if got := snapshotsOf(t, r.dir, layout.StaticConfigs); got != nil {
		t.Errorf("there is no static configuration: %q", got)
	}
	r.quiet()
	next.quiet()
}

func TestARolledSnapshotFileBeginsWithTheConfiguration(t *testing.T) {
	load := func(h *Host) {
		h.Static = bytesSource(func() ([]byte, error) { return []byte(`{"a":1}`), nil })
	}
	r := newHarness(t, func(c *Config) { c.Roll.Every = time.Hour }, load)
	path := filepath.Join(r.dir, layout.StaticConfigs)
	start := time.Date(2024, 5, 6, 7, 30, 0, 0, time.Local)
	for n, at := range []time.Duration{0, time.Minute, time.Hour, time.Hour + time.Minute} {
		r.clock.set(start.Add(at))
		r.window(n+1, func(s *Session) { newPeer(r.run, 1).say(s, record.In, []byte("x")) })
		if err := os.Chtimes(path, start.Add(at), start.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "rolled", snapshotsOf(t, r.dir, "dump_static_conf-2024-05-06T08-30-00.000.log"), []string{`1 {"a":1}`, `2 no_change`})
	same(t, "current", snapshotsOf(t, r.dir, layout.StaticConfigs), []string{`3 {"a":1}`, `4 no_change`})
}

// A portrait is something that was recorded.
func TestAPortraitAloneMakesASnapshot(t *testing.T) {
	r := newHarness(t, nil, func(h *Host) {
		h.Effective = bytesSource(func() ([]byte, error) { return []byte(`{}`), nil })
	})
	w := r.window(1, func(s *Session) {
		if accepted, err := s.Portrait(model.STATE, "", func() ([]byte, error) { return []byte(`1`), nil }); !accepted || err != nil {
			t.Error(accepted, err)
		}
	})
	same(t, "snapshots", snapshotsOf(t, r.dir, layout.EffectiveConfigs), []string{`1 {}`})
	same(t, "files", w.Files, []string{layout.PortraitLog, layout.EffectiveConfigs})
}

// Secrets do not reach the disk, and what cannot be masked is not written.
func TestSnapshotsAreMasked(t *testing.T) {
	text := `{"tls": {"private_key": "hunter2", "ca": "-----BEGIN PRIVATE KEY-----\nhunter2\n"}, "url": "redis://u:hunter2@h", "n": 1}`
	fails := errors.New("cannot be loaded")
	loadErr := error(nil)
	r := newHarness(t, nil, func(h *Host) {
		h.Effective = bytesSource(func() ([]byte, error) { return []byte(text), loadErr })
	})
	talk := func(n int) {
		r.window(n, func(s *Session) { newPeer(r.run, n).say(s, record.In, []byte("x")) })
	}
	talk(1)
	said := snapshotsOf(t, r.dir, layout.EffectiveConfigs)
	if len(said) != 1 || strings.Contains(said[0], "hunter2") || !strings.Contains(said[0], `"n":1`) || !json.Valid([]byte(strings.TrimPrefix(said[0], "1 "))) {
		t.Errorf("snapshot %q", said)
	}
	text = `{"password": "hunter2"`
	talk(2)
	text, loadErr = `{}`, fails
	talk(3)
	same(t, "snapshots that failed", snapshotsOf(t, r.dir, layout.EffectiveConfigs)[1:], []string{"2 skipped", "3 skipped"})
	if a := r.alerted(); len(a) != 2 || !strings.Contains(a[0], "mask") || !strings.Contains(a[1], fails.Error()) || strings.Contains(a[0], "hunter2") {
		t.Errorf("alerts: %q", a)
	}
}
