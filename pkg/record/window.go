package record

import "time"

// Trigger says what opened a window.
type Trigger string

// The triggers of windows.
const (
	TriggerSchedule Trigger = "schedule"
	TriggerManual   Trigger = "manual"

	// TriggerFlight is of captures: windows that begin in the past, with what the ring has.
	TriggerFlight Trigger = "flight"
	// TriggerCrash is of what the ring of a killed process has had.
	TriggerCrash Trigger = "crash"
	// TriggerLive is of windows that live streams alone receive.
	TriggerLive Trigger = "live"
)

// Window is a stretch of time in which records are made.
type Window struct {
	ID      string // UUID
	Trigger Trigger
	Opened  time.Time
	Closes  time.Time // when it is planned to close

	// Unguarded says that whoever asked for the window wants it whatever the guard
	// says: the guard neither keeps it closed nor pauses it.
	Unguarded bool

	// Cause says why a capture was made; nil for other windows.
	Cause *Cause
	// AskedBefore is how far before its cause a capture was to reach back. Opened says
	// how far it does.
	AskedBefore time.Duration
}

// AskedBeforeMS returns AskedBefore in milliseconds as the index has it, nil for windows
// that are no captures.
func (w *Window) AskedBeforeMS() *int64 {
	if w.Cause == nil {
		return nil
	}
	ms := w.AskedBefore.Milliseconds()
	return &ms
}

// GuardOff is what files and the status say of the guard in an unguarded window.
const GuardOff = "off"

// GuardWord returns GuardOff if the window is unguarded, "" otherwise.
func (w *Window) GuardWord() string {
	if w.Unguarded {
		return GuardOff
	}
	return ""
}
