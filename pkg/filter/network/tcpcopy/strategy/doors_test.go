package strategy

import (
	"strings"
	"testing"
	"time"
)

func TestDoors(t *testing.T) {
	if UpdateAppDumpConfig(`{"switch":"ON"}`) || UpdateGlobalDumpConfig(`{"switch":"ON"}`) || IsAvailable() {
		t.Error("the doors open onto nothing")
	}
	if err := ApplyAppDumpConfig(`{}`); err == nil {
		t.Error("no error without a default")
	}
	r := newRig(t)
	SetDefault(r.Controller)
	defer SetDefault(nil)

	if !UpdateAppDumpConfig(`{"switch":"ON","interval":60,"duration":5}`) {
		t.Error("app refused")
	}
	if s := r.Status().Switch; s.App.Interval != 60 || s.Effective != "ON" {
		t.Errorf("status: %+v", s)
	}
	if !IsAvailable() {
		t.Error("not available with the guard off")
	}
	if !UpdateGlobalDumpConfig(`{"switch":"FORCE_OFF"}`) {
		t.Error("global refused")
	}
	if UpdateAppDumpConfig(`{"switch":"FORCE_OFF"}`) {
		t.Error("FORCE_OFF taken in the app layer")
	}
	err := ApplyGlobalDumpConfig(`{"switch":"ON","colour":1}`)
	if err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("unknown field: %v", err)
	}
	if c := r.Status().Switch.GlobalChange; c == nil || c.Error != err.Error() || c.Source != "go" {
		t.Errorf("refusal in status: %+v", c)
	}
	if s := r.Status().Switch; s.Global.Switch != "FORCE_OFF" || s.App.Interval != 60 {
		t.Errorf("a refused configuration changed something: %+v", s)
	}
	r.pass(time.Hour)
	r.quiet()
}
