package reading

import (
	"context"
	"fmt"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// Connections calls f with every connection in which records are wanted, once for
// each window, as soon as all of its records are read. It stops at the first error
// of f and returns it.
func (q *Query) Connections(ctx context.Context, f func(*dump.Connection) error) error {
	streams := dump.NewStreams(nil, f)
	err := q.Each(ctx, streams.Add)
	q.Report.late(streams.Late())
	// f is also called with what was read before an error.
	if last := streams.Finish(); err == nil {
		err = last
	}
	return err
}

// WithGaps returns a function for Each that calls f with each record, and before
// it with a gap record for each stretch that no record accounts for. f does not get
// bytes twice: what an earlier record had is cut off, or the record left out. end reports
// what was left out for another reason; call it after the last record.
func (q *Query) WithGaps(f func(*record.Record) error) (add func(*record.Record) error, end func()) {
	streams := dump.NewStreams(func(_ *dump.Connection, r *record.Record) error { return f(r) }, nil)
	return streams.Add, func() { q.Report.late(streams.Late()) }
}

// late reports bytes that came after later ones of their stream.
func (r *Report) late(n uint64) {
	if n > 0 && r.Remark != nil {
		r.Remark(fmt.Sprintf("%d bytes are left out, because they come after later ones of their stream: are the files of one dump, in their order?", n))
	}
}
