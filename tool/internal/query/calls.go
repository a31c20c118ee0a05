package query

import (
	"context"
	"errors"
	"io"

	"mosn.io/tcpcopy/pkg/calls"
)

// Calls calls f with every call that is made of wanted records, as soon as it has ended.
// The call is valid until f returns. Calls stops at the first error of f and returns it.
// The coverage is that of what was read, also with an error.
func (q *Query) Calls(ctx context.Context, o calls.Options, f func(*calls.Call) error) (calls.Coverage, error) {
	station := calls.New(o, f)
	err := q.Each(ctx, station.Add)
	q.Report.late(station.Late())
	// What was read before an error, or before the end of a query that waits, counts.
	if last := station.Finish(); err == nil || q.Options.Wait != nil && errors.Is(err, context.Canceled) {
		err = last
	}
	return station.Coverage(), err
}

// CallsOf does for the bytes of stream what Calls does for those of the path. Calls that have
// not ended are those of the end of the stream, or of ctx.
func (q *Query) CallsOf(ctx context.Context, stream io.Reader, o calls.Options, f func(*calls.Call) error) (calls.Coverage, error) {
	station := calls.New(o, f)
	err := q.EachOf(ctx, stream, station.Add)
	q.Report.late(station.Late())
	if last := station.Finish(); err == nil || errors.Is(err, context.Canceled) {
		err = last
	}
	return station.Coverage(), err
}
