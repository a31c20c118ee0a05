package strategy

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// Each window that stays closed is in the status, with its reason as a word; those in a
// row for the same reason are one entry, and the log has one line of them.
func TestSkippedWindowsAreListed(t *testing.T) {
	h := newHarness(t)
	var told []record.Skip // only the loop appends
	h.onSkip = func(s record.Skip) { told = append(told, s) }
	refuse := func(err error) { h.sink.set(func(s *spySink) { s.err = err }) }
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	begin := h.clock.Now()
	n := 0
	due := func() {
		h.pass(30 * time.Second)
		n++
		h.expect(fmt.Sprintf("open schedule w%d for 10s", n))
	}
	refuse(&record.SkipError{Reason: record.SkipListener, Err: errors.New("no listener")})
	due()
	due()
	due()
	refuse(fmt.Errorf("wrapped: %w", &record.SkipError{Reason: record.SkipMemory, Err: errors.New("no memory")}))
	due()
	refuse(errors.New("out of order"))
	due()

	list := h.Status().Skipped.List
	if len(list) != 3 {
		t.Fatalf("list %+v", list)
	}
	first := list[0]
	if first.Reason != record.SkipListener || first.Windows != 3 || first.Trigger != record.TriggerSchedule ||
		first.First.Sub(begin) != 30*time.Second || first.Last.Sub(begin) != 90*time.Second || first.Why != "open schedule window w3: no listener" {
		t.Errorf("first %+v", first)
	}
	if list[1].Reason != record.SkipMemory || list[2].Reason != record.SkipOther {
		t.Errorf("list %+v", list)
	}
	if lines := h.log.with("next try in 30 s"); len(lines) != 3 {
		t.Errorf("logged %q", lines)
	}
	if len(told) != 5 || told[4].Windows != 1 || told[4].Reason != record.SkipOther {
		t.Errorf("told %+v", told)
	}
	if s := h.Status().Skipped; s.Windows != 5 {
		t.Errorf("%d windows", s.Windows)
	}

	// After a window that was open, the same reason is logged again.
	refuse(nil)
	due()
	h.pass(10 * time.Second)
	h.expect("close w6")
	refuse(errors.New("out of order"))
	due()
	if lines := h.log.with("next try in 30 s"); len(lines) != 4 {
		t.Errorf("logged %q", lines)
	}
}

// Whoever asks for a window that is open already has a record of that time; whatever
// else is refused is listed. The list is bounded.
func TestRefusedManualWindowsAreListed(t *testing.T) {
	h := newHarness(t)
	h.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10))
	for range 3 {
		if _, err := h.OpenManual(time.Second); !errors.Is(err, ErrForceOff) {
			t.Fatal(err)
		}
	}
	if list := h.Status().Skipped.List; len(list) != 1 || list[0].Reason != record.SkipForceOff || list[0].Trigger != record.TriggerManual || list[0].Windows != 3 {
		t.Errorf("list %+v", list)
	}
	h.mustSet(model.LayerGlobal, config("OFF", 30, 10))
	before := h.Status().Skipped
	for i := range 100 {
		reason := record.SkipMemory
		if i%2 == 0 {
			reason = record.SkipListener
		}
		h.sink.set(func(s *spySink) { s.err = &record.SkipError{Reason: reason, Err: errors.New("x")} })
		if _, err := h.OpenManual(time.Second); err == nil {
			t.Fatal("it has opened")
		}
	}
	if list := h.Status().Skipped.List; len(list) != maxSkips || list[maxSkips-1].Reason != record.SkipMemory {
		t.Errorf("%d entries", len(list))
	}
	if len(before.List) != 1 || before.List[0].Windows != 3 {
		t.Error("a status has changed after it was given out")
	}
	h.sink.set(func(s *spySink) { s.err = nil })
	if _, err := h.OpenManual(time.Minute); err != nil {
		t.Fatal(err)
	}
	n := h.Status().Skipped.Windows
	if _, err := h.OpenManual(time.Minute); !errors.Is(err, ErrWindowOpen) {
		t.Fatal(err)
	}
	if got := h.Status().Skipped.Windows; got != n {
		t.Error("a window that is open is listed as skipped")
	}
}

// A scheduled window that FORCE_OFF cancels while it opens is skipped; one that its own
// layer switched off was not wanted.
func TestACanceledWindowIsSkippedByForceOffAlone(t *testing.T) {
	for name, test := range map[string]struct {
		layer model.Layer
		sw    string
		want  int
	}{"forced": {model.LayerGlobal, "FORCE_OFF", 1}, "off": {model.LayerApp, "OFF", 0}} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			opening := make(chan struct{})
			h.sink.set(func(s *spySink) { s.opening = opening })
			h.mustSet(model.LayerApp, config("ON", 30, 10))
			h.clock.Advance(30 * time.Second)
			h.expect("open schedule w1 for 10s")
			h.mustSet(test.layer, config(test.sw, 30, 10))
			close(opening)
			h.expect("discard w1")
			h.sync()
			if list := h.Status().Skipped.List; len(list) != test.want || test.want > 0 && list[0].Reason != record.SkipForceOff {
				t.Errorf("skipped %+v", list)
			}
		})
	}
}
