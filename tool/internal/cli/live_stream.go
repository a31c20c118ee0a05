package cli

import (
	"errors"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// liveStream is a recorder's stream. It ends in order when the recorder ends it, however
// that happens. It belongs to one goroutine.
type liveStream struct {
	r     io.Reader
	ended bool
	cut   bool // the last record is not whole
}

func (s *liveStream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil {
		s.ended = true
		err = io.EOF // a proxy that is killed ends it otherwise
	}
	return n, err
}

// damage returns a function that reports damage with report, but not the record that is cut
// off where the stream has ended.
func (s *liveStream) damage(report func(*record.DamageError)) func(*record.DamageError) {
	return func(e *record.DamageError) {
		if s.ended && errors.Is(e, record.ErrTruncated) {
			s.cut = true
			return
		}
		report(e)
	}
}

// farewell says how the stream has ended.
func (s *liveStream) farewell() string {
	if s.cut {
		return "the proxy has ended the stream, in the middle of a record"
	}
	return "the proxy has ended the stream"
}
