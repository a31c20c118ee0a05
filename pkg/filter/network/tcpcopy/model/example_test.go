package model_test

import (
	"fmt"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Fields that are left out have their defaults; an error names every faulty field.
func ExampleParseDumpConfig() {
	config, err := model.ParseDumpConfig([]byte(`{"switch": "ON", "interval": 60, "duration": 5}`), model.LayerApp)
	fmt.Printf("%+v %v\n", config, err)
	_, err = model.ParseDumpConfig([]byte(`{"switch": "FORCE_OFF", "interval": 5}`), model.LayerApp)
	fmt.Println(err)
	// Output:
	// {Switch:ON Interval:60 Duration:5 CpuMaxRate:80 MemMaxRate:70} <nil>
	// switch is "FORCE_OFF", valid: ON, OFF (FORCE_OFF in the global layer only)
	// interval is 5, valid: 30 … 3600 seconds
}
