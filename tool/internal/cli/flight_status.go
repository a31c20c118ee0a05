package cli

import (
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// flight is the flight recorder's part of the status.
type flight struct {
	On           bool   `json:"on"`
	Reason       string `json:"reason"`
	Paused       bool   `json:"paused"`
	Size         uint64 `json:"size"`
	Used         uint64 `json:"used"`
	HoldsMS      int64  `json:"holds_ms"`
	EvictedBytes uint64 `json:"evicted_bytes"`
	Captures     uint64 `json:"captures"`
	Suppressed   uint64 `json:"suppressed"`
	Triggers     []struct {
		Name       string     `json:"name"`
		Fired      uint64     `json:"fired"`
		Suppressed uint64     `json:"suppressed"`
		Last       *time.Time `json:"last"`
		CPU        float64    `json:"cpu_ms_per_s"`
	} `json:"triggers"`
	Excludes []string `json:"excludes"`
	Change   *change  `json:"change"`
}

// openWindow is a window in the list of all that are open.
type openWindow struct {
	ID       string        `json:"id"`
	Trigger  string        `json:"trigger"`
	Opened   time.Time     `json:"opened"`
	Closes   time.Time     `json:"closes"` // zero for a live-only window
	Paused   bool          `json:"paused"` // by the guard
	Guard    string        `json:"guard"`
	State    string        `json:"state"` // opening, open, closing
	Scope    string        `json:"scope"`
	Conn     string        `json:"conn"`
	Listener string        `json:"listener"`
	Joined   uint64        `json:"joined"`
	Cause    *record.Cause `json:"cause"` // nil unless it is a capture
}

// openWindow returns the window of that id, nil if it is not open.
func (s *status) openWindow(id string) *openWindow {
	for i := range s.Windows {
		if s.Windows[i].ID == id {
			return &s.Windows[i]
		}
	}
	return nil
}

// whose returns whose traffic a capture has.
func (w *openWindow) whose() string {
	switch {
	case w.Conn != "":
		return w.Scope + " " + w.Conn
	case w.Listener != "":
		return w.Scope + " " + w.Listener
	default:
		return "all connections"
	}
}

// captureLine returns a capture as a line for people.
func captureLine(o *output, w *openWindow) string {
	text := fmt.Sprintf("%s, %s, of %s, %s to %s", o.window(w.ID), causeText(w.Cause), w.whose(), o.moment(w.Opened), o.time(w.Closes, time.TimeOnly))
	switch {
	case w.State == "opening":
		text += ", is being opened"
	case w.State == "closing":
		text += ", is being written"
	case w.Joined == 1:
		text += ", one more event"
	case w.Joined > 1:
		text += fmt.Sprintf(", %d more events", w.Joined)
	}
	return text
}

// flightLine returns what the ring is doing as a line for people.
func (f *flight) flightLine() string {
	switch {
	case !f.On:
		return "off: " + f.Reason
	case f.Paused:
		return "paused: " + f.Reason
	}
	return fmt.Sprintf("holds the last %s, %s of %s in use; %s, %d suppressed",
		length(time.Duration(f.HoldsMS)*time.Millisecond), size(f.Used), size(f.Size), plural(f.Captures, "capture"), f.Suppressed)
}

// printFlight prints the flight recorder's part of the status. line prints a line.
func printFlight(o *output, s *status, line func(name, format string, args ...any), bad func()) {
	name := "live"
	for i := range s.Windows {
		if w := &s.Windows[i]; w.Trigger == string(record.TriggerLive) {
			more := ""
			if w.Paused {
				more = ", paused by the guard"
				bad()
			}
			if w.Guard == record.GuardOff {
				more = ", whatever the guard says"
			}
			line(name, "%s, for its reader alone, since %s%s", o.window(w.ID), o.moment(w.Opened), more)
			name = ""
		}
	}
	name = "captures"
	for i := range s.Windows {
		if w := &s.Windows[i]; w.Cause != nil {
			line(name, "%s", captureLine(o, w))
			name = ""
		}
	}
	f := s.Flight
	if f == nil {
		return // a recorder of before
	}
	if f.Size > 0 && (!f.On || f.Paused) {
		bad()
	}
	line("flight", "%s", f.flightLine())
	if f.Change != nil && f.Change.Error != "" {
		bad()
		line("", "changed %s by %s: refused: %s", o.moment(f.Change.Time), f.Change.Source, f.Change.Error)
	}
	for _, t := range f.Triggers {
		text := fmt.Sprintf("trigger %s has not fired", t.Name)
		if t.Last != nil {
			text = fmt.Sprintf("trigger %s fired %s, last %s", t.Name, plural(t.Fired, "time"), o.moment(*t.Last))
		}
		if t.Suppressed > 0 {
			text += fmt.Sprintf(", %d suppressed", t.Suppressed)
			bad()
		}
		line("", "%s; it takes %.3g ms of a second", text, t.CPU)
	}
	for _, excluded := range f.Excludes {
		line("", "not in it: %s", excluded)
	}
}

// printCaptures prints the captures that have begun between two statuses, and changes of the
// ring.
func printCaptures(before, now *status, o *output, say func(format string, args ...any)) {
	for i := range now.Windows {
		w := &now.Windows[i]
		if w.Cause != nil && (before == nil || before.openWindow(w.ID) == nil) {
			say("capture %s", captureLine(o, w))
		}
	}
	switch f := now.Flight; {
	case f == nil || f.Size == 0:
	case before == nil || before.Flight == nil:
		if !f.On || f.Paused {
			say("the flight recorder is %s", f.flightLine())
		}
	case f.On != before.Flight.On || f.Paused != before.Flight.Paused:
		if f.On && !f.Paused {
			say("the flight recorder is on")
		} else {
			say("the flight recorder is %s", f.flightLine())
		}
	}
}
