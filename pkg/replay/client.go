package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

const (
	// quietTimeout is how long a server must be silent until its answer counts as
	// complete, where it is not the recorded one.
	quietTimeout = 200 * time.Millisecond
	// quietLineTimeout is quietTimeout for an answer that ends with a line, as the
	// recorded one does.
	quietLineTimeout = 20 * time.Millisecond
)

// The ways in which a server ends a session.
var (
	errClosedEarly = errors.New("the server closed the connection early")
	errFlood       = fmt.Errorf("the server sent %d MiB more than was recorded", overflow>>20)
	errStalled     = errors.New("the server does not take what is sent")
)

// client replays one session to one server. It belongs to one goroutine. A write
// of much data runs in a goroutine of its own, which uses conn, options and nothing
// else of the client; writeReading waits for it.
type client struct {
	options *Options
	session *Session
	events  []event // that are replayed
	match   matcher
	raw     *byteMatcher // match, where it is one
	pings   *pingFilter  // of HTTP/2; nil for other protocols
	limiter *limiter
	start   time.Time // the moment of the Recording's begin on the replay's clock
	conn    net.Conn  // closed by open, at the latest when the context ends

	sent     int                 // pieces
	bytes    record.PerDirection // sent and received
	lateness Histogram
	progress *counters

	buf           []byte
	payload       []byte    // see payloads.read
	readDeadline  time.Time // that is set on conn
	writeDeadline time.Time // that is set on conn
	known         int       // events whose answers are expected
	expected      uint64    // bytes of them
	unanswered    int       // bytes sent since something came
	eof           bool
}

// run replays the session until its end, an error or ctx's end.
func (c *client) run(ctx context.Context) error {
	c.raw, _ = c.match.(*byteMatcher)
	if len(c.events) > 0 && c.events[0].dir == record.Out { // the server speaks first
		if err := c.expectAnswers(0); err != nil {
			return err
		}
	}
	for i := range c.events {
		e := &c.events[i]
		var err error
		switch {
		case e.dir == record.Out:
			err = c.receive(e)
		case !e.gap:
			err = c.await(ctx, time.Duration(e.at))
			if err == nil {
				err = c.send(ctx, i)
			}
		}
		if err != nil {
			return errors.Join(err, c.receiveRest(i+1))
		}
	}
	if c.session.facts.server {
		c.match.end(recorded, c.session.Start+c.session.Length)
	}
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	return c.leave(ctx)
}

// expectAnswers adds the recorded answers to the requests from events[i] on, up to
// the next requests, to what is expected.
func (c *client) expectAnswers(i int) error {
	for i < len(c.events) && c.events[i].dir == record.In {
		i++
	}
	for ; i < len(c.events) && c.events[i].dir == record.Out; i++ {
		e := &c.events[i]
		c.expected += uint64(e.n)
		switch {
		case c.raw == nil:
		case e.gap:
			c.raw.expectGap(e.n, time.Duration(e.at))
		default:
			data, err := c.session.payload(e, &c.payload)
			if err != nil {
				return err
			}
			c.raw.expect(data, e.pos >= 0, time.Duration(e.at))
		}
	}
	c.known = i
	return nil
}

// receive counts what the recorded client received in e as received.
func (c *client) receive(e *event) error {
	if c.raw != nil {
		c.raw.receive(e.n)
		return nil
	}
	data, err := c.session.payload(e, &c.payload)
	if err != nil {
		return err
	}
	c.match.answer(recorded, data, time.Duration(e.at))
	return nil
}

// receiveRest is receive for the events from events[i] on that answer what was sent,
// of a session that ends early: they are still to be compared.
func (c *client) receiveRest(i int) error {
	for ; i < c.known; i++ {
		if e := &c.events[i]; e.dir == record.Out {
			if err := c.receive(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// await waits until the time of what was recorded at at. In the mode Turns it first
// waits for the answers that the recorded client had received.
func (c *client) await(ctx context.Context, at time.Duration) error {
	if c.options.Mode == Turns {
		if err := c.catchUp(ctx); err != nil {
			return err
		}
	}
	now := c.options.clock.Now()
	due := now
	if !c.options.unpaced() {
		due = c.start.Add(c.options.scaled(at))
	}
	for until := c.limiter.reserve(due, now); until.After(now) && !c.eof; now = c.options.clock.Now() {
		if err := c.read(ctx, until, 0); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	if c.eof {
		return errClosedEarly
	}
	if !c.options.unpaced() {
		c.lateness.add(now.Sub(due))
	}
	return nil
}

// send sends the piece of a request that events[i] is.
func (c *client) send(ctx context.Context, i int) error {
	e := &c.events[i]
	data, err := c.session.payload(e, &c.payload)
	if err != nil {
		return err
	}
	c.match.request(data, time.Duration(e.at), c.elapsed())
	if i >= c.known {
		if err := c.expectAnswers(i); err != nil {
			return err
		}
		if data, err = c.session.payload(e, &c.payload); err != nil { // expectAnswers has reused the buffer
			return err
		}
	}
	for !c.match.maySend() && !c.eof {
		err := c.read(ctx, c.options.clock.Now().Add(c.options.TurnTimeout), 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errStalled
		}
		if err != nil {
			return err
		}
	}
	if c.pings != nil {
		data = c.pings.filter(data)
	}
	if err := c.write(ctx, data); err != nil {
		return err
	}
	c.sent++
	c.bytes.Add(record.In, uint64(len(data)))
	c.progress.sent.Add(1)
	return nil
}

// catchUp reads until as much of the answers has come as the recorded client had
// received, or the server was silent for too long.
func (c *client) catchUp(ctx context.Context) error {
	for {
		var timeout time.Duration
		switch c.match.progress() {
		case caughtUp:
			return nil
		case incomplete:
			timeout = c.options.TurnTimeout + c.match.recordedLatency()
		case different, surplus:
			timeout = min(c.options.TurnTimeout, quietTimeout)
		case likelyComplete:
			timeout = min(c.options.TurnTimeout, quietLineTimeout)
		}
		if c.eof {
			return errClosedEarly
		}
		err := c.read(ctx, c.options.clock.Now().Add(timeout), timeout/8)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.match.giveUp()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// elapsed returns the time that has passed on the replay's clock.
func (c *client) elapsed() time.Duration { return c.options.clock.Now().Sub(c.start) }
