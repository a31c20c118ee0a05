package strategy

import (
	"errors"
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// capture is a capture that is not finished. The loop owns it.
type capture struct {
	window record.Window // Opened is the true beginning once it is open
	scope  Scope
	closes time.Time // when it is to be closed
	limit  time.Time // how far triggers that join it may move closes
	joined uint64

	since   time.Time             // when its opening or its closing began
	sink    CaptureSink           // nil while it is being opened
	ended   string                // of one that is being opened: why it is to be closed then
	closing bool                  // its sink is being closed, or was not opened
	answer  chan<- capturedAnswer // room for one; nil when nobody waits
	over    chan struct{}         // closed by the loop when the capture is finished
}

func (c *capture) status() CaptureStatus {
	return CaptureStatus{
		ID: c.window.ID, Cause: c.window.Cause, Scope: c.scope, Opened: c.window.Opened, Closes: c.closes, Joined: c.joined,
		Opening: c.sink == nil, Closing: c.closing, Since: c.since,
	}
}

// handleEvents handles the events that wait.
func (f *Flight) handleEvents(now time.Time) {
	f.mu.Lock()
	events, overflow := f.events, f.overflow
	f.events = nil
	if len(overflow) > 0 {
		f.overflow = map[string]uint64{}
	}
	f.mu.Unlock()
	for i := range events {
		f.handleEvent(&events[i], now)
	}
	if len(overflow) == 0 {
		return
	}
	for name, n := range overflow {
		if count := f.counts[name]; count != nil {
			count.fired += n
			count.last = now
			f.suppress(count, n, &f.refusing, "more triggers fire than can be handled")
		}
	}
}

// handleEvent joins the event to a capture, or begins one.
func (f *Flight) handleEvent(e *FlightEvent, now time.Time) {
	count := f.counts[e.Trigger]
	if count == nil {
		return // of a configuration that was replaced
	}
	t := f.config.trigger(e.Trigger)
	at := e.Time
	if at.After(now) {
		at = now // the clock was set back
	}
	count.fired++
	if at.After(count.last) {
		count.last = at
	}
	scope := Scope{Kind: t.Scope}
	switch t.Scope {
	case ScopeConnection:
		scope.Conn = e.Conn
	case ScopeListener:
		scope.Listener = e.Listener
	}
	if c := f.running(scope, t, at); c != nil {
		c.joined++
		if closes := at.Add(t.After); !c.closing && closes.After(c.closes) {
			c.closes = closes
			if c.closes.After(c.limit) {
				c.closes = c.limit
			}
		}
		return
	}
	switch {
	case f.ring == nil:
		f.suppress(count, 1, &f.refusing, "there is no ring")
		return
	case !f.withinBudget(now):
		f.suppress(count, 1, &f.refusing, "the budget of "+f.config.Budget.String()+" captures is used up")
		return
	case len(f.captures) >= maxCaptures:
		f.suppress(count, 1, &f.refusing, ErrManyCaptures.Error())
		return
	}
	f.begun, f.refusing = append(f.begun, now), false
	cause := record.Cause{Trigger: t.Name, Time: e.Time.UTC(), Conn: e.Conn, Call: e.Call}
	f.openCapture(scope, &cause, at, t.Before, t.After, nil, count)
}

// running returns the capture that an event joins, nil if there is none: one of the same
// scope. One that somebody asked for must reach as far back as the trigger wants; one that
// is being closed must have all that it wants.
func (f *Flight) running(scope Scope, t *FlightTrigger, at time.Time) *capture {
	for _, c := range f.captures {
		until := at.Add(t.After)
		switch {
		case c.scope != scope:
		case c.window.Cause.Trigger == record.CauseRequest && at.Add(-t.Before).Before(c.window.Opened):
		case (c.closing || c.ended != "") && until.After(c.closes):
		case at.After(c.limit):
		default:
			return c
		}
	}
	return nil
}

// withinBudget reports whether another capture may begin.
func (f *Flight) withinBudget(now time.Time) bool {
	b := f.config.Budget
	for len(f.begun) > 0 && now.Sub(f.begun[0]) >= b.Per {
		f.begun = f.begun[1:]
	}
	return len(f.begun) < b.Captures
}

// suppress counts n events that nothing is written for, because of why, and alerts unless
// alerted says that there is an alert already.
func (f *Flight) suppress(count *triggerCount, n uint64, alerted *bool, why string) {
	count.suppressed += n
	f.suppressed += n
	if !*alerted {
		*alerted = true
		f.alert("flight recorder: a trigger has fired and nothing is written: %s; the status counts them", why)
	}
}

// captureOnDemand begins a capture that somebody asks for, who is answered through answer.
func (f *Flight) captureOnDemand(r CaptureRequest, answer chan<- capturedAnswer) (id string, err error) {
	switch {
	case f.forced:
		return "", ErrForceOff
	case f.ring == nil:
		return "", fmt.Errorf("%w: %s", ErrNoRing, f.whyNoRing())
	case len(f.captures) >= maxCaptures:
		return "", ErrManyCaptures
	}
	now := f.now()
	before, after := f.config.Before, f.config.After
	if r.Before != nil {
		before = *r.Before
	}
	if r.After != nil {
		after = *r.After
	}
	cause := record.Cause{Trigger: record.CauseRequest, Reason: r.Reason, Time: now.UTC(), Conn: r.Conn}
	return f.openCapture(r.Scope, &cause, now, before, after, answer, nil), nil
}

// openCapture begins a capture: it calls the sink in a goroutine of its own, and captureOpened
// with the result. count is of the trigger, nil for one on demand.
func (f *Flight) openCapture(scope Scope, cause *record.Cause, at time.Time, before, after time.Duration, answer chan<- capturedAnswer, count *triggerCount) (id string) {
	c := &capture{
		window: record.Window{
			ID: f.newID(), Trigger: record.TriggerFlight, Opened: at.Add(-before), Closes: at.Add(after),
			Cause: cause.Bounded(), AskedBefore: before,
		},
		scope: scope, closes: at.Add(after), limit: at.Add(max(after, MaxCapture)), since: f.now(), answer: answer, over: make(chan struct{}),
	}
	f.captures = append(f.captures, c)
	ring, spec := f.ring.sink, CaptureSpec{Window: c.window, Scope: scope}
	var sink CaptureSink
	f.call("opening a capture", func() (err error) {
		sink, err = ring.OpenCapture(spec)
		if err == nil && sink == nil {
			err = errors.New("the sink has opened no capture")
		}
		if err == nil {
			spec.Window.Opened = sink.Opened()
		}
		return err
	}, func(err error) { f.captureOpened(c, sink, spec.Window.Opened, count, err) })
	return c.window.ID
}

func (f *Flight) captureOpened(c *capture, sink CaptureSink, opened time.Time, count *triggerCount, err error) {
	if err != nil {
		f.finish(c)
		if count != nil {
			f.suppress(count, 1, &f.failing, "a capture cannot be opened: "+err.Error())
		} else {
			f.suppressed++
		}
		f.publish() // whoever receives the answer finds it in the status
		c.reply(Captured{}, err)
		return
	}
	f.opened++
	f.failing = false
	c.sink, c.window.Opened = sink, opened
	f.log.Infof("flight recorder: capture %s of %v is open, because of %s", c.window.ID, c.scope, c.window.Cause.Trigger)
	f.publish()
	c.reply(Captured{Window: c.window.ID, Opened: opened, Closes: c.closes}, nil)
	if c.ended != "" {
		f.closeCapture(c, c.ended)
	}
}

// reply answers whoever waits for the capture.
func (c *capture) reply(captured Captured, err error) {
	if c.answer != nil {
		c.answer <- capturedAnswer{captured, err}
	}
}

// closeDue closes the captures whose time is over.
func (f *Flight) closeDue(now time.Time) {
	for _, c := range f.captures {
		if c.sink != nil && !c.closing && !now.Before(c.closes) {
			f.closeCapture(c, "its time is over")
		}
	}
}

// endCapture closes a capture, or one that is being opened when it is open.
func (f *Flight) endCapture(c *capture, why string) {
	switch {
	case c.closing || c.ended != "":
	case c.sink == nil:
		c.ended = why
		if now := f.now(); now.Before(c.closes) {
			c.closes = now
		}
	default:
		f.closeCapture(c, why)
	}
}

// closeCapture closes the sink of an open capture in a goroutine of its own.
func (f *Flight) closeCapture(c *capture, why string) {
	now := f.now()
	c.closing, c.since, c.closes = true, now, now
	f.call("closing a capture", func() error {
		c.sink.Close(now)
		return nil
	}, func(err error) {
		if err != nil {
			f.log.Warnf("flight recorder: close capture %s: %v", c.window.ID, err)
		} else {
			f.log.Infof("flight recorder: capture %s is written: %s; %d more events fell into it", c.window.ID, why, c.joined)
		}
		f.finish(c)
	})
}

// finish ends a capture: the sink has nothing of it under way any more.
func (f *Flight) finish(c *capture) {
	c.closing = true
	for i := range f.captures {
		if f.captures[i] == c {
			f.captures = append(f.captures[:i:i], f.captures[i+1:]...)
			break
		}
	}
	close(c.over)
}
