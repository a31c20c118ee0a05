package query

import (
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// WithGaps returns a function for Each that calls f with each record, and before
// it with a gap record for each stretch that no record accounts for. f does not see
// bytes twice: what an earlier record had is cut off, or the record left out.
func WithGaps(f func(*record.Record) error) func(*record.Record) error {
	tracker := dump.NewTracker(nil)
	return func(r *record.Record) error {
		had := r.Kind == record.KindData && r.Length > 0
		_, missing, _ := tracker.Add(r)
		for _, g := range missing {
			if g.Length == 0 {
				continue
			}
			if err := f(gapRecord(r, g)); err != nil {
				return err
			}
		}
		if had && r.Length == 0 {
			return nil // all of it was there before
		}
		return f(r)
	}
}

// gapRecord returns the record that a file would have for g, in front of r.
func gapRecord(r *record.Record, g record.Gap) *record.Record {
	return &record.Record{
		Kind: record.KindGap, Time: r.Time, Identity: r.Identity,
		Direction: g.Direction, Offset: g.Offset, Length: g.Length, Reason: g.Reason,
	}
}
