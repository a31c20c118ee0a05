package strategy

import (
	"errors"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Sink receives the records of windows. A Controller opens a window after the
// WindowSink of the former one is closed, never two at a time. The Sink may wait for
// the disk: the gate is closed meanwhile.
type Sink interface {
	// OpenWindow prepares for the records of w. It is called before the gate
	// opens; an error keeps the window closed.
	OpenWindow(w record.Window) (WindowSink, error)
}

// WindowSink receives the records of one window. Pause and Resume are called from one
// goroutine, and Close or Discard after them. A paused WindowSink may be closed without a Resume.
type WindowSink interface {
	// Pause pauses the recording: what passes from now on is a gap with reason r.
	// Pause and Resume must not block.
	Pause(r record.Reason)
	// Resume ends the pause that Pause(r) began.
	Resume(r record.Reason)
	// Close is called once, after the gate was closed at the moment closed. It
	// returns when the window's records are on disk and its index line is written.
	Close(closed time.Time)
	// Discard is called once instead of Close, for a window that was canceled before
	// its gate was opened. It returns when nothing of the window remains.
	Discard()
}

// Window is an open window as Controller.Open returns it. It does not change while it
// is open: Closes is what was planned at the opening; Status has the plan in force.
type Window struct {
	record.Window
	Sink WindowSink
}

// noSink is the Sink of a Controller that was given none.
type noSink struct{}

func (noSink) OpenWindow(record.Window) (WindowSink, error) {
	return nil, errors.New("no sink for records")
}
