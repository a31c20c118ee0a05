package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

const (
	readBuffer = 64 << 10
	// settled is how long a server is silent whose answer, though it is not the
	// recorded one, seems to have come to its end.
	settled = 200 * time.Millisecond
	// settledLine is the same for one that ends with a line, as the recorded does.
	settledLine = 20 * time.Millisecond
	// lastWords is how long a replay listens for more than was recorded before it
	// closes the connection.
	lastWords = 5 * time.Millisecond
	// overflow is how many bytes more than recorded a server may answer.
	overflow = 4 << 20
)

// The ways in which a server ends a session.
var (
	errClosedEarly = errors.New("the server closed the connection early")
	errFlood       = fmt.Errorf("the server sent %d MiB more than was recorded", overflow>>20)
	errStalled     = errors.New("the server does not take what is sent")
)

// session replays one conversation to one server. It belongs to one goroutine.
type session struct {
	options *Options
	talk    *Conversation
	script  []event
	match   matcher
	raw     *byteMatcher // match, where it is one
	pings   *pingFilter  // of HTTP/2; nil for other protocols
	limiter *limiter
	start   time.Time // when the Recording's begin is on the replay's clock
	conn    net.Conn  // closed by the caller, at the latest when the context ends

	sent     int // pieces
	bytes    [2]uint64
	lateness Histogram
	progress *counters

	buf           []byte
	payload       []byte    // see payloads.read
	readDeadline  time.Time // that is set on conn
	writeDeadline time.Time // that is set on conn
	known         int       // events of the script whose answers are expected
	expected      uint64    // bytes of them
	unanswered    int       // bytes sent since something came
	eof           bool
}

// run replays the conversation until its end, an error or ctx's end.
func (s *session) run(ctx context.Context) error {
	s.raw, _ = s.match.(*byteMatcher)
	if len(s.script) > 0 && s.script[0].dir == record.Out { // the server speaks first
		if err := s.lookAhead(0); err != nil {
			return err
		}
	}
	for i := range s.script {
		e := &s.script[i]
		var err error
		switch {
		case e.dir == record.Out:
			err = s.hear(e)
		case !e.gap:
			err = s.await(ctx, time.Duration(e.at))
			if err == nil {
				err = s.ask(ctx, i)
			}
		}
		if err != nil {
			return errors.Join(err, s.hearRest(i+1))
		}
	}
	if s.talk.facts.server {
		s.match.end(recorded, s.talk.Start+s.talk.Length)
	}
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	return s.hangUp(ctx)
}

// lookAhead finds what was answered to the requests from script[i] on, up to the
// next ones.
func (s *session) lookAhead(i int) error {
	for i < len(s.script) && s.script[i].dir == record.In {
		i++
	}
	for ; i < len(s.script) && s.script[i].dir == record.Out; i++ {
		e := &s.script[i]
		s.expected += uint64(e.n)
		switch {
		case s.raw == nil:
		case e.gap:
			s.raw.expectGap(e.n, time.Duration(e.at))
		default:
			data, err := s.talk.payload(e, &s.payload)
			if err != nil {
				return err
			}
			s.raw.expect(data, e.pos >= 0, time.Duration(e.at))
		}
	}
	s.known = i
	return nil
}

// hear takes in what the recorded client received next.
func (s *session) hear(e *event) error {
	if s.raw != nil {
		s.raw.hear(e.n)
		return nil
	}
	data, err := s.talk.payload(e, &s.payload)
	if err != nil {
		return err
	}
	s.match.answer(recorded, data, time.Duration(e.at))
	return nil
}

