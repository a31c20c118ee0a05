package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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
	Value any    // what it was set to
	Valid string // what it may be
}

func (e *FieldError) Error() string {
	if s, ok := e.Value.(string); ok {
		return fmt.Sprintf("%s is %q, valid: %s", e.Field, s, e.Valid)
	}
	return fmt.Sprintf("%s is %v, valid: %s", e.Field, e.Value, e.Valid)
}

// Validate reports every faulty field of c at once, as *FieldError values joined
// by errors.Join; nil means that c may be put into force in layer.
func (c DumpConfig) Validate(layer Layer) error {
	var errs []error
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
	return errors.Join(errs...)
}

// ParseDumpConfig reads one JSON object. Fields that it leaves out have their
// defaults; unknown fields, wrong types, trailing text and values out of range
// are refused with an error that names them. It does not keep text.
func ParseDumpConfig(text []byte, layer Layer) (DumpConfig, error) {
	c := DefaultDumpConfig()
	if err := DecodeStrict(text, &c); err != nil {
		return DumpConfig{}, err
	}
	if err := c.Validate(layer); err != nil {
		return DumpConfig{}, err
	}
	return c, nil
}

// DecodeStrict decodes the one JSON object in text into v, over the values that
// v has. It refuses null, unknown fields and anything after the object, and puts
// the errors of encoding/json into words that name the field.
func DecodeStrict(text []byte, v any) error {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return errors.New("empty, valid: a JSON object")
	}
	if trimmed[0] != '{' {
		return errors.New("not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(trimmed))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return &FieldError{Field: typ.Field, Value: "a JSON " + typ.Value, Valid: "a value of type " + typ.Type.String()}
		}
		return fmt.Errorf("bad JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bad JSON: text after the object")
	}
	return nil
}
