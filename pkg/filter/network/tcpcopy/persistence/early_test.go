package persistence

import (
	"errors"
	"io"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// Where a worker has fallen behind, gaps are encoded before the data of their batch: each
// connection's bytes and gaps keep their order.
func TestAWorkerThatHasFallenBehindIsExact(t *testing.T) {
	r := newHarness(t, func(c *Config) {
		c.Formats, c.BufferSize, c.Workers = []Format{FormatPcapng}, 1<<20, 1
	}, nil)
	s := r.open(1)
	var peers []*peer
	for i := range 20 {
		peers = append(peers, newPeer(r.run, i+1))
	}
	for round := range 4 {
		tx, err := s.segments.Begin() // nobody else writes meanwhile
		if err != nil {
			t.Fatal(err)
		}
		for k := range 40 {
			for i, p := range peers {
				p.say(s, record.Direction((i+k)%2), make([]byte, 1+(i*977+k*131)%5000))
			}
		}
		tx.End()
		if round%2 == 0 {
			awaitWritten(t, s)
		}
		newcomer := newPeer(r.run, 100+round)
		peers[round].hangUp(s)
		peers[round] = newcomer
	}
	awaitWritten(t, s)
	early := s.pipelines[0].outputs[0].batches // the worker rests
	s.Close(time.Now())
	if early == 0 {
		t.Error("no entry was encoded before its turn")
	}
	w := r.indexed(1)
	if w.LostBy["buffer_full"] == 0 {
		t.Errorf("nothing found no room: %+v", w)
	}
	d, err := dump.Open([]string{r.dir}, dump.Options{Format: dump.FormatPcapng})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	type stream struct {
		conn string
		dir  record.Direction
	}
	next := map[stream]uint64{}
	var written, lost uint64
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind != record.KindData && rec.Kind != record.KindGap {
			continue
		}
		key := stream{rec.Conn, rec.Direction}
		if rec.Offset != next[key] {
			t.Fatalf("%s %v: a record at %d, %d was expected", rec.Conn, rec.Direction, rec.Offset, next[key])
		}
		next[key] += rec.Length
		if rec.Kind == record.KindGap {
			lost += rec.Length
		} else {
			written += rec.Length
		}
	}
	if written != w.Written.In+w.Written.Out || lost != w.Lost.In+w.Lost.Out || len(next) != 2*w.Connections {
		t.Errorf("the segments of %d streams have %d bytes and gaps of %d, the index %+v", len(next), written, lost, w)
	}
}
