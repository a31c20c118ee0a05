package model_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

func TestParseDumpConfig(t *testing.T) {
	def := model.DefaultDumpConfig()
	with := func(change func(*model.DumpConfig)) model.DumpConfig {
		c := def
		change(&c)
		return c
	}
	for _, c := range []struct {
		name, text string
		layer      model.Layer
		want       model.DumpConfig
		faults     []string // each stands in the error; none means that it is valid
	}{
		{"empty object", `{}`, model.LayerApp, def, nil},
		{"layotto's", ` {"switch":"ON","interval":30,"duration":10,"cpu_max_rate":80,"mem_max_rate":80}`, model.LayerApp,
			model.DumpConfig{Switch: "ON", Interval: 30, Duration: 10, CpuMaxRate: 80, MemMaxRate: 80}, nil},
		{"longest", `{"interval":3600,"duration":3599}`, model.LayerApp, with(func(c *model.DumpConfig) { c.Interval, c.Duration = 3600, 3599 }), nil},
		{"force off", `{"switch":"FORCE_OFF"}`, model.LayerGlobal, with(func(c *model.DumpConfig) { c.Switch = model.SwitchForceOff }), nil},

		{"force off in app", `{"switch":"FORCE_OFF"}`, model.LayerApp, def, []string{`switch is "FORCE_OFF", valid: ON, OFF (FORCE_OFF in the global layer only)`}},
		{"case", `{"switch":"on"}`, model.LayerGlobal, def, []string{`switch is "on", valid: ON, OFF, FORCE_OFF`}},
		{"interval low", `{"interval":29}`, model.LayerApp, def, []string{"interval is 29, valid: 30 … 3600 seconds"}},
		{"interval high", `{"interval":3601}`, model.LayerApp, def, []string{"interval is 3601, valid: 30 … 3600 seconds"}},
		{"duration 0", `{"duration":0}`, model.LayerApp, def, []string{"duration is 0, valid: more than 0 and less than the interval (30) seconds"}},
		{"duration as interval", `{"duration":30}`, model.LayerApp, def, []string{"duration is 30"}},
		{"rates", `{"cpu_max_rate":0,"mem_max_rate":100}`, model.LayerApp, def, []string{"cpu_max_rate is 0, valid: more than 0", "mem_max_rate is 100, valid: "}},
		{"everything at once", `{"switch":1,"interval":"30","duration":1.5,"cpu_max_rate":null,"mem_max_rate":-1,"up":true}`, model.LayerApp, def, []string{
			`switch is "1", valid: ON, OFF`, `interval is "30", valid: a whole number`, `duration is "1.5", valid: a whole number`,
			`cpu_max_rate is "null"`, `mem_max_rate is -1`, `up is a truth value, valid: no field of that name`,
		}},
		{"null", `null`, model.LayerApp, def, []string{"not a JSON object"}},
		{"list", `[]`, model.LayerApp, def, []string{"not a JSON object"}},
		{"nothing", ` `, model.LayerApp, def, []string{"empty"}},
		{"cut", `{"switch":"ON"`, model.LayerApp, def, []string{"bad JSON"}},
		{"two", `{} {}`, model.LayerApp, def, []string{"text after the object"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := model.ParseDumpConfig([]byte(c.text), c.layer)
			if len(c.faults) == 0 {
				if err != nil || got != c.want {
					t.Fatalf("%+v, %v; want %+v", got, err, c.want)
				}
				return
			}
			if err == nil || got != (model.DumpConfig{}) {
				t.Fatalf("accepted as %+v", got)
			}
			for _, want := range c.faults {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestValidateRefusesNaN(t *testing.T) {
	c := model.DefaultDumpConfig()
	c.CpuMaxRate = math.NaN()
	var field *model.FieldError
	if err := c.Validate(model.LayerApp); !errors.As(err, &field) || field.Field != "cpu_max_rate" {
		t.Errorf("error %v", err)
	}
}

func TestBusinessTypes(t *testing.T) {
	for _, good := range []model.BusinessType{model.RPC, model.CONFIGURATION, model.STATE, "my-own_1"} {
		if err := good.Validate(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []model.BusinessType{"", "a]b", "a[b", "a b", "a\nb", "ä", model.BusinessType(strings.Repeat("x", 65))} {
		if bad.Validate() == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzParseDumpConfig(f *testing.F) {
	f.Add([]byte(`{"switch":"ON","interval":60,"duration":5}`), true)
	f.Add([]byte(`{"switch":"FORCE_OFF"}`), false)
	f.Add([]byte(`{"interval":1e99,"x":{}}`), true)
	f.Fuzz(func(t *testing.T, text []byte, app bool) {
		layer := model.LayerGlobal
		if app {
			layer = model.LayerApp
		}
		c, err := model.ParseDumpConfig(text, layer)
		if err == nil {
			err = c.Validate(layer)
			if err != nil {
				t.Errorf("%q is accepted as %+v: %v", text, c, err)
			}
		} else if err.Error() == "" {
			t.Errorf("%q is refused without a reason", text)
		}
	})
}
