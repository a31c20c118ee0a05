package buffer

import (
	"fmt"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// newShard returns a shard of two batches of 16 KiB in plain memory.
func newShard(t *testing.T) *Shard {
	t.Helper()
	h := SpoolHeader{Workers: 1, Batch: 16 << 10, Batches: 2, Sessions: 1}
	spool, _, err := NewSpool("", nil, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(spool.Remove)
	sh := NewShards(Geometry{Shards: 1, Batches: 2, Batch: h.Batch, Record: 8 << 10, Piece: 8 << 10}, spool, time.Now())[0]
	sh.Begin()
	return sh
}

// readAll reads what a reader has, and returns it entry by entry.
func readAll(r *Reader) (all []string) {
	for b := r.Next(); b != nil; b = r.Next() {
		var e Entry
		for at := b.Start(); at < b.Len(); {
			at, _ = b.Entry(at, &e)
			switch e.Kind {
			case KindHeader:
				all = append(all, fmt.Sprintf("header %d %d", e.Base().In, e.Base().Out))
			case KindData:
				all = append(all, fmt.Sprintf("data %v %d+%d", e.Dir, e.Offset, len(e.Payload)))
			case KindGap:
				all = append(all, fmt.Sprintf("gap %v %d+%d %v", e.Dir, e.Offset, e.Length(), e.Reason))
			case KindClose:
				all = append(all, fmt.Sprintf("close %d %d", e.CloseEvent().Totals.In, e.CloseEvent().Totals.Out))
			}
		}
		r.Done()
	}
	return all
}

func expectEntries(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s has %q, want %q", what, got, want)
	}
}

// A shard that hands over has what was offered before, its gaps and close events included,
// and the next one goes on at the right offsets, whichever of the two is asked.
func TestAShardHandsOver(t *testing.T) {
	former, next := newShard(t), newShard(t)
	a, b := former.NewReader(0), next.NewReader(0)
	newConn := func(id uint64) *Conn {
		return &Conn{ID: id, Describe: func() record.Endpoint {
			return record.Endpoint{Identity: record.Identity{Conn: fmt.Sprint(id), Network: "tcp"}}
		}}
	}
	say := func(sh *Shard, c *Conn, dir record.Direction, before record.PerDirection, n int) {
		sh.Data(c, dir, before, [][]byte{make([]byte, n)}, n)
	}
	c, gone, late := newConn(1), newConn(2), newConn(3)
	say(former, c, record.In, record.PerDirection{In: 100, Out: 7}, 8000)
	say(former, gone, record.In, record.PerDirection{}, 10)
	for range 3 { // until nothing fits
		say(former, c, record.In, record.PerDirection{}, 8000)
	}
	former.End(gone, "RemoteClose", record.PerDirection{In: 10}) // waits for room
	if gapped, unclosed, _ := former.Waiting(); gapped != 1 || unclosed != 1 {
		t.Fatalf("%d connections with a gap, %d close events wait", gapped, unclosed)
	}
	former.HandOver(next)
	// A goroutine has found the former in the gate, and comes later.
	say(former, c, record.In, record.PerDirection{In: 1, Out: 1}, 50)
	say(next, c, record.In, record.PerDirection{In: 2, Out: 2}, 60)
	say(next, c, record.Out, record.PerDirection{In: 3, Out: 9}, 5)
	former.Skip(c, record.Out, record.PerDirection{}, 4, record.ReasonUnseen)
	say(former, late, record.In, record.PerDirection{In: 1000}, 1)
	former.End(c, "RemoteClose", record.PerDirection{In: 32210, Out: 18})
	former.EndAll(record.CloseMoved)
	a.End()

	got := readAll(a)
	former.WritePending()
	a.end = nil // as a reader of the window itself
	got = append(got, readAll(a)...)
	var kept, lost uint64
	for _, e := range got {
		var offset, n uint64
		if k, _ := fmt.Sscanf(e, "data in %d+%d", &offset, &n); k == 2 && n != 10 {
			kept += n
		}
		if k, _ := fmt.Sscanf(e, "gap in %d+%d buffer_full", &offset, &n); k == 2 {
			lost += n
			if offset != 100+kept {
				t.Errorf("the gap is at %d, want %d", offset, 100+kept)
			}
		}
	}
	if kept+lost != 32000 || lost == 0 || kept == 0 {
		t.Errorf("the former has %d and lost %d: %q", kept, lost, got)
	}
	expectEntries(t, "the next", readAll(b),
		"header 32100 7", "data in 32100+50", "data in 32150+60", "data out 9+5",
		"header 1000 0", "data in 1000+1",
		"gap out 14+4 unseen", "close 32210 18", "close 1001 0")
	if former.pending != (Tally{}) || len(former.gapped)+len(former.unclosed) > 0 {
		t.Errorf("the former has %+v left", former.pending)
	}
	var sum Tally
	b.Unread(&sum)
	if sum != (Tally{}) {
		t.Errorf("the next one has %+v unread", sum)
	}
}
