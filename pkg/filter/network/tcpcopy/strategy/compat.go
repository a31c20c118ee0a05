package strategy

import (
	"errors"
	"fmt"
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// standard is the Controller that the functions of this file act on. Code written for
// the first implementation calls them. The registration sets it.
var standard atomic.Pointer[Controller]

// errNoDefault is the error of the functions of this file before SetDefault.
var errNoDefault = errors.New("the tcpcopy filter is not registered in this process")

// compatSource names the callers of this file's functions in status and log.
const compatSource = "go"

// SetDefault makes c the Controller that the functions of this package act on;
// nil means none.
func SetDefault(c *Controller) { standard.Store(c) }

// UpdateAppDumpConfig is ApplyAppDumpConfig for callers that do not want the
// reason: it reports whether the configuration is in force.
func UpdateAppDumpConfig(json string) bool { return ApplyAppDumpConfig(json) == nil }

// UpdateGlobalDumpConfig is UpdateAppDumpConfig for the global layer.
func UpdateGlobalDumpConfig(json string) bool { return ApplyGlobalDumpConfig(json) == nil }

// ApplyAppDumpConfig puts a DumpConfig, written in JSON, into force in the app
// layer. An invalid one is refused whole, with an error that names every fault.
func ApplyAppDumpConfig(json string) error { return apply(model.LayerApp, json) }

// ApplyGlobalDumpConfig is ApplyAppDumpConfig for the global layer.
func ApplyGlobalDumpConfig(json string) error { return apply(model.LayerGlobal, json) }

func apply(layer model.Layer, json string) error {
	c := standard.Load()
	if c == nil {
		return fmt.Errorf("update dump config of layer %s: %w", layer, errNoDefault)
	}
	cfg, err := model.ParseDumpConfig([]byte(json), layer)
	if err != nil {
		err = fmt.Errorf("dump config of layer %s from %s: %w", layer, compatSource, err)
		c.Refuse(layer, compatSource, err)
		return err
	}
	return c.Set(layer, cfg, compatSource)
}

// IsAvaliable reports whether CPU and memory use are below their limits. It is the
// first implementation's function, spelled as there: it does not depend on the switch.
// While the switch is off and no window is open nothing is read otherwise, so it waits
// for a reading, up to a second. While readings are made it returns the last verdict.
func IsAvaliable() bool {
	c := standard.Load()
	return c != nil && c.Measure()
}

// IsAvailable reports whether the guard is up: it is disabled, or CPU and memory use
// were below their limits at the last reading. They are read only while the switch is
// on or a window is open; otherwise IsAvailable returns false. It never waits.
func IsAvailable() bool {
	c := standard.Load()
	return c != nil && c.Status().Guard.Available
}
