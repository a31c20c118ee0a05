package trigger

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// progress is how far a call without an answer was looked at.
type progress struct {
	fired uint64 // triggers that it has met
	times int    // thresholds that it has passed
}

// progress returns that of a call.
func (d *decoding) progress(n uint64) *progress {
	p := d.calls[n]
	if p == nil {
		if d.calls == nil {
			d.calls = map[uint64]*progress{}
		}
		p = &progress{}
		d.calls[n] = p
	}
	return p
}

// asked says that bytes of the client have come at t: from then on a call may wait.
func (d *decoding) asked(p *plan, t int64) {
	if d.due == 0 && len(p.times) > 0 && !d.conn.oneSided {
		d.due = t + int64(p.times[0].after) + 1
	}
}

// askedAgain says that the thresholds are others than before. Calls may have passed some.
func (d *decoding) askedAgain(p *plan, t int64) {
	d.due = 0
	for _, of := range d.calls {
		of.times = 0
	}
	if len(p.times) > 0 && !d.conn.oneSided {
		d.due = max(t, 1)
	}
}

// wait evaluates the conditions of calls that have waited for so long that it matters: for
// each threshold once, as if the time that has elapsed were just beyond it. So what is found does
// not depend on when exactly the matcher looks.
func (m *Matcher) wait(c *connection, slot uint32, now int64) {
	d := c.decoding
	d.due = 0
	m.decode(d, slot, now, func() {
		d.decoder.Waiting(func(w *call.Call) { m.waits(d, w, now) })
	})
}

// waits looks at a call without an answer.
func (m *Matcher) waits(d *decoding, w *call.Call, now int64) {
	asked := w.Request.Last
	from := asked.UnixNano()
	of := d.calls[w.N]
	passed := 0
	if of != nil {
		passed = of.times
	}
	times := m.plan.times
	for ; passed < len(times) && now > from+int64(times[passed].after); passed++ {
		if of == nil {
			of = d.progress(w.N)
		}
		supposed := *w
		supposed.Response = call.Message{First: asked.Add(times[passed].after + time.Nanosecond)}
		supposed.Incomplete |= call.NoAnswer
		of.fired |= m.evaluate(d, &supposed, times[passed].triggers&m.plan.protocols[w.Protocol]&^of.fired, now)
	}
	if of != nil {
		of.times = passed
	}
	if passed < len(times) {
		if due := from + int64(times[passed].after) + 1; d.due == 0 || due < d.due {
			d.due = due
		}
	}
}
