package dump_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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

func TestBytesPassedOnToTheNextProcessAreCounted(t *testing.T) {
	closed := func(reason record.CloseReason, out uint64) *record.Record {
		r := recordOf(record.KindClose, 0, 0, 0)
		r.Reason, r.Totals = string(reason), record.PerDirection{In: 5, Out: out}
		return r
	}
	for _, c := range []struct {
		name     string
		close    *record.Record
		passedOn uint64
		complete bool
	}{
		{"some", closed(record.CloseMoved, 4), 3, true},
		{"none", closed(record.CloseMoved, 7), 0, true},
		{"a hole at the end", closed(record.CloseMoved, 9), 0, false},
		{"another reason", closed(record.CloseLocal, 4), 0, false},
	} {
		var got *dump.Connection
		streams := dump.NewStreams(nil, func(c *dump.Connection) error { got = c; return nil })
		add(t, streams, recordOf(record.KindOpen, 0, 0, 0), recordOf(record.KindData, 0, 0, 5), recordOf(record.KindData, 1, 0, 7), c.close)
		if err := streams.Finish(); err != nil {
			t.Fatal(err)
		}
		if got.PassedOn() != c.passedOn || got.Complete() != c.complete {
			t.Errorf("%s: %d bytes were passed on, complete %t; want %d, %t", c.name, got.PassedOn(), got.Complete(), c.passedOn, c.complete)
		}
	}
}

func TestConnectionsAreCompleteWhenNothingIsMissing(t *testing.T) {
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
		{"recorded twice", []*record.Record{recordOf(data, 0, 0, 5), recordOf(data, 0, 0, 5), recordOf(data, 0, 3, 4), closed(7, 0)}, true, true, "[]"},
		{"no bytes at all", []*record.Record{begun(0, 0), closed(0, 0)}, true, true, "[]"},
		{"no bytes in the window", []*record.Record{opened, closed(5, 5)}, false, false, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got *dump.Connection
			streams := dump.NewStreams(nil, func(c *dump.Connection) error { got = c; return nil })
			add(t, streams, c.records...)
			if err := streams.Finish(); err != nil {
				t.Fatal(err)
			}
			if got.Complete() != c.complete || got.Began() != c.began || fmt.Sprint(got.Gaps) != c.gaps {
				t.Errorf("complete %t, began %t, gaps %v; want %t, %t, %s", got.Complete(), got.Began(), got.Gaps, c.complete, c.began, c.gaps)
			}
		})
	}
}

// add adds records to streams.
func add(t *testing.T, streams *dump.Streams, records ...*record.Record) {
	t.Helper()
	for _, r := range records {
		if err := streams.Add(r); err != nil {
			t.Fatal(err)
		}
	}
}

// textOf returns what an event says, with the first byte of data.
func textOf(r *record.Record) string {
	text := fmt.Sprint(r.Kind, " ", r.Direction, " ", r.Offset, "+", r.Length)
	if r.Kind == record.KindData && r.Length > 0 {
		text += fmt.Sprint(" ", len(r.Data), " ", r.Data[0])
	}
	return text + " " + r.Reason
}

func TestStreamsLeaveOutBytesThatCameBefore(t *testing.T) {
	var got []string
	streams := dump.NewStreams(func(_ *dump.Connection, r *record.Record) error {
		got = append(got, strings.TrimSpace(textOf(r)))
		return nil
	}, nil)
	again := recordOf(record.KindData, record.In, 12, 6)
	add(t, streams, recordOf(record.KindData, record.In, 10, 5), again)
	if again.Offset != 12 || again.Length != 6 || len(again.Data) != 6 {
		t.Errorf("the record that was added has become %s", textOf(again))
	}
	add(t, streams,
		recordOf(record.KindData, record.In, 11, 3), // all of it
		recordOf(record.KindGap, record.In, 17, 1),  // all of it
		recordOf(record.KindData, record.In, 20, 1),
		recordOf(record.KindGap, record.In, 20, 4))
	want := []string{"data in 10+5 5 10", "data in 15+3 3 15", "gap in 18+2 missing", "data in 20+1 1 20", "gap in 21+3 limit"}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
}

