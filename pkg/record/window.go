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
}
