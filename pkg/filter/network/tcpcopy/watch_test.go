package tcpcopy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

const (
	watchedOn  = `{"app": {"switch": "ON", "interval": 60, "duration": 5}}`
	watchedOff = `{"app": {"switch": "OFF"}}`
)

// never is the poll of a watch that sees changes by its events alone.
const never = time.Hour

// watching starts a recorder that follows the file at path with that poll, and
// returns what waits until the app layer's interval is as expected.
func watching(t *testing.T, path string, poll time.Duration) (r *recorder, appInterval func(want int)) {
	t.Helper()
	r = newRecorder("watch0", testHost(t))
	t.Cleanup(func() { r.close(false) })
	r.watch = startWatch(r, path, poll)
	return r, func(want int) {
		t.Helper()
		eventually(t, "the app layer's interval", func() bool { return r.controller.Status().Switch.App.Interval == want })
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatchFollowsAFileWrittenInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "switch.json")
	write(t, path, watchedOn)
	r, interval := watching(t, path, never)
	interval(60)
	write(t, path, watchedOff)
	interval(model.MinInterval)
	if c := r.controller.Status().Switch.AppChange; c == nil || !strings.Contains(c.Source, path) {
		t.Errorf("the status does not name the file: %+v", c)
	}
}

func TestWatchFollowsARenamedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "switch.json")
	write(t, path, watchedOff)
	_, interval := watching(t, path, never)
	write(t, filepath.Join(dir, "new"), watchedOn)
	if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
		t.Fatal(err)
	}
	interval(60)
}

// A ConfigMap volume: the file is a link into a link that is swapped.
func TestWatchFollowsSwappedLinks(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "switch.json"), text)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", watchedOff)
	link("..1", "..data")
	link("..data/switch.json", "switch.json")
	_, interval := watching(t, filepath.Join(dir, "switch.json"), never)

	version("..2", watchedOn)
	link("..2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	interval(60)
}

// A folder that is created later has no events: the poll finds it.
func TestWatchFollowsAFileThatIsCreatedLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "switch.json")
	_, interval := watching(t, path, watchPoll)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path, watchedOn)
	interval(60)
}

func TestWatchKeepsTheLastGoodOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "switch.json")
	write(t, path, watchedOn)
	r, interval := watching(t, path, watchPoll)
	interval(60)
	for _, bad := range []string{`{"app": {"switch": "ON", "interval": 7}, "global": {"switch": "ON"}}`, `{"app": `, `{"up": 1}`, ``, strings.Repeat(" ", maxWatched+1)} {
		before := r.status().Watch.Time
		write(t, path, bad)
		eventually(t, "a refusal", func() bool { return *r.status().Watch.Time != *before })
		s := r.status()
		if s.Watch.Error == "" || s.Switch.App.Interval != 60 || s.Switch.Global.Switch != model.SwitchOff {
			t.Errorf("%.40q: error %q, in force %+v and %+v", bad, s.Watch.Error, s.Switch.App, s.Switch.Global)
		}
		if s.Switch.AppChange.Error == "" {
			t.Errorf("%.40q: the layer's last change has no error", bad)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, `{"app": {"switch": "ON", "interval": 61, "duration": 5}}`)
	interval(61)
}

// eventually waits until what is looked at holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func FuzzWatched(f *testing.F) {
	f.Add([]byte(watchedOn))
	f.Add([]byte(`{"global": {"switch": "FORCE_OFF"}, "app": null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		layers, err := parseWatched(text)
		if err != nil {
			if err.Error() == "" {
				t.Errorf("%q is refused without a reason", text)
			}
			return
		}
		for layer, config := range layers {
			if err := config.Validate(layer); err != nil {
				t.Errorf("%q is accepted as %+v: %v", text, config, err)
			}
		}
	})
}
