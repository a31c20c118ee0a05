package strategy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

func TestTheFunctionsOfTheFirstImplementation(t *testing.T) {
	if UpdateAppDumpConfig(`{"switch":"ON"}`) || UpdateGlobalDumpConfig(`{"switch":"ON"}`) || IsAvailable() || IsAvaliable() {
		t.Error("a function works without a Controller")
	}
	if err := ApplyAppDumpConfig(`{}`); err == nil {
		t.Error("no error without a default")
	}
	h := newHarness(t)
	SetDefault(h.Controller)
	defer SetDefault(nil)

	if !UpdateAppDumpConfig(`{"switch":"ON","interval":60,"duration":5}`) {
		t.Error("app refused")
	}
	if s := h.Status().Switch; s.App.Interval != 60 || s.Effective != "ON" {
		t.Errorf("status: %+v", s)
	}
	if !IsAvailable() {
		t.Error("not available with the guard off")
	}
	if !UpdateGlobalDumpConfig(`{"switch":"FORCE_OFF"}`) {
		t.Error("global refused")
	}
	if UpdateAppDumpConfig(`{"switch":"FORCE_OFF"}`) {
		t.Error("FORCE_OFF accepted in the app layer")
	}
	err := ApplyGlobalDumpConfig(`{"switch":"ON","colour":1}`)
	if err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("unknown field: %v", err)
	}
	if c := h.Status().Switch.GlobalChange; c == nil || c.Error != err.Error() || c.Source != "go" {
		t.Errorf("refusal in status: %+v", c)
	}
	if s := h.Status().Switch; s.Global.Switch != "FORCE_OFF" || s.App.Interval != 60 {
		t.Errorf("a refused configuration changed something: %+v", s)
	}
	h.pass(time.Hour)
	h.quiet()
}

// The first implementation's function reads CPU and memory when it is called, whatever
// the switch says.
func TestIsAvaliableDoesNotDependOnTheSwitch(t *testing.T) {
	h := newHarness(t)
	SetDefault(h.Controller)
	defer SetDefault(nil)
	if !IsAvaliable() {
		t.Error("not available with the guard off")
	}
	h.SetGuard(true)
	for _, tt := range []struct {
		name string
		do   func()
		want bool
	}{
		{"idle", func() { h.answer(10, nil) }, true},
		{"second reading", func() { h.read(0, 0, ErrNoReading); h.answer(10, nil) }, true},
		{"busy", func() { h.answer(99, nil) }, false},
		{"idle again", func() { h.answer(10, nil) }, true}, // a later series does not know the one before
		{"no reading", func() { h.answer(0, errors.New("no /proc")) }, false},
		{"late", func() { h.awaitRead(); h.clock.Advance(manualTimeout) }, false},
	} {
		for _, sw := range []string{"OFF", "FORCE_OFF"} {
			h.mustSet(model.LayerGlobal, config(sw, 30, 10))
			got := make(chan bool, 1)
			go func() { got <- IsAvaliable() }() // ends with the answer
			tt.do()
			if available := <-got; available != tt.want {
				t.Errorf("%s with %s: %t", tt.name, sw, available)
			}
			h.sync()
			h.guard.wait() // the reading under way was called off
			h.reading = false
		}
	}
	if s := h.Status(); s.Skipped.Windows != 0 || s.Window != nil {
		t.Errorf("asking has consequences: %+v", s)
	}
	h.mustSet(model.LayerGlobal, config("OFF", 30, 10))
	h.mustSet(model.LayerApp, config("ON", 30, 10))
	h.calm(2)
	if !IsAvaliable() {
		t.Error("not available while readings are made")
	}
	h.Close()
	if IsAvaliable() {
		t.Error("available after the end")
	}
}
