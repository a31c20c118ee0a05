package strategy

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// switches are all combinations of the layers and what they come to. App has an
// interval of 40 s and windows of 4 s, global 50 s and 5 s.
var switches = []struct {
	app, global string
	on, forced  bool
	interval    int // seconds, while on
}{
	{app: "ON", global: "ON", on: true, interval: 40},
	{app: "ON", global: "OFF", on: true, interval: 40},
	{app: "ON", global: "FORCE_OFF", forced: true},
	{app: "OFF", global: "ON", on: true, interval: 50},
	{app: "OFF", global: "OFF"},
	{app: "OFF", global: "FORCE_OFF", forced: true},
}

func (h *harness) setLayers(app, global string) {
	h.t.Helper()
	h.mustSet(model.LayerGlobal, config(global, 50, 5))
	h.mustSet(model.LayerApp, config(app, 40, 4))
}

func TestSwitch(t *testing.T) {
	for _, tt := range switches {
		t.Run("app "+tt.app+" global "+tt.global, func(t *testing.T) {
			h := newHarness(t)
			h.setLayers(tt.app, tt.global)
			want := "OFF"
			if tt.on {
				want = "ON"
			}
			if got := h.Status().Switch.Effective; got != want {
				t.Fatalf("effective switch is %s, want %s", got, want)
			}

			id := 0
			if tt.on {
				id++
				length := tt.interval / 10
				h.pass(time.Duration(tt.interval)*time.Second - 1)
				h.quiet()
				h.pass(1)
				h.expect(fmt.Sprintf("open schedule w%d for %ds", id, length))
				if w := h.Open(); w == nil || w.ID != "w1" {
					t.Fatalf("gate shows %v", w)
				}
				h.pass(time.Duration(length)*time.Second - 1)
				h.quiet()
				h.pass(1)
				h.expect("close w1")
			} else {
				h.pass(2 * time.Hour)
				h.quiet()
			}
			if h.Open() != nil {
				t.Fatal("gate is open")
			}

			w, err := h.OpenManual(time.Minute)
			if tt.forced {
				if !errors.Is(err, ErrForceOff) {
					t.Fatalf("manual window: got %v, want %v", err, ErrForceOff)
				}
				h.quiet()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			h.expect(fmt.Sprintf("open manual %s for 1m0s", w.ID))
			h.pass(time.Minute)
			h.expect("close " + w.ID)
		})
	}
}

// TestSwitchingOffClosesTheWindow changes one layer at a time, in all ways.
func TestSwitchingOffClosesTheWindow(t *testing.T) {
	for _, from := range switches {
		for _, to := range switches {
			if from.app != to.app && from.global != to.global {
				continue
			}
			for _, trigger := range []record.Trigger{record.TriggerSchedule, record.TriggerManual} {
				if from.forced || trigger == record.TriggerSchedule && !from.on {
					continue
				}
				t.Run(fmt.Sprintf("%s in %s,%s to %s,%s", trigger, from.app, from.global, to.app, to.global), func(t *testing.T) {
					h := newHarness(t)
					h.setLayers(from.app, from.global)
					if trigger == record.TriggerManual {
						if _, err := h.OpenManual(time.Second); err != nil {
							t.Fatal(err)
						}
						h.expect("open manual w1 for 1s")
					} else {
						h.pass(time.Duration(from.interval) * time.Second)
						h.expect(fmt.Sprintf("open schedule w1 for %ds", from.interval/10))
					}
					h.setLayers(to.app, to.global)
					if to.forced || from.on && !to.on {
						if h.Open() != nil {
							t.Error("gate is open after Set")
						}
						h.expect("close w1")
					} else if h.Open() == nil {
						t.Error("gate is closed after Set")
					}
					h.quiet()
				})
			}
		}
	}
}

func TestSetRefusesBadConfigurations(t *testing.T) {
	h := newHarness(t)
	good := config("ON", 60, 5)
	h.mustSet(model.LayerApp, good)
	err := h.Set(model.LayerApp, model.DumpConfig{Switch: "FORCE_OFF", Interval: 5, Duration: 9, CpuMaxRate: 100}, "file x")
	var field *model.FieldError
	if !errors.As(err, &field) {
		t.Fatalf("got %v, want a field error", err)
	}
	s := h.Status().Switch
	if s.App != good {
		t.Errorf("in force: %+v, want %+v", s.App, good)
	}
	if s.AppChange == nil || s.AppChange.Source != "file x" || s.AppChange.Error != err.Error() || s.AppChange.Time != h.clock.Now() {
		t.Errorf("last change: %+v", s.AppChange)
	}
	if s.GlobalChange != nil {
		t.Errorf("global layer was never changed but has %+v", s.GlobalChange)
	}
	h.mustSet(model.LayerApp, good)
	if c := h.Status().Switch.AppChange; c.Error != "" || c.Source != "test" {
		t.Errorf("last change: %+v", c)
	}
	if err := h.Set("team", good, "test"); err == nil {
		t.Error("a layer that does not exist was set")
	}
}
