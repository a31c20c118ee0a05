package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	readBuffer = 64 << 10
	// leaveTimeout is how long a client reads more than was recorded before it closes
	// the connection.
	leaveTimeout = 5 * time.Millisecond
	// overflow is how many bytes more than recorded a server may answer.
	overflow = 4 << 20
)

// connectError says that a server could not be reached.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// open connects and replays the session.
func (c *client) open(ctx context.Context, server *Server, p Protocol) error {
	conn, err := server.connect(ctx, p, c.options.ConnectTimeout)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &connectError{err}
	}
	c.conn = clock.Conn(conn, c.options.clock)
	defer c.conn.Close()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	c.buf = make([]byte, readBuffer)
	return c.run(ctx)
}

// read reads once, until a moment or up to slack later. It returns an error that is
// os.ErrDeadlineExceeded if nothing came. The slack saves setting a deadline for
// each read, which would last longer than many turns.
func (c *client) read(ctx context.Context, until time.Time, slack time.Duration) error {
	if c.readDeadline.Before(until) || c.readDeadline.After(until.Add(slack)) {
		c.readDeadline = until.Add(slack)
		if err := c.conn.SetReadDeadline(c.readDeadline); err != nil {
			return c.failure(ctx, "read", err)
		}
	}
	return c.readOnce(ctx)
}

// readOnce reads once, until the deadline that is set. At the end of the answers it
// sets eof and returns nil.
func (c *client) readOnce(ctx context.Context) error {
	n, err := c.conn.Read(c.buf)
	if n > 0 {
		c.unanswered = 0
		c.bytes.Add(record.Out, uint64(n))
		c.match.answer(replayed, c.buf[:n], c.elapsed())
		if fault := c.match.fault(); fault != nil {
			return fault
		}
		if c.bytes.Out > c.expected+overflow {
			return errFlood
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	c.eof = true
	c.match.end(replayed, c.elapsed())
	if errors.Is(err, io.EOF) {
		return nil
	}
	return c.failure(ctx, "read", err)
}

// leave ends the connection as a client does, and waits for the server to end it,
// too: a connection that is closed with unread bytes is reset, and the server may
// lose what it has not read itself. What comes after the last answer is compared.
// What the server answers to the end is not, no recorded client has received it.
func (c *client) leave(ctx context.Context) error {
	if c.eof || !c.session.facts.closed {
		return nil
	}
	err := c.read(ctx, c.options.clock.Now().Add(leaveTimeout), 0)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if !c.eof {
		c.drain()
	}
	return nil
}

// drain ends the sending and reads until the server has ended the connection, too.
// All answers have been received, so errors do not matter.
func (c *client) drain() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.conn.SetReadDeadline(c.options.clock.Now().Add(quietTimeout)) != nil {
		return
	}
	for budget := overflow; budget > 0; {
		n, err := c.conn.Read(c.buf)
		if err != nil {
			return
		}
		budget -= n
	}
}

// failure returns err with the operation, or ctx's error if that is the cause.
func (c *client) failure(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w", what, err)
}
