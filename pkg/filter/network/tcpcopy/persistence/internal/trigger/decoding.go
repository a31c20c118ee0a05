package trigger

import (
	"runtime/debug"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// decoding is a connection that is decoded. It is the sink of its decoder.
type decoding struct {
	*topics // it is a kafka.Names

	matcher *Matcher
	conn    *connection
	decoder protocol.Decoder
	slot    uint32
	at      int64  // time of the entry that is decoded
	name    string // of the protocol, as it was looked at last
	size    int    // bytes that are accounted for it

	answered  bool   // a call has ended
	undecided uint64 // bytes that came while the protocol was not known

	contents map[uint64]*content // of calls that have not ended, by their numbers
	held     int                 // bytes of contents
	since    time.Time           // what conditions ask for is there of calls that began after it

	calls map[uint64]*progress // of calls without an answer, by their numbers
	due   int64                // when calls without an answer are looked at; 0 while none can be there
}

var _ kafka.Names = (*decoding)(nil)

const (
	decodingSize = 256 // of a decoding beside its decoder, in bytes
	contentSize  = 200 // of a content that is empty
	progressSize = 80
)

// A connection whose protocol is not known after so many bytes is left alone: each byte of
// what nobody knows costs a thousand times what others cost. It is joined again when the client
// sends something, at first after firstRetry, then each time twice as late: it may have been in the middle
// of a long answer.
const (
	maxUndecided = 128 << 10
	firstRetry   = 5e9 // nanoseconds
	maxRetries   = 16  // doublings
)

// join begins to decode a connection, from where it is.
func (m *Matcher) join(c *connection, t int64) {
	if c.off {
		return
	}
	if m.set.memory.Load() > m.set.limit() {
		m.shedConnection(c, t)
		return
	}
	c.retry = 0
	d := m.newDecoding(c)
	d.at = t
	d.decoder = protocol.New(d, protocol.Limits{})
	d.decoder.Open(record.PerDirection{In: c.next[record.In], Out: c.next[record.Out]})
	m.account(d)
}

func (m *Matcher) newDecoding(c *connection) *decoding {
	d := &decoding{topics: &m.set.topics, matcher: m, conn: c}
	c.decoding = d
	return d
}

// inherit goes on with what another matcher decodes. same says which triggers of it are
// which here. It reports whether that was possible.
func (m *Matcher) inherit(c *connection, old *decoding, before *plan, same []int, t int64) (ok bool) {
	if m.set.memory.Load() > m.set.limit() {
		return false
	}
	d := m.newDecoding(c)
	d.name, d.answered, d.undecided, d.since, d.at = old.name, old.answered, old.undecided, old.since, t
	for n, p := range old.calls {
		var fired uint64
		eachBit(p.fired, func(i int) {
			if same[i] >= 0 {
				fired |= 1 << same[i]
			}
		})
		d.progress(n).fired = fired
	}
	if ok = d.resume(old.decoder); !ok {
		d.conn.decoding = nil
		return false
	}
	d.contents, d.held = old.contents, old.held
	m.asksAnew(d, before, t)
	d.askedAgain(m.plan, t)
	m.account(d)
	return true
}

// resume gives d a new decoder that goes on where another one is.
func (d *decoding) resume(old protocol.Decoder) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			d.matcher.failed(d, v)
			ok = false
		}
	}()
	decoder, err := protocol.Resume(d, old.Checkpoint())
	if err != nil {
		d.matcher.failed(d, err)
		return false
	}
	d.decoder = decoder
	return true
}

// adapt makes a decoding one of the matcher's plan, which was another one before.
func (m *Matcher) adapt(d *decoding, before *plan, t int64) {
	d.at = t
	if m.plan.spans() != before.spans() && !d.resume(d.decoder) {
		m.drop(d.conn)
		d.conn.off = true
		return
	}
	m.asksAnew(d, before, t)
	d.askedAgain(m.plan, t)
	m.account(d)
}

// asksAnew says that conditions ask for other contents than before, if they do.
func (m *Matcher) asksAnew(d *decoding, before *plan, t int64) {
	if !m.plan.spans() {
		d.contents, d.held = nil, 0
		return
	}
	for dir := range m.plan.bodies {
		more := m.plan.bodies[dir] && !before.bodies[dir]
		for _, name := range m.plan.headers[dir] {
			more = more || !slices.Contains(before.headers[dir], name)
		}
		if more {
			d.since = time.Unix(0, t)
		}
	}
}

