package reading

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
)

// longestWindow is how long a window may be open, with some time for records to pass.
const longestWindow = time.Hour + time.Minute

// Calls calls f with every call that is made of wanted records, as soon as it has ended.
// Those of which only a part was to be read are made of all: the times of the filter choose
// among calls by when they began, so that a call has the same number whatever the times, and
// a direction chooses nothing. The call is valid until f returns. Calls stops at the first
// error of f and returns it. The coverage is that of what was read and of what the index
// says of it; with an error only that of what was read.
func (q *Query) Calls(ctx context.Context, o calls.Options, f func(*calls.Call) error) (calls.Coverage, error) {
	whole, windows := q.whole()
	o.Since, o.Until = q.Options.Filter.Since, q.Options.Filter.Until
	if path, err := q.Locate(); err == nil && path != "-" && q.Options.Wait == nil {
		o.Topics = func() map[[16]byte]string { return whole.topics(ctx, o) }
	}
	station := calls.New(o, f)
	err := whole.Each(ctx, station.Add)
	q.Report.late(station.Late())
	// What was read before an error, or before the end of a query that waits, counts.
	if last := station.Finish(); err == nil || q.Options.Wait != nil && errors.Is(err, context.Canceled) {
		err = last
	}
	coverage := station.Coverage()
	if q.Options.Wait == nil && err == nil {
		coverage.AddIndexed(windows...)
	}
	return coverage, err
}

// topics returns the names of Kafka's topics, of all connections in the windows and times that q wants: the names are
// on other connections than the requests with the numbers. What cannot be read has none; the reading for the calls
// reports it.
func (q *Query) topics(ctx context.Context, o calls.Options) map[[16]byte]string {
	again := *q
	again.Report, again.Conns = Report{}, nil
	f := q.Options.Filter
	again.Options.Filter = dump.Filter{Window: f.Window, Since: f.Since, Until: f.Until}
	found := calls.NewTopicNames(o)
	if again.Each(ctx, found.Add) != nil {
		return nil
	}
	names, err := found.Names()
	if err != nil {
		return nil
	}
	return names
}

// whole returns a query for all of the connections whose calls q wants, and what the index
// says of the windows that q wants.
func (q *Query) whole() (*Query, []calls.Indexed) {
	all := *q
	wanted := &q.Options.Filter
	f := &all.Options.Filter
	f.Since, f.Until, f.Only = time.Time{}, time.Time{}, nil
	if path, err := q.Locate(); err != nil || path == "-" || !IsDir(path) {
		return &all, nil // the index is that of a directory
	}
	var windows []calls.Indexed
	index := *q
	index.Report, index.Conns = Report{}, nil
	err := index.Indexed(func(w Window) error {
		part := len(q.Conns) > 0 || wanted.Peer.IsValid() || wanted.PeerPort != 0 ||
			wanted.Port != "" && !(w.PortsLeftOut == 0 && slices.Equal(w.Ports, []string{wanted.Port}))
		windows = append(windows, calls.Indexed{
			Window: w.Window, Opened: w.Opened, Closed: w.Closed,
			Seen: w.Seen.In + w.Seen.Out, Lost: w.Lost.In + w.Lost.Out, Part: part,
		})
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		return &all, nil
	}
	// Those are a recorder's files: what is of a window is within the time of one.
	if !wanted.Since.IsZero() {
		f.Since = wanted.Since.Add(-longestWindow)
	}
	if !wanted.Until.IsZero() {
		f.Until = wanted.Until.Add(longestWindow)
	}
	return &all, windows
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
