package strategy

import (
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// FlightStatus is what a Flight was doing at one moment.
type FlightStatus struct {
	Config *FlightConfig // in force; nil before the first. It does not change
	On     bool          // the ring is open
	Paused bool          // the guard pauses it
	Reason string        // why there is no ring, or why it is paused; empty otherwise
	Guard  GuardStatus

	Captures   uint64 // that have been opened
	Suppressed uint64 // events and captures that nothing was written for
	Running    []CaptureStatus
	Triggers   []TriggerStatus // of the configuration in force, in its order
}

// CaptureStatus is a capture that is not finished.
type CaptureStatus struct {
	ID      string
	Cause   *record.Cause // never changes
	Scope   Scope
	Opened  time.Time // when it begins; what is asked for while Opening
	Closes  time.Time // planned, or when it was closed
	Joined  uint64    // events that fell into it, the first one aside
	Opening bool      // its files are being prepared
	Closing bool      // its records are being written
	Since   time.Time // when Opening or Closing began
}

// TriggerStatus is what a trigger has done since it is in force.
type TriggerStatus struct {
	Name       string
	Fired      uint64
	Suppressed uint64     // of Fired: beyond the budget, or nothing could be written
	Last       *time.Time // when it last fired; nil before
}

// triggerCount counts what a trigger does. The Flight's loop owns it.
type triggerCount struct {
	fired, suppressed uint64
	last              time.Time
}

// Status returns the state after the last change. It never waits.
func (f *Flight) Status() FlightStatus { return *f.status.Load() }

// publish makes Status return the present state.
func (f *Flight) publish() {
	verdict, why := f.guard.judge(f.limits(), f.now())
	s := &FlightStatus{
		Config: f.config, On: f.ring != nil, Paused: f.paused, Captures: f.opened, Suppressed: f.suppressed,
		Guard: f.guard.status(verdict, why),
	}
	switch {
	case f.paused:
		s.Reason = "guard: " + why
	case f.ring == nil:
		s.Reason = f.whyNoRing()
	}
	for _, c := range f.captures {
		s.Running = append(s.Running, c.status())
	}
	if f.config.IsOn() {
		for i := range f.config.Triggers {
			t := TriggerStatus{Name: f.config.Triggers[i].Name}
			if n := f.counts[t.Name]; n != nil {
				t.Fired, t.Suppressed = n.fired, n.suppressed
				if last := n.last; !last.IsZero() {
					t.Last = &last
				}
			}
			s.Triggers = append(s.Triggers, t)
		}
	}
	f.status.Store(s)
}
