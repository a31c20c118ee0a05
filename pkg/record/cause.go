package record

import (
	"strings"
	"time"
)

// CauseRequest is the Cause.Trigger of a capture that somebody asked for. No trigger of a
// configuration may have that name.
const CauseRequest = "request"

// Limits of a Cause's texts, in bytes. The index is kept for long, and its lines are
// bounded.
const (
	MaxTriggerName = 64  // of a configured trigger
	MaxReason      = 512 // of what somebody gives as the reason
	maxCauseText   = 128 // of the other texts
)

// Cause says why a capture was made: the first event that it belongs to. It has no payload.
type Cause struct {
	Trigger string    `json:"trigger"` // the name of a configured trigger, or CauseRequest
	Reason  string    `json:"reason"`  // in words, from whoever asked; empty otherwise
	Time    time.Time `json:"time"`    // when it happened
	Conn    string    `json:"conn"`    // the connection, <run>-<id>; empty where it is about none

	// Call is the call that the trigger's query is true of; nil for other causes.
	Call *CauseCall `json:"call"`
}

// CauseCall is what a Cause says of a call: how to find it, and how it went.
type CauseCall struct {
	ID       string    `json:"id"` // <conn>#<n>, n as the capture counts the calls of the connection
	Protocol string    `json:"protocol"`
	Time     time.Time `json:"time"` // of the first byte of the request, else of the answer
	Status   string    `json:"status"`
	Failed   bool      `json:"failed"`

	// LatencyMS is the latency in milliseconds; nil where it is not known.
	LatencyMS *float64 `json:"latency_ms"`
}

// Bounded returns a copy of c whose texts are valid UTF-8 and not longer than the limits, so
// that its line of the index has a bounded length. It returns nil for nil.
func (c *Cause) Bounded() *Cause {
	if c == nil {
		return nil
	}
	b := *c
	b.Trigger = bounded(b.Trigger, MaxTriggerName)
	b.Reason = bounded(b.Reason, MaxReason)
	b.Conn = bounded(b.Conn, maxCauseText)
	if c.Call != nil {
		call := *c.Call
		call.ID, call.Protocol, call.Status = bounded(call.ID, maxCauseText), bounded(call.Protocol, maxCauseText), bounded(call.Status, maxCauseText)
		b.Call = &call
	}
	return &b
}

// bounded returns s as valid UTF-8 of at most limit bytes. A text that was cut ends with
// "…".
func bounded(s string, limit int) string {
	const cut = "…"
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(cut)], "") + cut
}