func TestStreamsHaveNoHolesAndNoOverlaps(t *testing.T) {
	for seed := range uint64(20) {
		events := dumptest.RandomEvents(seed, 10)
		rng := rand.New(rand.NewPCG(seed, 1))
		var next [2]map[string]uint64
		next[0], next[1] = map[string]uint64{}, map[string]uint64{}
		missing, done := 0, map[string]int{}
		streams := dump.NewStreams(func(c *dump.Connection, r *record.Record) error {
			if done[c.Conn] > 0 || c.Conn != r.Conn {
				t.Fatalf("an event of %s comes as one of %s, which is done %d times", r.Conn, c.Conn, done[c.Conn])
			}
			if r.Kind != record.KindData && r.Kind != record.KindGap {
				return nil
			}
			if r.Kind == record.KindData && uint64(len(r.Data)) != r.Length {
				t.Fatalf("%d bytes in %s", len(r.Data), textOf(r))
			}
			if n, known := next[r.Direction][r.Conn]; known && n != r.Offset {
				t.Fatalf("%s comes at %d", textOf(r), n)
			}
			if r.Reason == record.ReasonMissing {
				missing++
			}
			next[r.Direction][r.Conn] = r.Offset + r.Length
			return nil
		}, func(c *dump.Connection) error { done[c.Conn]++; return nil })
		for i := range events {
			r := events[i].Record
			switch rng.IntN(5) {
			case 0: // lost
				continue
			case 1: // recorded twice
				add(t, streams, &r)
			}
			add(t, streams, &r)
		}
		if err := streams.Finish(); err != nil {
			t.Fatal(err)
		}
		if missing == 0 || len(done) == 0 {
			t.Errorf("%d gaps that no record mentions, %d connections", missing, len(done))
		}
		for conn, n := range done {
			if n != 1 {
				t.Errorf("%s is done %d times", conn, n)
			}
		}
	}
}

func TestStreamsAreDoneWhenTheirWindowIsOver(t *testing.T) {
	var got []string
	streams := dump.NewStreams(nil, func(c *dump.Connection) error { got = append(got, c.Window[:1]+" "+c.Conn); return nil })
	data := func(window, conn string) {
		r := recordOf(record.KindData, record.In, 0, 1)
		r.Window, r.Conn = window, conn
		add(t, streams, r)
	}
	data(windowA, "k3v9qa-2")
	data(windowA, "other1-7") // another process records in a window of the same id
	data(windowA, "k3v9qa-1")
	if len(got) != 0 {
		t.Errorf("done early: %q", got)
	}
	data(windowB, "k3v9qa-1")
	if fmt.Sprint(got) != "[a k3v9qa-2 a k3v9qa-1]" {
		t.Errorf("after the next window began: %q", got)
	}
	if err := streams.Finish(); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got[2:]) != "[a other1-7 b k3v9qa-1]" {
		t.Errorf("at the end: %q", got[2:])
	}
}

func TestErrorsOfReceiversEndAdd(t *testing.T) {
	failed := errors.New("failed")
	r := recordOf(record.KindData, record.In, 0, 1)
	if err := dump.NewStreams(func(*dump.Connection, *record.Record) error { return failed }, nil).Add(r); !errors.Is(err, failed) {
		t.Errorf("error of an event: %v", err)
	}
	streams := dump.NewStreams(nil, func(*dump.Connection) error { return failed })
	add(t, streams, r)
	other := *r
	other.Window = windowB
	if err := streams.Add(&other); !errors.Is(err, failed) {
		t.Errorf("error of a window that is over: %v", err)
	}
	add(t, streams, &other)
	if err := streams.Finish(); !errors.Is(err, failed) {
		t.Errorf("error at the end: %v", err)
	}
}

func TestConnectionKeepsABoundedNumberOfGaps(t *testing.T) {
	var c *dump.Connection
	streams := dump.NewStreams(func(of *dump.Connection, _ *record.Record) error { c = of; return nil }, nil)
	const n = 10_000
	for i := range uint64(n) {
		add(t, streams, recordOf(record.KindGap, record.In, i*10, 1)) // a hole of nine after each
	}
	if len(c.Gaps)+c.MoreGaps != 2*n-1 || len(c.Gaps) > 5000 || c.Lost.In != (n-1)*10+1 {
		t.Errorf("%d gaps and %d more, %d bytes lost", len(c.Gaps), c.MoreGaps, c.Lost.In)
	}
}