// decode calls step, which gives the decoder something. Whatever the decoder does, the
// matcher goes on.
func (m *Matcher) decode(d *decoding, slot uint32, t int64, step func()) {
	d.slot, d.at = slot, t
	if !d.try(step) {
		d.conn.off = true
		m.drop(d.conn)
		return
	}
	m.after(d)
}

// try calls step and reports whether it returned.
func (d *decoding) try(step func()) (ok bool) {
	defer func() {
		if !ok {
			d.matcher.failed(d, recover())
		}
	}()
	step()
	return true
}

// failed reports a panic of a decoder.
func (m *Matcher) failed(d *decoding, value any) {
	m.set.panics.Add(1)
	m.newEvaluators() // one of them may be within an evaluation
	if report := m.set.options.Report; report != nil {
		report(&PanicError{Conn: d.conn.endpoint.Conn, Protocol: d.name, Value: value, Stack: debug.Stack()})
	}
}

// after ends a decoding whose calls can meet no condition, and accounts for the others.
func (m *Matcher) after(d *decoding) {
	name := d.decoder.Protocol()
	if d.name = name; !m.plan.wants(name, d.answered) {
		// It stays open for a plan that wants it, in its middle.
		m.drop(d.conn)
		return
	}
	if name == "" && d.undecided > maxUndecided {
		m.set.undecided.Add(1)
		d.conn.retry = d.at + firstRetry<<d.conn.tries
		d.conn.tries = min(d.conn.tries+1, maxRetries)
		m.drop(d.conn)
		return
	}
	m.account(d)
}

// drop ends the decoding of a connection, if there is one.
func (m *Matcher) drop(c *connection) {
	if d := c.decoding; d != nil {
		m.set.memory.Add(-int64(d.size))
		c.decoding = nil
	}
}

// WantsSpans implements call.SpanChooser.
func (d *decoding) WantsSpans() bool { return d.matcher.plan.spans() }

// Span implements call.Sink.
func (d *decoding) Span(s call.Span) {
	if s.Kind != call.KindBody && s.Kind != call.KindHeader || !d.matcher.plan.spans() {
		return
	}
	c := d.contents[s.Call]
	if c == nil {
		c = &content{}
		n := c.add(d.matcher.plan, &s)
		if n == 0 && !c.cut && !c.long[record.In] && !c.long[record.Out] {
			return
		}
		if d.contents == nil {
			d.contents = map[uint64]*content{}
		}
		d.contents[s.Call] = c
		d.held += contentSize + n
		return
	}
	d.held += c.add(d.matcher.plan, &s)
}

// Call implements call.Sink.
func (d *decoding) Call(c *call.Call) {
	d.answered = true
	var fired uint64
	if p := d.calls[c.N]; p != nil {
		fired = p.fired
		delete(d.calls, c.N)
	}
	d.matcher.evaluate(d, c, d.matcher.plan.protocols[c.Protocol]&^fired, d.at)
	if of := d.contents[c.N]; of != nil {
		delete(d.contents, c.N)
		d.held -= contentSize + of.size
	}
}

// evaluate evaluates the conditions of triggers on a call, and returns which were met.
func (m *Matcher) evaluate(d *decoding, c *call.Call, triggers uint64, t int64) (met uint64) {
	if triggers == 0 {
		return 0
	}
	q := query.Call{Call: c, Identity: &d.conn.endpoint.Identity}
	if triggers&m.plan.content != 0 {
		of := contentOf{content: d.contents[c.N], call: c}
		if !d.since.IsZero() && !c.Time().After(d.since) {
			of.content = &content{cut: true, long: [2]bool{true, true}}
		}
		q.Content = &of
	}
	eachBit(triggers, func(i int) {
		start := m.meter.beginEvaluation()
		matched, err := m.evaluators[i].Match(&q)
		m.meter.endEvaluation(i, start)
		if err != nil {
			m.set.counters[i].unknown.Add(1)
		}
		if matched {
			met |= 1 << i
			m.fired(Event{Trigger: i, Time: t, Slot: d.slot, Conn: d.conn.endpoint.Conn, Count: 1, Call: cause(c, q.ID())})
		}
	})
	return met
}
