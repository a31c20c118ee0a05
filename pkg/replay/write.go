package replay

import (
	"context"
	"errors"
	"os"
	"time"
)

const (
	// inlineSend is how many bytes a connection takes in any case, though the
	// server has not read what came before.
	inlineSend = 4 << 10
	sendChunk  = 64 << 10
)

// write writes data. Where it is long the session reads meanwhile: a server may
// take the rest of a request only when it has been relieved of its answers.
func (c *client) write(ctx context.Context, data []byte) error {
	c.unanswered += len(data)
	if c.unanswered > inlineSend {
		return c.writeReading(ctx, data)
	}
	now := c.options.clock.Now()
	if timeout := c.options.TurnTimeout; c.writeDeadline.Before(now.Add(timeout)) {
		c.writeDeadline = now.Add(2 * timeout)
		if err := c.conn.SetWriteDeadline(c.writeDeadline); err != nil {
			return c.failure(ctx, "send", err)
		}
	}
	_, err := c.conn.Write(data)
	return c.writeFailure(ctx, err)
}

// writeReading writes data from a goroutine of its own and reads until that has
// ended.
func (c *client) writeReading(ctx context.Context, data []byte) error {
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return c.failure(ctx, "send", err)
	}
	written := make(chan error, 1)
	go func() { // ends with the write, which its deadlines or the connection's end bound
		err := c.writeAll(data)
		// Whoever waits for an answer is to hear of it now.
		if set := c.conn.SetReadDeadline(time.Unix(1, 0)); err == nil {
			err = set
		}
		written <- err
	}()
	var received error
	for received == nil && !c.eof && len(written) == 0 {
		received = c.readOnce(ctx)
	}
	if received != nil && !errors.Is(received, os.ErrDeadlineExceeded) {
		c.conn.Close() // so that the write ends
	}
	err := <-written
	c.readDeadline, c.writeDeadline = time.Time{}, time.Time{}
	if received != nil && !errors.Is(received, os.ErrDeadlineExceeded) {
		return received
	}
	return c.writeFailure(ctx, err)
}

// writeAll writes data, of which the server must take each chunk within the turn
// timeout. It may run beside a read.
func (c *client) writeAll(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), sendChunk)
		if err := c.conn.SetWriteDeadline(c.options.clock.Now().Add(c.options.TurnTimeout)); err != nil {
			return err
		}
		if _, err := c.conn.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (c *client) writeFailure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStalled
	default:
		return c.failure(ctx, "send", err)
	}
}
