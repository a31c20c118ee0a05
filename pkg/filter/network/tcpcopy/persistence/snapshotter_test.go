package persistence

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// endlessJSON is a configuration that goes on until it is told to end, in pieces.
type endlessJSON struct {
	begun chan struct{} // closed at the first read
	once  sync.Once
	stop  atomic.Bool
	part  int
}

func (e *endlessJSON) Read(b []byte) (int, error) {
	e.once.Do(func() { close(e.begun) })
	e.part++
	if e.part == 1 {
		return copy(b, `{"a":["hunter`), nil
	}
	if e.stop.Load() {
		return copy(b, `"]}`), io.EOF
	}
	return copy(b, `","hunter`), nil
}

func (e *endlessJSON) Close() error { return nil }

// A window's index line does not wait for its snapshot, and neither does the next
// window; the end of the process gives it up after a while, with an alert.
func TestTheIndexLineDoesNotWaitForTheSnapshot(t *testing.T) {
	e := &endlessJSON{begun: make(chan struct{})}
	r := newHarness(t, nil, func(h *Host) {
		h.Effective = &Source{JSON: func() (io.ReadCloser, error) { return e, nil }}
	})
	for n := 1; n <= 3; n++ {
		s := r.open(n)
		newPeer(r.run, n).say(s, record.In, []byte("x"))
		s.Close(time.Now())
		if w := r.indexed(n); !slices.Contains(w.Files, layout.EffectiveConfigs) || len(w.Removed) > 0 {
			t.Errorf("window %d: files %q, removed %q", n, w.Files, w.Removed)
		}
	}
	<-e.begun
	r.store.Close()
	if a := r.alerted(); len(a) == 0 || !strings.Contains(a[0], "snapshot") || !strings.Contains(a[0], errStopping.Error()) {
		t.Errorf("alerts %q", a)
	}
	said := snapshotsOf(t, r.dir, layout.EffectiveConfigs)
	for _, line := range said {
		if !strings.HasSuffix(line, " skipped") {
			t.Errorf("lines %q", said)
		}
	}
	if len(said) == 0 {
		t.Error("no line says that the snapshot was skipped")
	}
}

// A configuration that cannot be masked in the middle leaves nothing of its line.
func TestABrokenSnapshotLeavesNoPartOfIt(t *testing.T) {
	long := `{"a":[` + strings.Repeat(`"plain text",`, 40_000)
	text := long + `1]}`
	r := newHarness(t, nil, func(h *Host) { h.Effective = bytesSource(func() ([]byte, error) { return []byte(text), nil }) })
	talk := func(n int) { r.window(n, func(s *Session) { newPeer(r.run, n).say(s, record.In, []byte("x")) }) }
	talk(1)
	text = long + `1]`
	talk(2)
	text = long + `1]}`
	talk(3)
	said := snapshotsOf(t, r.dir, layout.EffectiveConfigs)
	same(t, "lines", []string{said[0][:8], said[1], said[2]}, []string{`1 {"a":[`, "2 skipped", "3 no_change"})
}

// A file that begins anew begins with the configuration, also where a line that says
// skipped came in between.
func TestANewSnapshotFileBeginsWithTheConfiguration(t *testing.T) {
	text := `{"a":1}`
	r := newHarness(t, nil, func(h *Host) { h.Effective = bytesSource(func() ([]byte, error) { return []byte(text), nil }) })
	talk := func(n int) { r.window(n, func(s *Session) { newPeer(r.run, n).say(s, record.In, []byte("x")) }) }
	talk(1)
	talk(2)
	if err := os.Remove(filepath.Join(r.dir, layout.EffectiveConfigs)); err != nil {
		t.Fatal(err)
	}
	text = `{"a":`
	talk(3)
	text = `{"a":1}`
	talk(4)
	talk(5)
	same(t, "lines", snapshotsOf(t, r.dir, layout.EffectiveConfigs), []string{"3 skipped", `4 {"a":1}`, "5 no_change"})
}

// What has not changed is read, and not masked: a configuration whose text is the same
// is not opened as JSON again.
func TestAnUnchangedConfigurationIsNotMasked(t *testing.T) {
	var masked, read int
	text := `{"a":1}`
	r := newHarness(t, nil, func(h *Host) {
		h.Static = &Source{
			JSON: func() (io.ReadCloser, error) { masked++; return io.NopCloser(strings.NewReader(text)), nil },
			Text: func() (io.ReadCloser, error) { read++; return io.NopCloser(strings.NewReader(text)), nil },
		}
	})
	talk := func(n int) { r.window(n, func(s *Session) { newPeer(r.run, n).say(s, record.In, []byte("x")) }) }
	for n := 1; n <= 4; n++ {
		talk(n)
	}
	if masked != 1 || read != 4 {
		t.Errorf("opened as JSON %d times, read %d times", masked, read)
	}
	text = `{"a":1,"password":"x"}`
	talk(5)
	text = `{"a":1,"password":"y"}` // a change of a secret's value alone is none
	talk(6)
	talk(7)
	if masked != 3 {
		t.Errorf("opened as JSON %d times, want 3", masked)
	}
	same(t, "lines", snapshotsOf(t, r.dir, layout.StaticConfigs),
		[]string{`1 {"a":1}`, "2 no_change", "3 no_change", "4 no_change", `5 {"a":1,"password":"***"}`, "6 no_change", "7 no_change"})
}

// The last configuration is found in a large file, however many lines follow it.
func TestTheLastSnapshotIsFoundInPieces(t *testing.T) {
	for _, words := range []int{0, 1, 20_000} {
		config := `{"a":"` + strings.Repeat("long ", 200_000) + `"}`
		source := bytesSource(func() ([]byte, error) { return []byte(config), nil })
		r := newHarness(t, nil, func(h *Host) { h.Effective = source })
		talk := func(r *harness, n int) {
			r.window(n, func(s *Session) { newPeer(r.run, n).say(s, record.In, []byte("x")) })
		}
		talk(r, 1)
		r.store.Close()
		path := filepath.Join(r.dir, layout.EffectiveConfigs)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := bytes.Cut(mustRead(t, path), []byte("]{"))
		for range words {
			_, _ = fmt.Fprintf(f, "%s]no_change\n", first)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		next := openHarness(t, r.dir, "bbbbbb", nil, func(h *Host) { h.Effective = source })
		talk(next, 2)
		said := snapshotsOf(t, r.dir, layout.EffectiveConfigs)
		if got := said[len(said)-1]; got != "2 no_change" {
			t.Errorf("behind %d lines: %.40q", words, got)
		}
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
