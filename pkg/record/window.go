package record

import "time"

// Trigger says what opened a window.
type Trigger string

// The triggers of windows.
const (
	TriggerSchedule Trigger = "schedule"
	TriggerManual   Trigger = "manual"
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
