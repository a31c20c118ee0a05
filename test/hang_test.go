package test

import (
	"net"
	"net/http"
	"testing"
	"time"
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
