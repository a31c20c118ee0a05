package persistence

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/record"
)

// sharedDir returns a directory in memory, which ends with the test.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(sharedMemory, "tcpcopy-test-") //nolint:usetesting // in memory
	if err != nil {
		t.Skipf("no memory file system: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// roomOf is the Room of a process that may use so many bytes more at the first look, and
// at each further look fewer.
func roomOf(bytes, fewer int64) func(*Host) {
	return func(h *Host) {
		h.Room = func(*record.Window) Room {
			left := bytes + fewer
			return func() (int64, string, error) {
				left -= fewer
				return left, "a test's limit", nil
			}
		}
	}
}

func TestABufferIsHalvedUntilItFits(t *testing.T) {
	for _, spool := range []string{SpoolOff, "dir"} {
		for _, test := range []struct {
			name        string
			room, fewer int64 // bytes
			want        int64 // MiB; 0 is refused
		}{
			{"all of it", 64 << 20, 0, 32},
			{"less", 30 << 20, 0, 16},
			{"much less", 6 << 20, 0, 4},
			{"the least", 3 << 20, 0, 1},
			{"nothing", 2 << 20, 0, 0},
			{"others use it meanwhile", 60 << 20, 8 << 20, 0},
		} {
			t.Run(spool+" "+test.name, func(t *testing.T) {
				dir := t.TempDir()
				config := func(c *Config) {
					c.BufferSize = 32 << 20
					if c.Spool = spool; spool != SpoolOff {
						c.Spool = sharedDir(t)
					}
				}
				h := openHarness(t, dir, "aaaaaa", config, roomOf(test.room, test.fewer))
				s, err := h.store.OpenWindow(record.Window{ID: windowID(1), Trigger: record.TriggerManual})
				stats := h.store.Stats()
				if test.want == 0 {
					if !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), "a test's limit") || stats.NoRoom != 1 || stats.Buffer != 0 {
						t.Errorf("error %v, %+v", err, stats)
					}
					if left, _ := filepath.Glob(filepath.Join(h.store.config.Spool, "*")); len(left) > 0 {
						t.Errorf("left over: %q", left)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close(s.window.Opened)
				if stats.Buffer != test.want<<20 || stats.Reduced != uint64(min(1, 32/test.want-1)) || stats.NoRoom != 0 {
					t.Errorf("%d MiB of buffer, %+v", stats.Buffer>>20, stats)
				}
			})
		}
	}
}

// A limit that cannot be read is no room.
func TestARoomThatCannotBeReadRefuses(t *testing.T) {
	broken := errors.New("no /proc")
	h := newHarness(t, nil, func(h *Host) {
		h.Room = func(*record.Window) Room { return func() (int64, string, error) { return 0, "", broken } }
	})
	if _, err := h.store.OpenWindow(record.Window{ID: windowID(1)}); !errors.Is(err, ErrNoRoom) || !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := h.store.Subscribe(); !errors.Is(err, ErrNoRoom) {
		t.Errorf("live stream: %v", err)
	}
}

// The memory of a recovery is counted too, whatever the load: what does not fit stays.
func TestARecoveryThatDoesNotFitIsKept(t *testing.T) {
	dir := t.TempDir()
	killVictim(t, dir, FormatHexMeta)
	config := victimConfig(dir, FormatHexMeta)
	host := Host{Run: "aaaaaa", Room: func(w *record.Window) Room {
		if w != nil {
			t.Errorf("the room of a window: %+v", w)
		}
		return func() (int64, string, error) { return 0, "a test's limit", nil }
	}}
	all, err := Recover(config, host)
	if err != nil || len(all) != 1 || !errors.Is(all[0].Err, ErrNoRoom) {
		t.Fatalf("recovered %+v, %v", all, err)
	}
	all, err = Recover(config, Host{Run: "aaaaaa"})
	if err != nil || len(all) != 1 || all[0].Err != nil || all[0].Window.Seen != all[0].Window.Written.Plus(all[0].Window.Lost) {
		t.Errorf("recovered %+v, %v", all, err)
	}
}

// What a window uses is below 1.25 times its buffer, for which room is looked for.
func TestSizesStayBelowTheBound(t *testing.T) {
	for _, formats := range [][]Format{{FormatPcapng}, {FormatHexMeta}, {FormatHexMeta, FormatPcapng}} {
		for size := int64(MinBufferSize); size <= 1<<30; size *= 2 {
			c := Config{Formats: formats, BufferSize: size, Workers: 2}
			l := c.sizes()
			if all := int64(2*l.Shards*l.Batch + len(formats)*l.encoded); all > size/4*5 {
				t.Errorf("%v, %d bytes: %d", formats, size, all)
			}
		}
	}
}
