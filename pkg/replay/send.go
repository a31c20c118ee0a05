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

// send writes data. Where it is long the session reads meanwhile: a server may
// take the rest of a request only when it has been relieved of its answers.
func (s *session) send(ctx context.Context, data []byte) error {
	s.unanswered += len(data)
	if s.unanswered > inlineSend {
		return s.sendReading(ctx, data)
	}
	now := s.options.clock.Now()
	if timeout := s.options.TurnTimeout; s.writeDeadline.Before(now.Add(timeout)) {
		s.writeDeadline = now.Add(2 * timeout)
		if err := s.conn.SetWriteDeadline(s.writeDeadline); err != nil {
			return s.failure(ctx, "send", err)
		}
	}
	_, err := s.conn.Write(data)
	return s.sendFailure(ctx, err)
}

// sendReading writes data from a goroutine of its own and reads until that has
// ended.
func (s *session) sendReading(ctx context.Context, data []byte) error {
	if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
		return s.failure(ctx, "send", err)
	}
	written := make(chan error, 1)
	go func() { // ends with the write, which its deadlines or the connection's end bound
		err := s.writeAll(data)
		// Whoever waits for an answer is to hear of it now.
		if set := s.conn.SetReadDeadline(time.Unix(1, 0)); err == nil {
			err = set
		}
		written <- err
	}()
	var heard error
	for heard == nil && !s.eof && len(written) == 0 {
		heard = s.readOnce(ctx)
	}
	if heard != nil && !errors.Is(heard, os.ErrDeadlineExceeded) {
		s.conn.Close() // so that the write ends
	}
	err := <-written
	s.readDeadline, s.writeDeadline = time.Time{}, time.Time{}
	if heard != nil && !errors.Is(heard, os.ErrDeadlineExceeded) {
		return heard
	}
	return s.sendFailure(ctx, err)
}

// writeAll writes data, of which the server must take each chunk within the turn
// timeout. It may run beside a read.
func (s *session) writeAll(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), sendChunk)
		if err := s.conn.SetWriteDeadline(s.options.clock.Now().Add(s.options.TurnTimeout)); err != nil {
			return err
		}
		if _, err := s.conn.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (s *session) sendFailure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStalled
	default:
		return s.failure(ctx, "send", err)
	}
}
