package model

import "time"

// Direction tells the two streams of a connection apart.
type Direction uint8

// The directions, named as the proxy sees them.
const (
	In  Direction = iota // client to proxy: what OnData shows
	Out                  // proxy to client: what OnWrite shows
)

// String returns "in" or "out", the names that the index and the commands use.
func (d Direction) String() string {
	if d == Out {
		return "out"
	}
	return "in"
}

// Reason says why bytes that passed in a window were not kept.
type Reason uint8

// The reasons of gaps.
const (
	ReasonNone       Reason = iota
	ReasonBufferFull        // the workers were slower than the traffic
	ReasonWriteError        // the file could not be written
	ReasonLimit             // beyond max_bytes_per_connection
	ReasonGuard             // the host was above its CPU or memory limit
	ReasonDisk              // free space was below min_free
	ReasonUnseen            // an earlier filter of the chain took the bytes before tcpcopy saw them

	NumReasons = iota
)

// String returns the word that logs and the index use for r.
func (r Reason) String() string {
	switch r {
	case ReasonBufferFull:
		return "buffer_full"
	case ReasonWriteError:
		return "write_error"
	case ReasonLimit:
		return "limit"
	case ReasonGuard:
		return "guard"
	case ReasonDisk:
		return "disk"
	case ReasonUnseen:
		return "unseen"
	default:
		return "none"
	}
}

// Trigger says what opened a window.
type Trigger string

// The triggers of windows.
const (
	TriggerSchedule Trigger = "schedule"
	TriggerManual   Trigger = "manual"
)

// Window is a stretch of time in which records are taken.
type Window struct {
	ID      string // UUID
	Trigger Trigger
	Opened  time.Time
	Closes  time.Time // when it is planned to close
}
