package dump_test

import (
	"fmt"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// recordOf returns a record of connection k3v9qa-1 in windowA.
func recordOf(kind record.Kind, dir record.Direction, offset, length uint64) *record.Record {
	r := &record.Record{
		Kind: kind, Time: time.Unix(0, dumptest.Time), Identity: record.Identity{Window: windowA, Conn: "k3v9qa-1"},
		Direction: dir, Offset: offset, Length: length,
	}
	if kind == record.KindData {
		r.Data = make([]byte, length)
		for i := range r.Data {
			r.Data[i] = byte(offset) + byte(i)
		}
	}
	if kind == record.KindGap {
		r.Reason = "limit"
	}
	return r
}

func TestConnectionComplete(t *testing.T) {
	data, gap := record.KindData, record.KindGap
	closed := func(in, out uint64) *record.Record {
		r := recordOf(record.KindClose, 0, 0, 0)
		r.Totals = record.PerDirection{In: in, Out: out}
		return r
	}
	opened := recordOf(record.KindOpen, 0, 0, 0)
	begun := func(in, out uint64) *record.Record {
		r := recordOf(record.KindOpen, 0, 0, 0)
		r.HasBase, r.Base, r.Start = true, record.PerDirection{In: in, Out: out}, in == 0 && out == 0
		return r
	}
	for _, c := range []struct {
		name     string
		records  []*record.Record
		complete bool
		began    bool
		gaps     string
	}{
		{"both directions", []*record.Record{opened, recordOf(data, 0, 0, 5), recordOf(data, 1, 0, 7), closed(5, 7)}, true, true, "[]"},
		{"requests alone", []*record.Record{opened, recordOf(data, 0, 0, 5), closed(5, 700)}, true, true, "[]"},
		{"no end", []*record.Record{opened, recordOf(data, 0, 0, 5)}, false, true, "[]"},
		{"began before", []*record.Record{opened, recordOf(data, 0, 9, 5), closed(14, 0)}, false, false, "[]"},
		{"began before, says the file", []*record.Record{begun(9, 0), recordOf(data, 0, 9, 5), closed(14, 0)}, false, false, "[]"},
		{"gap", []*record.Record{opened, recordOf(gap, 0, 0, 5), recordOf(data, 0, 5, 1), closed(6, 0)}, false, true, "[{in 0 5 limit}]"},
		{"gaps that touch are one", []*record.Record{recordOf(gap, 1, 0, 5), recordOf(gap, 1, 5, 2), closed(0, 7)}, false, true, "[{out 0 7 limit}]"},
		{"hole", []*record.Record{recordOf(data, 0, 0, 5), recordOf(data, 0, 9, 1), closed(10, 0)}, false, true, "[{in 5 4 missing}]"},
		{"hole at the beginning", []*record.Record{begun(0, 0), recordOf(data, 0, 4, 1), closed(5, 0)}, false, true, "[{in 0 4 missing}]"},
		{"hole at the end", []*record.Record{recordOf(data, 0, 0, 5), closed(7, 0)}, false, true, "[{in 5 2 missing}]"},
		{"said twice", []*record.Record{recordOf(data, 0, 0, 5), recordOf(data, 0, 0, 5), recordOf(data, 0, 3, 4), closed(7, 0)}, true, true, "[]"},
		{"no bytes at all", []*record.Record{begun(0, 0), closed(0, 0)}, true, true, "[]"},
		{"no bytes in the window", []*record.Record{opened, closed(5, 5)}, false, false, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got *dump.Connection
			tracker := dump.NewTracker(func(c *dump.Connection) { got = c })
			for _, r := range c.records {
				copied := *r
				tracker.Add(&copied)
			}
			tracker.Finish()
			if got.Complete() != c.complete || got.Began() != c.began || fmt.Sprint(got.Gaps) != c.gaps {
				t.Errorf("complete %t, began %t, gaps %v; want %t, %t, %s", got.Complete(), got.Began(), got.Gaps, c.complete, c.began, c.gaps)
			}
		})
	}
}

func TestTrackerCutsWhatWasThere(t *testing.T) {
	tracker := dump.NewTracker(nil)
	tracker.Add(recordOf(record.KindData, record.In, 10, 5))
	again := recordOf(record.KindData, record.In, 12, 6)
	_, missing, first := tracker.Add(again)
	if first || missing[0].Length != 0 || again.Offset != 15 || again.Length != 3 || len(again.Data) != 3 || again.Data[0] != 15 {
		t.Errorf("left of the record: offset %d, length %d, data %v", again.Offset, again.Length, again.Data)
	}
	_, missing, _ = tracker.Add(recordOf(record.KindData, record.In, 20, 1))
	if want := (record.Gap{Direction: record.In, Offset: 18, Length: 2, Reason: record.ReasonMissing}); missing[record.In] != want {
		t.Errorf("missing %v, want %v", missing[record.In], want)
	}
}

func TestTrackerHandsOutWindowsThatAreOver(t *testing.T) {
	var got []string
	tracker := dump.NewTracker(func(c *dump.Connection) { got = append(got, c.Window[:1]+" "+c.Conn) })
	add := func(window, conn string) {
		r := recordOf(record.KindData, record.In, 0, 1)
		r.Window, r.Conn = window, conn
		tracker.Add(r)
	}
	add(windowA, "k3v9qa-2")
	add(windowA, "other1-7") // another process records in a window of the same id
	add(windowA, "k3v9qa-1")
	if len(got) != 0 {
		t.Errorf("handed out early: %q", got)
	}
	add(windowB, "k3v9qa-1")
	if fmt.Sprint(got) != "[a k3v9qa-2 a k3v9qa-1]" {
		t.Errorf("after the next window began: %q", got)
	}
	tracker.Finish()
	if fmt.Sprint(got[2:]) != "[a other1-7 b k3v9qa-1]" {
		t.Errorf("at the end: %q", got[2:])
	}
}

func TestConnectionKeepsABoundedNumberOfGaps(t *testing.T) {
	tracker := dump.NewTracker(nil)
	var c *dump.Connection
	const n = 10_000
	for i := range uint64(n) {
		c, _, _ = tracker.Add(recordOf(record.KindGap, record.In, i*10, 1)) // a hole of nine behind each
	}
	if len(c.Gaps)+c.MoreGaps != 2*n-1 || len(c.Gaps) > 5000 || c.Lost.In != (n-1)*10+1 {
		t.Errorf("%d gaps and %d more, %d bytes lost", len(c.Gaps), c.MoreGaps, c.Lost.In)
	}
}
