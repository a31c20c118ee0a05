package tcpcopy

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

const watchedForceOff = `{"global": {"switch": "FORCE_OFF"}}`

// unfit are files that cannot be read, by what makes one at a path.
func unfit() map[string]func(t *testing.T, path string) {
	return map[string]func(t *testing.T, path string){
		"a named pipe": func(t *testing.T, path string) {
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a link to a named pipe": func(t *testing.T, path string) {
			if err := unix.Mkfifo(path+".pipe", 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path+".pipe", path); err != nil {
				t.Fatal(err)
			}
		},
		"a directory": func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a device": func(t *testing.T, path string) {
			if err := os.Symlink("/dev/zero", path); err != nil {
				t.Fatal(err)
			}
		},
		"a socket": func(t *testing.T, path string) {
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
		},
		"8589934592 bytes": func(t *testing.T, path string) {
			write(t, path, "")
			if err := os.Truncate(path, 8<<30); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// Whatever is in the file's stead, at the start or later, the next good file comes into
// force.
func TestWatchOutlivesWhatCannotBeRead(t *testing.T) {
	for what, create := range unfit() {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "w")
			create(t, path)
			r, interval := watching(t, path, 10*time.Millisecond)
			refused := func() {
				t.Helper()
				eventually(t, "the refusal", func() bool {
					return strings.Contains(r.status().Watch.Error, strings.TrimPrefix(what, "a link to "))
				})
			}
			refused()
			replace := func(text string) {
				t.Helper()
				write(t, path+".new", text)
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(path+".new", path); err != nil {
					t.Fatal(err)
				}
			}
			replace(watchedOn)
			interval(60)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(path + ".pipe")
			create(t, path)
			refused()
			replace(watchedForceOff)
			eventually(t, "FORCE_OFF", func() bool {
				s := r.status()
				return s.Switch.Global.Switch == model.SwitchForceOff && s.Watch.Error == ""
			})
		})
	}
}

// A file that grows while it is looked at is refused, and that once.
func TestWatchRefusesAFileThatGrows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	write(t, path, watchedOn)
	r, interval := watching(t, path, 10*time.Millisecond)
	interval(60)
	refusals := func() uint64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.refusals
	}
	before := refusals()
	size := int64(maxWatched)
	for range 20 {
		size++
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond) // for a look or none
	}
	eventually(t, "the refusal", func() bool { return r.status().Watch.Error != "" })
	if n := refusals() - before; n != 1 {
		t.Errorf("%d refusals", n)
	}
}

// While the file does not answer, the start, the status and the stop do, and what was in
// force stays.
func TestWatchWaitsForAHangingFileInOneGoroutine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	log := &alertLog{testLog: testLog{t}}
	h := testHost(t)
	h.log = log
	r := newRecorder("watch0", h)
	t.Cleanup(func() { r.close(false) })
	answer := make(chan string)
	readings := make(chan bool, 1000)
	w := newWatch(r, path, time.Millisecond)
	w.timeout = 20 * time.Millisecond
	w.file = openfile.NewSource(path, func() ([]byte, error) {
		readings <- true
		return []byte(<-answer), nil
	})
	w.start()
	r.mu.Lock()
	r.watch = w
	r.mu.Unlock()
	eventually(t, "the alert", func() bool { return strings.Contains(r.status().Watch.Error, "has not answered") })
	<-time.After(20 * w.timeout) // many looks
	if len(readings) != 1 {
		t.Errorf("%d readings", len(readings))
	}
	log.mu.Lock()
	if len(log.alerts) != 1 {
		t.Errorf("alerts: %q", log.alerts)
	}
	log.mu.Unlock()
	go func() {
		for range 3 {
			answer <- watchedForceOff
		}
	}()
	eventually(t, "FORCE_OFF", func() bool {
		s := r.status()
		return s.Switch.Global.Switch == model.SwitchForceOff && !strings.Contains(s.Watch.Error, "answered") || len(readings) > 900
	})
	// It hangs again: the stop does not wait for it.
	eventually(t, "it hangs again", func() bool { return strings.Contains(r.status().Watch.Error, "has not answered") })
	begun := time.Now()
	w.close()
	if lasted := time.Since(begun); lasted > 5*time.Second {
		t.Errorf("the stop waits for %v", lasted)
	}
	close(answer)
}