// hearRest takes in what was recorded from script[i] on for the requests that were
// sent, of a session that ends early: it is still to be compared.
func (s *session) hearRest(i int) error {
	for ; i < s.known; i++ {
		if e := &s.script[i]; e.dir == record.Out {
			if err := s.hear(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// await waits until what was recorded at at is to be sent.
func (s *session) await(ctx context.Context, at time.Duration) error {
	if s.options.Mode == Turns {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
	}
	now := s.options.clock.Now()
	due := now
	if !s.options.unpaced() {
		due = s.start.Add(s.options.scaled(at))
	}
	for until := s.limiter.reserve(due, now); until.After(now) && !s.eof; now = s.options.clock.Now() {
		if err := s.read(ctx, until, 0); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	if s.eof {
		return errClosedEarly
	}
	if !s.options.unpaced() {
		s.lateness.Add(now.Sub(due))
	}
	return nil
}

// ask sends the piece of a request that script[i] is.
func (s *session) ask(ctx context.Context, i int) error {
	e := &s.script[i]
	data, err := s.talk.payload(e, &s.payload)
	if err != nil {
		return err
	}
	s.match.request(data, time.Duration(e.at), s.elapsed())
	if i >= s.known {
		if err := s.lookAhead(i); err != nil {
			return err
		}
		if data, err = s.talk.payload(e, &s.payload); err != nil { // the last one is overwritten
			return err
		}
	}
	for !s.match.mayAsk() && !s.eof {
		err := s.read(ctx, s.options.clock.Now().Add(s.options.TurnTimeout), 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errStalled
		}
		if err != nil {
			return err
		}
	}
	if s.pings != nil {
		data = s.pings.filter(data)
	}
	if err := s.send(ctx, data); err != nil {
		return err
	}
	s.sent++
	s.bytes[record.In] += uint64(len(data))
	s.progress.sent.Add(1)
	return nil
}

// catchUp reads until as much of the answers has come as the recorded client had
// received, or the server was silent for too long.
func (s *session) catchUp(ctx context.Context) error {
	for {
		var patience time.Duration
		switch s.match.progress() {
		case caughtUp:
			return nil
		case behind:
			patience = s.options.TurnTimeout + s.match.patience()
		case different, surplus:
			patience = min(s.options.TurnTimeout, settled)
		case seemsDone:
			patience = min(s.options.TurnTimeout, settledLine)
		}
		if s.eof {
			return errClosedEarly
		}
		err := s.read(ctx, s.options.clock.Now().Add(patience), patience/8)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.match.giveUp()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read takes in what comes until a moment, or up to slack later: setting a
// deadline for each read would take longer than many a turn.
func (s *session) read(ctx context.Context, until time.Time, slack time.Duration) error {
	if s.readDeadline.Before(until) || s.readDeadline.After(until.Add(slack)) {
		s.readDeadline = until.Add(slack)
		if err := s.conn.SetReadDeadline(s.readDeadline); err != nil {
			return s.failure(ctx, "read", err)
		}
	}
	return s.readOnce(ctx)
}

func (s *session) readOnce(ctx context.Context) error {
	n, err := s.conn.Read(s.buf)
	if n > 0 {
		s.unanswered = 0
		s.bytes[record.Out] += uint64(n)
		s.match.answer(replayed, s.buf[:n], s.elapsed())
		if fault := s.match.fault(); fault != nil {
			return fault
		}
		if s.bytes[record.Out] > s.expected+overflow {
			return errFlood
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	s.eof = true
	s.match.end(replayed, s.elapsed())
	if errors.Is(err, io.EOF) {
		return nil
	}
	return s.failure(ctx, "read", err)
}

// hangUp ends the connection as a client does, and lets the server come to its
// end: a connection that is closed with bytes unread is reset, and the server may
// lose what it has not read itself. What comes behind the last answer is taken in;
// what the server says on being left is not, no recorded client has heard it.
func (s *session) hangUp(ctx context.Context) error {
	if s.eof || !s.talk.facts.closed {
		return nil
	}
	err := s.read(ctx, s.options.clock.Now().Add(lastWords), 0)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if !s.eof {
		s.leave()
	}
	return nil
}

// leave ends the sending and reads until the server has ended, too. All that was to
// be heard has been heard, so errors do not matter.
func (s *session) leave() {
	half, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || s.conn.SetReadDeadline(s.options.clock.Now().Add(settled)) != nil {
		return
	}
	for budget := overflow; budget > 0; {
		n, err := s.conn.Read(s.buf)
		if err != nil {
			return
		}
		budget -= n
	}
}

// failure returns what an error of the connection means.
func (s *session) failure(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w", what, err)
}

// elapsed returns the time on the replay's clock.
func (s *session) elapsed() time.Duration { return s.options.clock.Now().Sub(s.start) }
