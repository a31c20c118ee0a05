package cli

import (
	"fmt"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// triggerText returns what opened a window, for people, and what is special about it. Of a
// capture it names the trigger, and with wide also the event.
func (o *output) triggerText(w *layout.WindowLine) string {
	var more []string
	if c := w.Cause; c != nil {
		more = append(more, causeText(c))
		if o.wide {
			more = append(more, o.eventText(c)...)
			if w.AskedBeforeMS != nil {
				more = append(more, fmt.Sprintf("asked for %g s before it", float64(*w.AskedBeforeMS)/1000))
			}
		}
	}
	if w.Recovered {
		more = append(more, "recovered")
	}
	if w.Guard == record.GuardOff {
		more = append(more, "guard off")
	}
	return printable(string(w.Trigger) + inBrackets(strings.Join(more, ", ")))
}

// causeText returns the name of a capture's trigger, and the reason that somebody gave.
func causeText(c *record.Cause) string {
	if c.Reason == "" {
		return c.Trigger
	}
	return c.Trigger + ": " + c.Reason
}

// eventText returns what happened, where and when.
func (o *output) eventText(c *record.Cause) (parts []string) {
	switch call := c.Call; {
	case call != nil:
		outcome := call.Protocol + " " + call.Status
		if call.Failed {
			outcome += " failed"
		}
		if call.LatencyMS != nil {
			outcome += fmt.Sprintf(" %g ms", *call.LatencyMS)
		}
		parts = append(parts, call.ID+" "+outcome)
	case c.Conn != "":
		parts = append(parts, c.Conn)
	}
	return append(parts, "at "+o.time(c.Time, "2006-01-02 15:04:05.000"))
}
