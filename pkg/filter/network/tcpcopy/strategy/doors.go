package strategy

import (
	"errors"
	"fmt"
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// standard is the Controller behind the functions of this file, which code
// written for the first implementation calls; the registration sets it.
var standard atomic.Pointer[Controller]

// errNoDefault is what the functions of this file report before SetDefault.
var errNoDefault = errors.New("the tcpcopy filter is not registered in this process")

// doorSource names the callers of this file's functions in status and log.
const doorSource = "go"

// SetDefault makes c the Controller that the functions of this package act on;
// nil takes it away.
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
		err = fmt.Errorf("dump config of layer %s from %s: %w", layer, doorSource, err)
		c.Refuse(layer, doorSource, err)
		return err
	}
	return c.Set(layer, cfg, doorSource)
}

// IsAvailable reports whether the guard lets record: it is disabled, or CPU and
// memory use were below their limits when last read. They are read only while the
// switch is on or a window is open; otherwise it is false.
func IsAvailable() bool {
	c := standard.Load()
	return c != nil && c.Status().Guard.Available
}
