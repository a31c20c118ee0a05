package strategy

import (
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// FlightSink has the memory of the flight recorder. A Flight opens a ring after the former
// one is closed, never two at a time.
type FlightSink interface {
	// OpenRing opens a ring of c.Size bytes, which records from when it returns. It may take
	// as long as the memory and the disk do. With an error there is no ring; the Flight tries
	// again later. c is the sink's.
	OpenRing(c *FlightConfig) (RingSink, error)
}

// RingSink is the open ring: it keeps the newest traffic, and gives up the oldest. Configure,
// Pause, Resume and Shut must not block. They are called from one goroutine, and not after
// Shut.
type RingSink interface {
	// Configure replaces all of the configuration but the size. What the ring has stays. With
	// an error the one before stays in force. c is the sink's.
	Configure(c *FlightConfig) error
	// Pause pauses the ring: what passes from now on is a gap with reason r.
	Pause(r record.Reason)
	// Resume ends the pause that Pause(r) began.
	Resume(r record.Reason)
	// OpenCapture opens a capture. ErrNoConnection is of a scope whose connection the ring
	// does not know. It may take as long as the disk does; several calls may
	// be under way, also while Shut is called, but none when Close is.
	OpenCapture(s CaptureSpec) (CaptureSink, error)
	// Shut ends the recording: nothing that passes from now on is in the ring, and no event
	// comes. Captures that are open still read what they are of.
	Shut()
	// Close is called once, after Shut, when all captures are closed. It returns when the
	// memory is free.
	Close()
}

// CaptureSpec is what a capture is to be.
type CaptureSpec struct {
	// Window has the capture's id, its trigger, its cause, and in Opened when it is to
	// begin: AskedBefore before its cause. Closes is the plan at its opening.
	Window record.Window
	Scope  Scope
}

// CaptureSink is an open capture.
type CaptureSink interface {
	// Opened returns the true beginning: the later of what was asked for and what the ring
	// still had of everything in scope.
	Opened() time.Time
	// Close is called once. What passed at closed or before belongs to the capture, unless
	// it is closed already. It returns when the records are on disk and the index line is
	// written.
	Close(closed time.Time)
}

// FlightEvent says that a trigger has fired.
type FlightEvent struct {
	Trigger  string    // its name
	Time     time.Time // of what it has seen
	Conn     string    // the connection, <run>-<id>
	Listener string    // name of its listener

	Call *record.CauseCall // of a trigger with a query; not kept by the caller
}

// noRing is the FlightSink of a Flight that was given none.
type noRing struct{}

func (noRing) OpenRing(*FlightConfig) (RingSink, error) { return nil, errNoFlight }
