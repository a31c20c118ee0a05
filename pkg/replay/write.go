package replay

import (
	"context"
	"errors"
	"os"
	"time"
)

const (
	// inlineSend is how many bytes a connection buffers in any case, though the
	// server has not read any.
	inlineSend = 4 << 10
	sendChunk  = 64 << 10
)

// write writes data. Where it is long the client reads meanwhile: a server may read
// the rest of a request only after its answers have been read.
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

// writeReading writes data from a goroutine of its own, reads meanwhile, and waits
// for the goroutine.
func (c *client) writeReading(ctx context.Context, data []byte) error {
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return c.failure(ctx, "send", err)
	}
	written := make(chan error, 1)
	go func() { // ends with the write: deadlines bound it, and closing conn ends it
		err := c.writeAll(data)
		// Ends the read that is under way.
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

// writeAll writes data in chunks. It returns an error that is
// os.ErrDeadlineExceeded if a chunk takes longer than the turn timeout. A read may
// run beside it.
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

// writeFailure returns the error of a session that ends with err, the error of a
// write.
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
