package strategy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// FlightConfig is the flight recorder's block: the ring, and when what it has is written.
// A nil FlightConfig, and one with a Size of 0, mean that there is no ring.
type FlightConfig struct {
	Size int64 // bytes of the ring, for all workers together

	// Before is how far a capture reaches back, at most, and After how long it continues
	// after the last trigger that belongs to it. Scope is whose traffic is in it.
	Before, After time.Duration
	Scope         ScopeKind

	CPUMaxRate, MemMaxRate float64 // percent, of the guard for the ring

	Budget   Budget // of captures that triggers cause
	Decoders int64  // bytes of all decoders together
	Crash    bool   // the ring of a killed process is written
	Triggers []FlightTrigger
}

// FlightTrigger says on what a capture is made: one of Where, Bytes and Close.
type FlightTrigger struct {
	Name      string
	Where     string   // a query over calls
	Bytes     []string // patterns, with Go escapes
	Direction string   // of Bytes: DirectionIn, DirectionOut, or both where it is empty
	Close     []string // reasons of ends of connections

	// The trigger's own, or the block's.
	Before, After time.Duration
	Scope         ScopeKind
}

// Values of FlightTrigger.Direction.
const (
	DirectionIn  = "in"
	DirectionOut = "out"
)

// ScopeKind says of whom a capture is.
type ScopeKind string

// The kinds of scopes.
const (
	ScopeConnection ScopeKind = "connection" // the connection of the trigger
	ScopeListener   ScopeKind = "listener"   // all connections of its listener
	ScopeProcess    ScopeKind = "process"    // all connections
)

// ScopeKinds returns all kinds, the narrowest first.
func ScopeKinds() []ScopeKind { return []ScopeKind{ScopeConnection, ScopeListener, ScopeProcess} }

// Scope is whose traffic a capture has. Only the field of its kind is set; a listener may also
// be given by one of its connections.
type Scope struct {
	Kind     ScopeKind
	Listener string // name of the listener
	Conn     string // <run>-<id>
}

// String returns the scope for people.
func (s Scope) String() string { return strings.TrimSpace(string(s.Kind) + " " + s.Listener + s.Conn) }

// Budget is how many captures may begin within a time.
type Budget struct {
	Captures int
	Per      time.Duration
}

// String returns the budget as the configuration has it, such as "20/1h".
func (b Budget) String() string {
	per := b.Per.String()
	if strings.HasSuffix(per, "m0s") {
		per = strings.TrimSuffix(per, "0s")
	}
	if strings.HasSuffix(per, "h0m") {
		per = strings.TrimSuffix(per, "0m")
	}
	return fmt.Sprintf("%d/%s", b.Captures, per)
}

// Limits and defaults of FlightConfig.
const (
	MinRing       = 1 << 20 // bytes
	MaxRing       = 64 << 30
	MaxTriggers   = 64
	MaxFlightTime = time.Hour // of Before and After

	MaxBudget    = 10_000
	MinBudgetPer = time.Second
	MaxBudgetPer = 24 * time.Hour

	MinDecoders = 1 << 20 // bytes
)

// DefaultFlightConfig is what a block that has only a size means, but for the size.
func DefaultFlightConfig() FlightConfig {
	return FlightConfig{
		Before: 30 * time.Second, After: 5 * time.Second, Scope: ScopeConnection,
		CPUMaxRate: 95, MemMaxRate: 90,
		Budget:   Budget{Captures: 20, Per: time.Hour},
		Decoders: 64 << 20, Crash: true,
	}
}

// IsOn reports whether c asks for a ring.
func (c *FlightConfig) IsOn() bool { return c != nil && c.Size > 0 }

// Equal reports whether c and o ask for the same.
func (c *FlightConfig) Equal(o *FlightConfig) bool {
	if !c.IsOn() || !o.IsOn() {
		return c.IsOn() == o.IsOn()
	}
	return reflect.DeepEqual(c, o)
}

// KeepsRing reports whether a ring of c goes on, with its content, when o replaces c.
func (c *FlightConfig) KeepsRing(o *FlightConfig) bool {
	return c.IsOn() && o.IsOn() && c.Size == o.Size && c.Crash == o.Crash // a spool says whether it is written
}

// clone returns a copy that shares no memory with c; nil for nil.
func (c *FlightConfig) clone() *FlightConfig {
	if c == nil {
		return nil
	}
	o := *c
	o.Triggers = slices.Clone(c.Triggers)
	for i := range o.Triggers {
		t := &o.Triggers[i]
		t.Bytes, t.Close = slices.Clone(t.Bytes), slices.Clone(t.Close)
	}
	return &o
}

// trigger returns the trigger of that name, nil if there is none.
func (c *FlightConfig) trigger(name string) *FlightTrigger {
	for i := range c.Triggers {
		if c.Triggers[i].Name == name {
			return &c.Triggers[i]
		}
	}
	return nil
}
