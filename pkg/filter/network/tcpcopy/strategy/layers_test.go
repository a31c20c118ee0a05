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

func (r *rig) setLayers(app, global string) {
	r.t.Helper()
	r.mustSet(model.LayerGlobal, config(global, 50, 5))
	r.mustSet(model.LayerApp, config(app, 40, 4))
}

func TestSwitch(t *testing.T) {
	for _, tt := range switches {
		t.Run("app "+tt.app+" global "+tt.global, func(t *testing.T) {
			r := newRig(t)
			r.setLayers(tt.app, tt.global)
			want := "OFF"
			if tt.on {
				want = "ON"
			}
			if got := r.Status().Switch.Effective; got != want {
				t.Fatalf("effective switch is %s, want %s", got, want)
			}

			id := 0
			if tt.on {
				id++
				length := tt.interval / 10
				r.pass(time.Duration(tt.interval)*time.Second - 1)
				r.quiet()
				r.pass(1)
				r.expect(fmt.Sprintf("open schedule w%d for %ds", id, length))
				if w := r.Open(); w == nil || w.ID != "w1" {
					t.Fatalf("gate shows %v", w)
				}
				r.pass(time.Duration(length)*time.Second - 1)
				r.quiet()
				r.pass(1)
				r.expect("close w1")
			} else {
				r.pass(2 * time.Hour)
				r.quiet()
			}
			if r.Open() != nil {
				t.Fatal("gate is open")
			}

			w, err := r.OpenManual(time.Minute)
			if tt.forced {
				if !errors.Is(err, ErrForceOff) {
					t.Fatalf("manual window: got %v, want %v", err, ErrForceOff)
				}
				r.quiet()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r.expect(fmt.Sprintf("open manual %s for 1m0s", w.ID))
			r.pass(time.Minute)
			r.expect("close " + w.ID)
		})
	}
}

// TestSwitchChangeInWindow changes one layer at a time, in all ways.
func TestSwitchChangeInWindow(t *testing.T) {
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
					r := newRig(t)
					r.setLayers(from.app, from.global)
					if trigger == record.TriggerManual {
						if _, err := r.OpenManual(time.Second); err != nil {
							t.Fatal(err)
						}
						r.expect("open manual w1 for 1s")
					} else {
						r.pass(time.Duration(from.interval) * time.Second)
						r.expect(fmt.Sprintf("open schedule w1 for %ds", from.interval/10))
					}
					r.setLayers(to.app, to.global)
					if to.forced || from.on && !to.on {
						if r.Open() != nil {
							t.Error("gate is open after Set")
						}
						r.expect("close w1")
					} else if r.Open() == nil {
						t.Error("gate is closed after Set")
					}
					r.quiet()
				})
			}
		}
	}
}

func TestSetRefused(t *testing.T) {
	r := newRig(t)
	good := config("ON", 60, 5)
	r.mustSet(model.LayerApp, good)
	err := r.Set(model.LayerApp, model.DumpConfig{Switch: "FORCE_OFF", Interval: 5, Duration: 9, CpuMaxRate: 100}, "file x")
	var field *model.FieldError
	if !errors.As(err, &field) {
		t.Fatalf("got %v, want a field error", err)
	}
	s := r.Status().Switch
	if s.App != good {
		t.Errorf("in force: %+v, want %+v", s.App, good)
	}
	if s.AppChange == nil || s.AppChange.Source != "file x" || s.AppChange.Error != err.Error() || s.AppChange.Time != r.clock.Now() {
		t.Errorf("last change: %+v", s.AppChange)
	}
	if s.GlobalChange != nil {
		t.Errorf("global layer was never changed but has %+v", s.GlobalChange)
	}
	r.mustSet(model.LayerApp, good)
	if c := r.Status().Switch.AppChange; c.Error != "" || c.Source != "test" {
		t.Errorf("last change: %+v", c)
	}
	if err := r.Set("team", good, "test"); err == nil {
		t.Error("a layer that does not exist was set")
	}
}
