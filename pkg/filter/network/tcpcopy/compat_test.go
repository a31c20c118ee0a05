package tcpcopy

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// Code written for the first implementation hands flow bytes and portraits to the
// work pool; they are recorded in windows only.
func TestTheWorkPoolRecordsInAWindowOnly(t *testing.T) {
	h := newHarness(t, object{"buffer": object{"workers": 1}})
	rec := h.recorder
	flow := func(port, text string) *model.DumpUploadDynamicConfig {
		return model.NewDumpUploadDynamicConfig("unused", "", port, []byte(text), "")
	}
	rec.Schedule(flow("2045", "before"))
	if rec.Recording() {
		t.Error("recording without a window")
	}
	w := h.window(func() {
		if !rec.Recording() {
			t.Error("not recording in a window")
		}
		sessionOf(rec.controller.Open()).Pause(record.ReasonGuard)
		if rec.Recording() {
			t.Error("recording while the guard is down")
		}
		sessionOf(rec.controller.Open()).Resume(record.ReasonGuard)
		data := flow("2045", "one")
		rec.Schedule(data)
		copy(data.BinaryFlowData, "...") // it is the caller's again
		rec.Schedule(flow("2045", "two"))
		rec.Schedule(flow("/run/x.sock", "three"))
		rec.Schedule(flow("", "nowhere"))
		rec.Schedule(&model.DumpUploadDynamicConfig{})
		rec.Schedule(model.NewDumpUploadDynamicConfig("", model.STATE, "2045", nil, "{\n\"a\": 1}"))
		rec.Schedule(model.NewDumpUploadDynamicConfig("", model.RPC, "2045", nil, "no JSON"))
	})
	h.window(func() { rec.Schedule(flow("2045", "three")) })
	all := h.connections()
	if len(all) != 3 || text(all[0].In) != "one|two" || text(all[1].In) != "three" || all[1].Port != "/run/x.sock" || all[2].In.Begin() != 6 {
		t.Errorf("log %+v", all)
	}
	if all[0].Conn == all[1].Conn || all[0].Conn != all[2].Conn {
		t.Errorf("connections %s, %s, %s", all[0].Conn, all[1].Conn, all[2].Conn)
	}
	if w.Seen.In != 11 || w.Connections != 2 {
		t.Errorf("index %+v", w)
	}
	if got := h.portraits(); len(got) != 1 || got[0] != `[STATE][2045]{"a":1}` {
		t.Errorf("portraits %q", got)
	}
}

// The work pool's connections are none of MOSN's, which counts from 1.
func TestWorkPoolConnectionsHaveTheirOwnIdentities(t *testing.T) {
	h := newHarness(t, object{})
	h.window(func() {
		for range 3 {
			h.connect(h.factory).receive("x")
		}
		for _, port := range []string{"1", "2", "3"} {
			h.recorder.Schedule(model.NewDumpUploadDynamicConfig("", "", port, []byte("y"), ""))
		}
	})
	all := h.connections()
	if len(all) != 6 {
		t.Errorf("%d connections", len(all))
	}
	numbers := map[uint64]bool{}
	for _, c := range all {
		n, err := strconv.ParseUint(strings.TrimPrefix(c.Conn, "aaaaaa-"), 10, 64)
		// Readers of JSON that know floating point numbers alone hold the number too.
		if err != nil || n > 1<<53 || (n >= firstPool) != (text(c.In) == "y") {
			t.Errorf("identity %s, %v", c.Conn, err)
		}
		numbers[n] = true
	}
	if len(numbers) != 6 || !numbers[firstPool] {
		t.Errorf("numbers %v", numbers)
	}
}

func TestTheWorkPoolMayBeUsedConcurrently(t *testing.T) {
	h := newHarness(t, object{})
	w := h.window(func() {
		var talk sync.WaitGroup
		for range 8 {
			talk.Add(1)
			go func() {
				defer talk.Done()
				for range 50 {
					h.recorder.Schedule(model.NewDumpUploadDynamicConfig("", "", "2045", []byte("abc"), ""))
				}
			}()
		}
		talk.Wait()
	})
	all := h.connections()
	if len(all) != 1 || all[0].In.Begin() != 0 || all[0].In.End() != 1200 || w.Written.In != 1200 {
		t.Errorf("index %+v", w)
	}
}
