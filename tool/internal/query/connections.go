package query

import (
	"context"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// Connections calls f with every connection in which records are wanted, once for
// each window, as soon as all of its records are read. It stops at the first error
// of f and returns it.
func (q *Query) Connections(ctx context.Context, f func(*dump.Connection) error) error {
	streams := dump.NewStreams(nil, f)
	err := q.Each(ctx, streams.Add)
	// f is also called with what was read before an error.
	if last := streams.Finish(); err == nil {
		err = last
	}
	return err
}

// WithGaps returns a function for Each that calls f with each record, and before
// it with a gap record for each stretch that no record accounts for. f does not get
// bytes twice: what an earlier record had is cut off, or the record left out.
func WithGaps(f func(*record.Record) error) func(*record.Record) error {
	return dump.NewStreams(func(_ *dump.Connection, r *record.Record) error { return f(r) }, nil).Add
}
