package strategy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// A panic in the loop is reported, and the loop goes on: at once with what it is
// asked for, and after a rest with what is due.
func TestTheLoopOutlivesAPanic(t *testing.T) {
	var reported []string
	clock, sink := newManualClock(), &spySink{events: make(chan string, 10)}
	ids := 0
	c := New(Options{
		Sink: sink, Clock: clock, Meter: &spyMeter{},
		NewID: func() string {
			if ids++; ids == 1 {
				panic("no ID")
			}
			return "w2"
		},
		Panicked: func(where string, _ any, _ []byte) { reported = append(reported, where) },
	})
	defer c.Close()
	sink.gate = c.Open // no window is open yet
	c.SetGuard(false)
	if err := c.Set(model.LayerApp, config("ON", 30, 10), "test"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(30 * time.Second) // due, and panics
	for n := 0; n == 0; {
		if err := c.do(func() { n = len(reported) }); err != nil {
			t.Fatal(err)
		}
	}
	if c.Status().Switch.Effective != "ON" {
		t.Errorf("status %+v", c.Status())
	}
	if err := c.do(func() { panic("a command") }); err != nil {
		t.Errorf("a command that panics: %v", err)
	}
	if err := c.do(func() {
		if len(reported) != 2 {
			t.Errorf("reported %q", reported)
		}
	}); err != nil {
		t.Error(err)
	}
	clock.Advance(30 * time.Second)
	select {
	case got := <-sink.events:
		if got != "open schedule w2 for 10s" {
			t.Errorf("got %q", got)
		}
	case <-time.After(timeout):
		t.Error("no window opens any more")
	}
}

// A meter that panics is one that fails.
func TestAMeterThatPanicsIsOneThatFails(t *testing.T) {
	c := New(Options{Sink: noSink{}, Clock: newManualClock(), Meter: panickingMeter{}})
	defer c.Close()
	if _, err := c.OpenManual(time.Second); !errors.Is(err, ErrGuardDown) || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("got %v", err)
	}
}

type panickingMeter struct{}

func (panickingMeter) Read(context.Context) (Reading, error) { panic("out of order") }
