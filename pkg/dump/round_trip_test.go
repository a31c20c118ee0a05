package dump_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/record"
)

// equalRecords compares what a format keeps of events with what was read.
func equalRecords(t *testing.T, got []record.Record, events []dumptest.Event, keeps func(record.Record) record.Record) {
	t.Helper()
	if len(got) != len(events) {
		t.Errorf("%d records, want %d", len(got), len(events))
	}
	for i := range min(len(got), len(events)) {
		g, w := keeps(got[i]), keeps(events[i].Record)
		data := bytes.Equal(g.Data, w.Data)
		times := g.Time.Equal(w.Time)
		g.Data, w.Data, g.Time, w.Time = nil, nil, time.Time{}, time.Time{}
		if !data || !times || fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
			t.Fatalf("record %d is (bytes equal: %t, time equal: %t)\n%+v, want\n%+v", i, data, times, g, w)
		}
	}
}

func readAll(t *testing.T, file []byte) []record.Record {
	t.Helper()
	records, damage, err := readBytes(file)
	if err != nil || len(damage) > 0 {
		t.Fatalf("read: %v %v", err, damage)
	}
	return records
}

func readBytes(file []byte) ([]record.Record, []*record.DamageError, error) {
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: bytes.NewReader(file)})
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = d.Close() }()
	return dumptest.Collect(d)
}

func TestPcapngReadsBackEveryRecord(t *testing.T) {
	for seed := range uint64(20) {
		events := dumptest.RandomEvents(seed, 30)
		file, encoder := dumptest.NewFile()
		file = dumptest.Encode(file, encoder, events)
		// The opening of UDP comes with the first datagram.
		var want []dumptest.Event
		pending := map[string]dumptest.Event{}
		for _, e := range events {
			if e.Flow.Network == "udp" && e.Record.Kind == record.KindOpen {
				pending[e.Record.Conn] = e
				continue
			}
			if p, ok := pending[e.Record.Conn]; ok {
				delete(pending, e.Record.Conn)
				p.Record.Time = e.Record.Time
				want = append(want, p)
			}
			want = append(want, e)
		}
		equalRecords(t, readAll(t, file), want, func(r record.Record) record.Record { return r })
	}
}

func TestHexMetaReadsBackEveryRecord(t *testing.T) {
	for seed := range uint64(20) {
		events := dumptest.RandomEvents(seed, 30)
		file := dumptest.Encode(nil, hexlog.NewMetaEncoder(), events)
		equalRecords(t, readAll(t, file), events, func(r record.Record) record.Record {
			// The lines do not have these.
			r.Start, r.HasBase, r.Base, r.ListenerName = false, false, record.PerDirection{}, ""
			r.Network = ""
			return r
		})
	}
}

func TestHexReadsBackEveryByte(t *testing.T) {
	events := dumptest.RandomEvents(1, 3)
	var want []byte
	for _, e := range events {
		if e.Record.Port == "8080" {
			want = append(want, e.Record.Data...)
		}
	}
	file := dumptest.Encode(nil, hexlog.NewEncoder(), events)
	var got []byte
	for _, r := range readAll(t, file) {
		if !r.Legacy || r.Offset > 0 && r.Port == "8080" && r.Offset != uint64(len(got)) {
			t.Fatalf("legacy %t, offset %d, want %d", r.Legacy, r.Offset, len(got))
		}
		if r.Port == "8080" {
			got = append(got, r.Data...)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}
