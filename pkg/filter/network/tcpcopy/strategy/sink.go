package strategy

import (
	"errors"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Sink is where the records of windows go. A Controller opens a window when the
// Tap of the former one is closed, never two at a time, and lets the Sink take its
// time: the gate is closed meanwhile.
type Sink interface {
	// OpenWindow prepares for the records of w. It is called before the gate
	// opens; an error keeps the window closed.
	OpenWindow(w record.Window) (Tap, error)
}

// Tap takes the records of one open window. Hold and Release come from one
// goroutine, and Close after them; a Tap that is held may be closed without a
// Release.
type Tap interface {
	// Hold pauses the recording: what passes from now on is a gap with reason r.
	// Like Release it must not block.
	Hold(r record.Reason)
	// Release ends the pause that Hold(r) began.
	Release(r record.Reason)
	// Close is called once, after the gate was closed at the moment closed. It
	// returns when the window's records are on disk and its index line is written.
	Close(closed time.Time)
}

// Window is an open window as the hot path sees it. It does not change while it
// is open: Closes is what was planned at the opening, Status has the plan in force.
type Window struct {
	record.Window
	Tap Tap
}

// noSink stands where Options has no Sink.
type noSink struct{}

func (noSink) OpenWindow(record.Window) (Tap, error) {
	return nil, errors.New("no sink for records")
}
