package strategy

import (
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/record"
)

// Status is what a Controller was doing at one moment.
type Status struct {
	Switch  SwitchStatus      `json:"switch"`
	Window  *WindowStatus     `json:"window"`            // nil when none is open
	Opening *TransitionStatus `json:"opening,omitempty"` // nil when none is being opened
	Closing *TransitionStatus `json:"closing,omitempty"` // nil when none is being closed
	Lives   []WindowStatus    `json:"-"`                 // live-only windows that are open; they have no Closes
	Guard   GuardStatus       `json:"guard"`
	Next    *time.Time        `json:"next,omitempty"` // planned opening; nil when none is planned
	Skipped SkipStatus        `json:"skipped"`

	memMaxRate float64 // see Controller.MemMaxRate
}

// SwitchStatus has both layers and their result.
type SwitchStatus struct {
	Effective    string           `json:"effective"` // ON or OFF
	App          model.DumpConfig `json:"app"`
	Global       model.DumpConfig `json:"global"`
	AppChange    *Change          `json:"app_change,omitempty"`    // nil before the first
	GlobalChange *Change          `json:"global_change,omitempty"` // nil before the first
}

// Change is the last attempt to change a layer.
type Change struct {
	Source string    `json:"source"` // who asked, in words
	Time   time.Time `json:"time"`
	Error  string    `json:"error,omitempty"` // why it was refused; empty when it is in force
}

// WindowStatus is the open window.
type WindowStatus struct {
	ID      string         `json:"id"`
	Trigger record.Trigger `json:"trigger"`
	Opened  time.Time      `json:"opened"`
	Closes  time.Time      `json:"closes"` // by the configuration in force
	Paused  bool           `json:"paused"` // the guard is down
	// Guard is "off" where whoever asked for the window wants it whatever the guard
	// says; empty otherwise.
	Guard string `json:"guard,omitempty"`
}

// TransitionStatus is a window that is being opened or closed: its files are being
// prepared, or its last records and its index line are being written.
type TransitionStatus struct {
	ID      string         `json:"id"`
	Trigger record.Trigger `json:"trigger"`
	Since   time.Time      `json:"since"`
}

// GuardStatus is the guard's last reading and its verdict.
type GuardStatus struct {
	Enabled   bool    `json:"enabled"`
	Available bool    `json:"available"`     // the guard is up, or not enabled
	CPU       float64 `json:"cpu"`           // percent, 0 before a reading
	Mem       float64 `json:"mem"`           // percent, 0 before a reading
	Source    string  `json:"source"`        // which readings and limits decided, in words
	Err       string  `json:"err,omitempty"` // why the last reading failed
	Downs     uint64  `json:"downs"`         // how often it has gone down
}

// SkipStatus has the windows that did not open although they were due, or somebody
// asked for them.
type SkipStatus struct {
	Windows uint64        `json:"windows"`
	Reason  string        `json:"reason,omitempty"` // of the last one, in words
	List    []record.Skip `json:"list"`             // the last ones, at most maxSkips, the oldest first
}
