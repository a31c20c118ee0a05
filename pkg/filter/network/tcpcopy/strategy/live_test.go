package strategy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// spyLive reports its calls as events of the sink.
type spyLive struct {
	sink   *spySink
	id     string
	opened time.Time
}

func (l *spyLive) Opened() time.Time      { return l.opened }
func (l *spyLive) Pause(r record.Reason)  { l.sink.report("pause %s %v", l.id, r) }
func (l *spyLive) Resume(r record.Reason) { l.sink.report("resume %s %v", l.id, r) }
func (l *spyLive) End()                   { l.sink.report("end %s", l.id) }

// live opens a live-only window. before is called when it is being opened; it may be nil.
func (h *harness) live(unguarded bool, before func()) (record.Window, error) {
	return h.OpenLive(unguarded, func(w record.Window) (LiveSink, error) {
		if before != nil {
			before()
		}
		h.sink.report("live %s %s", w.Trigger, w.ID)
		return &spyLive{h.sink, w.ID, w.Opened.Add(time.Second)}, nil
	})
}

// A live-only window goes on beside others until its reader has left.
func TestALiveOnlyWindowGoesOnBesideOthers(t *testing.T) {
	h := newHarness(t)
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	w, err := h.live(false, nil)
	if err != nil || w.ID != "w1" || !w.Opened.Equal(h.clock.Now().Add(time.Second)) {
		t.Fatalf("%+v, %v", w, err)
	}
	h.pass(30 * time.Second)
	h.pass(10 * time.Second)
	h.expect("live live w1", "open schedule w2 for 10s", "close w2")
	if s := h.Status(); s.Window != nil || len(s.Lives) != 1 || s.Lives[0].ID != "w1" || s.Lives[0].Trigger != "live" || s.Next == nil {
		t.Errorf("status %+v", s)
	}
	h.mustSet(model.LayerApp, config("OFF", 30, 10))
	h.quiet() // the switch is about scheduled windows
	h.EndLive("w9")
	h.EndLive("w1")
	h.expect("end w1")
	h.EndLive("w1")
	h.quiet()
	if s := h.Status(); len(s.Lives) > 0 {
		t.Errorf("status %+v", s.Lives)
	}
}

// FORCE_OFF ends it, whenever it comes, and so does the end of the Controller.
func TestForceOffEndsLiveOnlyWindows(t *testing.T) {
	h := newHarness(t)
	if _, err := h.live(true, nil); err != nil {
		t.Fatal(err)
	}
	h.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10))
	h.expect("live live w1", "end w1")
	if _, err := h.live(true, nil); !errors.Is(err, ErrForceOff) {
		t.Errorf("under FORCE_OFF: %v", err)
	}
	h.mustSet(model.LayerGlobal, config("OFF", 30, 10))
	if _, err := h.live(true, func() { h.mustSet(model.LayerGlobal, config("FORCE_OFF", 30, 10)) }); !errors.Is(err, ErrForceOff) {
		t.Errorf("while it is opened: %v", err)
	}
	h.expect("live live w2", "end w2")
	h.mustSet(model.LayerGlobal, config("OFF", 30, 10))
	if _, err := h.live(true, nil); err != nil {
		t.Fatal(err)
	}
	h.expect("live live w3")
	if s := h.Status().Skipped; s.Windows != 2 || s.List[0].Trigger != "live" || s.List[0].Reason != record.SkipForceOff {
		t.Errorf("skipped %+v", s)
	}
	h.Close()
	h.expect("end w3")
	if _, err := h.live(true, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// The guard refuses, pauses and resumes one, unless it is unguarded; the readings go with it.
func TestTheGuardPausesLiveOnlyWindows(t *testing.T) {
	h := newHarness(t)
	h.SetGuard(true)
	result := make(chan error, 1)
	go func() {
		_, err := h.live(false, nil)
		result <- err
	}()
	h.answer(10, nil)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	h.expect("live live w1")
	if _, err := h.live(true, nil); err != nil {
		t.Fatal(err)
	}
	h.expect("live live w2")
	h.clock.Advance(readEvery)
	h.read(99, 20, nil)
	h.expect("pause w1 guard")
	if s := h.Status().Lives; !s[0].Paused || s[1].Paused || s[1].Guard != "off" {
		t.Errorf("status %+v", s)
	}
	if _, err := h.live(false, nil); !errors.Is(err, ErrGuardDown) || !strings.Contains(err.Error(), "cpu 99") {
		t.Errorf("with the guard down: %v", err)
	}
	h.calm(clearReadings)
	h.expect("resume w1 guard")
	h.EndLive("w1")
	h.EndLive("w2")
	h.expect("end w1", "end w2")
	h.guard.wait()
	h.pass(time.Hour)
	h.reading = false
	select {
	case <-h.meter.begun:
		t.Error("read without a window")
	default:
	}
}

// One that cannot be opened is skipped, and leaves nothing; a panic is no different.
func TestALiveOnlyWindowThatCannotBeOpened(t *testing.T) {
	h := newHarness(t)
	_, err := h.OpenLive(false, func(record.Window) (LiveSink, error) {
		return nil, &record.SkipError{Reason: record.SkipMemory, Err: errors.New("no room")}
	})
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Error(err)
	}
	_, err = h.OpenLive(false, func(record.Window) (LiveSink, error) { panic("out of order") })
	if err == nil {
		t.Error("a panic is no error")
	}
	s := h.Status()
	if len(s.Lives) > 0 || s.Skipped.Windows != 2 || s.Skipped.List[0].Reason != record.SkipMemory {
		t.Errorf("status %+v", s)
	}
}
