package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"mosn.io/tcpcopy/internal/mask"
)

// The positions of a switch. SwitchForceOff is for the global layer alone.
const (
	SwitchOn       = "ON"
	SwitchOff      = "OFF"
	SwitchForceOff = "FORCE_OFF"
)

// Layer says whose wish a DumpConfig is.
type Layer string

// The layers: this application's own, and the platform's above it.
const (
	LayerApp    Layer = "app"
	LayerGlobal Layer = "global"
)

// Limits of DumpConfig's fields, in the fields' units.
const (
	MinInterval = 30   // seconds
	MaxInterval = 3600 // seconds
)

// DumpConfig says when to record: one layer's switch, its schedule and the load
// above which it wants nothing recorded.
type DumpConfig struct {
	Switch     string  `json:"switch"`
	Interval   int     `json:"interval"`     // seconds of pause before each scheduled window
	Duration   int     `json:"duration"`     // seconds that a scheduled window stays open
	CpuMaxRate float64 `json:"cpu_max_rate"` // percent; at or above it nothing is recorded
	MemMaxRate float64 `json:"mem_max_rate"` // percent; at or above it nothing is recorded
}

// DefaultDumpConfig is what holds in a layer before it is configured, and what
// fields that a configuration leaves out have.
func DefaultDumpConfig() DumpConfig {
	return DumpConfig{Switch: SwitchOff, Interval: MinInterval, Duration: 1, CpuMaxRate: 80, MemMaxRate: 70}
}

// FieldError is one faulty field of a configuration.
type FieldError struct {
	Field string // path of the field, such as "strategy.interval"
	Value any    // what it was set to; a mask.Kind where that must not be shown
	Valid string // what it may be
}

// Error shows the value only if neither its name nor its shape is a secret's.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s is %s, valid: %s", e.Field, mask.Value(e.Field, e.Value), e.Valid)
}

// Validate reports every faulty field of c at once, as *FieldError values joined
// by errors.Join; nil means that c may be put into force in layer.
func (c DumpConfig) Validate(layer Layer) error {
	var errs []error
	for _, err := range c.faults(layer) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c DumpConfig) faults(layer Layer) (errs []*FieldError) {
	bad := func(field string, value any, valid string) {
		errs = append(errs, &FieldError{Field: field, Value: value, Valid: valid})
	}
	switch {
	case c.Switch == SwitchOn, c.Switch == SwitchOff:
	case layer == LayerGlobal && c.Switch == SwitchForceOff:
	case layer == LayerGlobal:
		bad("switch", c.Switch, "ON, OFF, FORCE_OFF")
	default:
		bad("switch", c.Switch, "ON, OFF (FORCE_OFF in the global layer only)")
	}
	if c.Interval < MinInterval || c.Interval > MaxInterval {
		bad("interval", c.Interval, fmt.Sprintf("%d … %d seconds", MinInterval, MaxInterval))
	}
	if c.Duration <= 0 || c.Duration >= c.Interval {
		bad("duration", c.Duration, fmt.Sprintf("more than 0 and less than the interval (%d) seconds", c.Interval))
	}
	rate := func(field string, v float64) {
		if !(v > 0 && v < 100) || math.IsNaN(v) {
			bad(field, v, "more than 0 and less than 100 percent")
		}
	}
	rate("cpu_max_rate", c.CpuMaxRate)
	rate("mem_max_rate", c.MemMaxRate)
	return errs
}

// ParseDumpConfig reads one JSON object. Fields that it leaves out have their
// defaults. Unknown fields, wrong types and values out of range are refused with
// an error that names each of them. It does not keep text.
func ParseDumpConfig(text []byte, layer Layer) (DumpConfig, error) {
	fields, err := parseObject(text)
	if err != nil {
		return DumpConfig{}, err
	}
	c := DefaultDumpConfig()
	var errs []error
	refused := map[string]bool{} // fields that have their error already
	read := func(name string, value any, valid string) {
		raw, ok := fields[name]
		delete(fields, name)
		if ok && (string(raw) == "null" || json.Unmarshal(raw, value) != nil) {
			refused[name] = true
			errs = append(errs, &FieldError{Field: name, Value: mask.Scalar(raw), Valid: valid})
		}
	}
	read("switch", &c.Switch, "ON, OFF, in the global layer also FORCE_OFF")
	read("interval", &c.Interval, fmt.Sprintf("a whole number, %d … %d seconds", MinInterval, MaxInterval))
	read("duration", &c.Duration, "a whole number of seconds, more than 0 and less than the interval")
	read("cpu_max_rate", &c.CpuMaxRate, "a number, more than 0 and less than 100 percent")
	read("mem_max_rate", &c.MemMaxRate, "a number, more than 0 and less than 100 percent")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		errs = append(errs, &FieldError{Field: mask.Name(name), Value: mask.KindOf(fields[name]), Valid: "no field of that name; there are switch, interval, duration, cpu_max_rate, mem_max_rate"})
	}
	for _, err := range c.faults(layer) {
		if !refused[err.Field] {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return DumpConfig{}, err
	}
	return c, nil
}

// parseObject returns the fields of the one JSON object in text.
func parseObject(text []byte) (map[string]json.RawMessage, error) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return nil, errors.New("empty, valid: a JSON object")
	}
	if trimmed[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(trimmed))
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("bad JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("bad JSON: text after the object")
	}
	return fields, nil
}
