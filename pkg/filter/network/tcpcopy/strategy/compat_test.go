package strategy

import (
	"strings"
	"testing"
	"time"
)

func TestTheFunctionsOfTheFirstImplementation(t *testing.T) {
	if UpdateAppDumpConfig(`{"switch":"ON"}`) || UpdateGlobalDumpConfig(`{"switch":"ON"}`) || IsAvailable() {
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
