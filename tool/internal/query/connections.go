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
	var failed error
	tracker := dump.NewTracker(func(c *dump.Connection) {
		if failed == nil {
			failed = f(c)
		}
	})
	err := q.Each(ctx, func(r *record.Record) error {
		tracker.Add(r)
		return failed
	})
	tracker.Finish()
	if err != nil {
		return err
	}
	return failed
}
