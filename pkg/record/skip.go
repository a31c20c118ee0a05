package record

import "time"

// SkipReason says in one word why a window that was due, or that somebody asked for,
// did not open.
type SkipReason string

// The reasons for which windows do not open.
const (
	SkipGuard    SkipReason = "guard"     // CPU or memory use is at its limit, or could not be read
	SkipMemory   SkipReason = "memory"    // the window's buffer does not fit into the memory limits
	SkipListener SkipReason = "listener"  // no listener would be recorded
	SkipOutput   SkipReason = "output"    // the dump directory cannot be opened
	SkipBusy     SkipReason = "busy"      // the window before it is not written out yet
	SkipForceOff SkipReason = "force_off" // the switch is FORCE_OFF
	SkipOther    SkipReason = "error"     // anything else
)

// Skip is one or more windows in a row that did not open, for the same reason.
type Skip struct {
	Reason  SkipReason `json:"skipped"`
	Trigger Trigger    `json:"trigger"`
	Windows uint64     `json:"windows"` // how many
	First   time.Time  `json:"first"`   // when the first one was due
	Last    time.Time  `json:"last"`    // when the last one was due
	Why     string     `json:"why"`     // the reason in words, of the last one
}

// Continues reports whether s and next are the same kind of skip.
func (s *Skip) Continues(next *Skip) bool {
	return s.Reason == next.Reason && s.Trigger == next.Trigger
}

// Add adds the windows of next, which came after those of s.
func (s *Skip) Add(next *Skip) {
	s.Windows += next.Windows
	s.Last, s.Why = next.Last, next.Why
}

// SkipError is an error that keeps a window closed, with its reason.
type SkipError struct {
	Reason SkipReason
	Err    error
}

func (e *SkipError) Error() string { return e.Err.Error() }

// Unwrap returns the error without the reason.
func (e *SkipError) Unwrap() error { return e.Err }
