package strategy

import "mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"

// effective is the result of both layers.
type effective struct {
	on     bool
	forced bool // off by FORCE_OFF, so that manual windows are refused too
	// config has the schedule and the limits in force. While the switch is off they
	// are app's: a manual window is this application's own.
	config model.DumpConfig
}

// resolveLayers returns what the layers come to: FORCE_OFF beats everything, app's ON
// beats global's OFF, and global's ON beats app's OFF.
func resolveLayers(app, global model.DumpConfig) effective {
	switch {
	case global.Switch == model.SwitchForceOff:
		return effective{forced: true, config: app}
	case app.Switch == model.SwitchOn:
		return effective{on: true, config: app}
	case global.Switch == model.SwitchOn:
		return effective{on: true, config: global}
	default:
		return effective{config: app}
	}
}

// String returns the effective switch: ON or OFF.
func (e effective) String() string {
	if e.on {
		return model.SwitchOn
	}
	return model.SwitchOff
}
