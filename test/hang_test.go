package test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// A disk that hangs in a window costs records, which are counted, and nothing else.
func TestADiskThatHangsCostsOnlyRecords(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"hex_meta", "pcapng"} {
		t.Run("in a window "+format, func(t *testing.T) {
			t.Parallel()
			h := newHanging(t, format)
			id := h.open()
			written := func(n uint64) func() bool {
				n += h.account().Written.In
				return func() bool { return h.account().Written.In > n }
			}
			eventually(t, "something is recorded", written(20_000))
			h.hang(func() {
				eventually(t, "records are lost", func() bool { return h.account().LostBy["buffer_full"] > 20_000 })
			})
			thawed := time.Now()
			eventually(t, "the window goes on", written(20_000))
			t.Logf("recording again %v after the disk answers", time.Since(thawed).Round(time.Millisecond))
			h.clients.leave()
			h.judge(format, h.close(id))
		})
		t.Run("at a window's end "+format, func(t *testing.T) {
			if format != "pcapng" && *hangFor < longHang {
				t.Skip("takes its time; run it with -args -hang 30s")
			}
			t.Parallel()
			h := newHanging(t, format)
			id := h.open()
			eventually(t, "something is recorded", func() bool { return h.account().Written.In > 20_000 })
			closed := make(chan error, 1)
			h.hang(func() {
				eventually(t, "records are lost", func() bool { return h.account().LostBy["buffer_full"] > 20_000 })
				go func() { closed <- h.Admin.CloseWindow(deadline(t)) }() // ends when the disk answers
				var s struct {
					Closing struct {
						ID string `json:"id"`
					} `json:"closing"`
				}
				eventually(t, "the status has the window that is written out", func() bool {
					h.decodeStatus(&s)
					return s.Closing.ID == id
				})
				_, err := h.Admin.OpenWindow(deadline(t), time.Minute)
				refusedWith(t, err, http.StatusConflict, id, "written out")
			})
			if err := <-closed; err != nil {
				t.Error(err)
			}
			h.clients.leave()
			h.judge(format, h.indexed(id))
		})
	}
}

// A window that nobody wants any more when the disk has let it open leaves no index line
// and no file.
func TestAWindowThatIsCanceledWhileItOpensLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, cancel := range map[string]func(h *hanging) error{
		"forced off": func(h *hanging) error { return h.Admin.Configure(deadline(h.t), "global", `{"switch":"FORCE_OFF"}`) },
		"closed": func(h *hanging) error {
			go func() { _ = h.Admin.CloseWindow(deadline(h.t)) }() // ends when the disk answers
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHanging(t, "pcapng")
			complete(t, h.window(func() {
				enough := h.clients.messages() + 10
				eventually(t, "something is recorded", func() bool { return h.clients.messages() >= enough })
			}))
			eventually(t, "the window's snapshots are written", func() bool {
				return endsInNewline(t, h.dump, layout.EffectiveConfigs) && endsInNewline(t, h.dump, layout.StaticConfigs)
			})
			before := listing(t, h.dump)
			answered := make(chan error, 1)
			h.hang(func() {
				go func() { // ends when the disk answers
					_, err := h.Admin.OpenWindow(deadline(t), time.Minute)
					answered <- err
				}()
				eventually(t, "the status has the window that is being opened", func() bool { return h.control().Opening != nil })
				if err := cancel(h); err != nil {
					t.Error(err)
				}
			})
			refusedWith(t, <-answered, http.StatusConflict, "not opened")
			h.clients.leave()
			if err := h.Admin.Configure(deadline(t), "global", `{"switch":"OFF"}`); err != nil {
				t.Fatal(err)
			}
			if after := listing(t, h.dump); !slices.Equal(after, before) {
				t.Errorf("the directory has %q, and had %q", after, before)
			}
			if all, err := oracle.ReadIndex(h.dump); err != nil || len(all) != 1 {
				t.Errorf("the index has %+v, %v", all, err)
			}
		})
	}
}

// endsInNewline reports whether the file in dir has whole lines.
func endsInNewline(t *testing.T, dir, name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.HasSuffix(text, []byte("\n"))
}

// listing returns the names and sizes of the files in dir.
func listing(t *testing.T, dir string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprint(e.Name(), " ", info.Size()))
	}
	return files
}

// A process that is to end while its disk hangs does not wait for it, but for the
// kernel: that keeps a process whose write has not returned. What it leaves is
// written by the next start.
func TestAStopDoesNotWaitForADiskThatHangs(t *testing.T) {
	if *hangFor < longHang {
		t.Skip("takes its time; run it with -args -hang 30s")
	}
	t.Parallel()
	h := newHanging(t, "hex_meta")
	id := h.open()
	eventually(t, "something is recorded", func() bool { return h.account().Written.In > 20_000 })
	h.disk.freeze()
	eventually(t, "records are lost", func() bool { return h.account().LostBy["buffer_full"] > 20_000 })
	h.clients.leave()
	stopped := make(chan error, 1)
	go func() { stopped <- h.Stop(deadline(t)) }() // ends when the disk answers
	eventually(t, "the process goes on with its end", func() bool { return h.alerts("stop") == 1 })
	eventually(t, "it serves nobody any more", func() bool {
		conn, err := net.DialTimeout("tcp", h.address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	h.disk.thaw()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	again := startSpec(t, h.spec, h.config)
	w := again.window(func() { sendOnce(t, h.address, "after") })
	complete(t, w)
	left := again.indexed(id)
	t.Logf("recovered %t: seen %+v, written %+v, lost %+v", left.Recovered, left.Seen, left.Written, left.Lost)
	if left.Written.In == 0 || left.Seen.In != left.Written.In+left.Lost.In {
		t.Errorf("index %+v", left)
	}
	again.keptAgrees(left, h.clients.visits)
}
