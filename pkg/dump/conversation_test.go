package dump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// event is one call of an Encoder, with what a decoder is to make of it.
type event struct {
	flow *record.Flow
	rec  record.Record
}

// randomEvents makes up the events of n connections, interleaved.
func randomEvents(seed uint64, n int) []event {
	rng := rand.New(rand.NewPCG(seed, 0))
	type conversation struct {
		flow   *record.Flow
		next   [2]uint64
		opened bool
	}
	var live []*conversation
	for i := range n {
		client, server, network := fmt.Sprintf("10.0.%d.%d:%d", i/250, 1+i%250, 40000+i), "10.9.9.9:8080", "tcp"
		switch rng.IntN(5) {
		case 0:
			client, server = fmt.Sprintf("[2001:db8::%x]:50000", i+1), "[2001:db8:1::1]:8080"
		case 1:
			client, server, network = "@", "/run/my [app].sock", "unix"
		case 2:
			client = fmt.Sprintf("[::ffff:10.1.0.1]:%d", 30000+i)
		case 3:
			network, server = "udp", "10.9.9.9:5353"
		}
		c := &conversation{flow: newFlow(network, i+1, client, server)}
		if rng.IntN(2) == 0 {
			c.flow.FromStart = false
			c.next = [2]uint64{rng.Uint64N(1 << 34), rng.Uint64N(1 << 34)}
			c.flow.Next = record.PerDirection{In: c.next[0], Out: c.next[1]}
		}
		live = append(live, c)
	}
	var events []event
	now := testTime - testTime%1000 // hex_meta keeps microseconds
	add := func(c *conversation, r record.Record) {
		now += int64(rng.IntN(2000)+1) * 1000
		r.Time = time.Unix(0, now)
		f := c.flow
		r.Identity = record.Identity{Window: f.Window, Conn: f.Conn, Port: f.Port, Network: f.Network, Peer: f.Peer, Listener: f.Listener, ListenerName: f.ListenerName}
		events = append(events, event{f, r})
	}
	reasons := []record.Reason{record.ReasonBufferFull, record.ReasonWriteError, record.ReasonLimit, record.ReasonGuard, record.ReasonDisk}
	ends := []string{"RemoteClose", "LocalClose", "OnReadErrClose", "OnWriteErrClose", "OnWriteTimeout"}
	for len(live) > 0 {
		i := rng.IntN(len(live))
		c := live[i]
		if !c.opened {
			c.opened = true
			add(c, record.Record{Kind: record.KindOpen, Start: c.flow.FromStart, Base: record.PerDirection{In: c.next[0], Out: c.next[1]}, HasBase: true})
		}
		dir := record.Direction(rng.IntN(2))
		switch p := rng.IntN(20); {
		case p == 0:
			add(c, record.Record{Kind: record.KindClose, Reason: ends[rng.IntN(len(ends))], Totals: record.PerDirection{In: c.next[0], Out: c.next[1]}})
			live = append(live[:i], live[i+1:]...)
		case p == 1:
			n := 1 + rng.Uint64N(1<<30)
			if rng.IntN(4) == 0 {
				n += 1 << 33 // more than sequence numbers can tell
			}
			add(c, record.Record{Kind: record.KindGap, Direction: dir, Offset: c.next[dir], Length: n, Reason: reasons[rng.IntN(len(reasons))].String()})
			c.next[dir] += n
		default:
			n := 1 + rng.IntN(300)
			if p == 2 {
				n = rng.IntN(60000)
			}
			if p == 3 && c.flow.Network != "udp" {
				n = 100_000 + rng.IntN(100_000)
			}
			data := make([]byte, n, n+8)
			for i := 0; i < n; i += 8 {
				binary.LittleEndian.PutUint64(append(data[:i], make([]byte, 8)...)[i:i+8], rng.Uint64())
			}
			if n == 0 && c.flow.Network != "udp" {
				continue
			}
			add(c, record.Record{Kind: record.KindData, Direction: dir, Offset: c.next[dir], Length: uint64(n), Data: data})
			c.next[dir] += uint64(n)
		}
	}
	return events
}

// encode gives events to an encoder.
func encode(dst []byte, encoder record.Encoder, events []event) []byte {
	for _, e := range events {
		dst = encodeEvent(dst, encoder, e)
	}
	return dst
}

func encodeEvent(dst []byte, encoder record.Encoder, e event) []byte {
	t, r := e.rec.Time.UnixNano(), e.rec
	switch r.Kind {
	case record.KindOpen:
		e.flow.Next = r.Base
		return encoder.Open(dst, t, e.flow)
	case record.KindData:
		return encoder.Data(dst, t, e.flow, r.Direction, r.Offset, r.Data)
	case record.KindGap:
		var reason record.Reason
		for reason.String() != r.Reason {
			reason++
		}
		return encoder.Gap(dst, t, e.flow, r.Direction, r.Offset, r.Length, reason)
	default:
		return encoder.Close(dst, t, e.flow, record.CloseReason(r.Reason), record.PerDirection{In: r.Totals.In, Out: r.Totals.Out})
	}
}

// collect reads all records and damage. Pieces of one record are joined again.
func collect(r dump.Reader) (records []record.Record, damage []*record.DamageError, err error) {
	for {
		rec, err := r.Next()
		var d *record.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return records, damage, nil
		case errors.As(err, &d):
			damage = append(damage, d)
		case err != nil:
			return records, damage, err
		default:
			records = appendJoined(records, *rec)
		}
	}
}

func appendJoined(records []record.Record, r record.Record) []record.Record {
	r.Data = bytes.Clone(r.Data)
	if n := len(records); n > 0 && r.Kind == record.KindData && r.Network != "udp" {
		last := &records[n-1]
		if last.Kind == r.Kind && last.Conn == r.Conn && last.Time.Equal(r.Time) && last.Direction == r.Direction && last.Offset+last.Length == r.Offset {
			last.Data = append(last.Data, r.Data...)
			last.Length += r.Length
			return records
		}
	}
	return append(records, r)
}

// equalRecords compares what a format keeps of events with what was read.
func equalRecords(t *testing.T, got []record.Record, events []event, keeps func(record.Record) record.Record) {
	t.Helper()
	if len(got) != len(events) {
		t.Errorf("%d records, want %d", len(got), len(events))
	}
	for i := range min(len(got), len(events)) {
		g, w := keeps(got[i]), keeps(events[i].rec)
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
	return collect(d)
}

func TestRoundTripPcapng(t *testing.T) {
	for seed := range uint64(20) {
		events := randomEvents(seed, 30)
		file, encoder := newCapture()
		file = encode(file, encoder, events)
		// UDP tells of its opening with the first datagram.
		var want []event
		pending := map[string]event{}
		for _, e := range events {
			if e.flow.Network == "udp" && e.rec.Kind == record.KindOpen {
				pending[e.rec.Conn] = e
				continue
			}
			if p, ok := pending[e.rec.Conn]; ok {
				delete(pending, e.rec.Conn)
				p.rec.Time = e.rec.Time
				want = append(want, p)
			}
			want = append(want, e)
		}
		equalRecords(t, readAll(t, file), want, func(r record.Record) record.Record { return r })
	}
}

func TestRoundTripHexMeta(t *testing.T) {
	for seed := range uint64(20) {
		events := randomEvents(seed, 30)
		file := encode(nil, dump.NewHexMeta(), events)
		equalRecords(t, readAll(t, file), events, func(r record.Record) record.Record {
			// What the lines do not tell.
			r.Start, r.HasBase, r.Base, r.ListenerName = false, false, record.PerDirection{}, ""
			r.Network = ""
			return r
		})
	}
}

func TestRoundTripHex(t *testing.T) {
	events := randomEvents(1, 3)
	var want []byte
	for _, e := range events {
		if e.rec.Port == "8080" {
			want = append(want, e.rec.Data...)
		}
	}
	file := encode(nil, dump.NewHex(), events)
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

func TestExportKeepsEverything(t *testing.T) {
	for seed := range uint64(3) {
		events := randomEvents(seed, 20)
		file, encoder := newCapture()
		file = encode(file, encoder, events)
		first := readAll(t, file)
		var copied bytes.Buffer
		e := dump.NewExporter(&copied, "test")
		for i := range first {
			if err := e.Write(&first[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		packets(t, copied.Bytes())
		second := readAll(t, copied.Bytes())
		if len(first) != len(second) {
			t.Fatalf("%d records of %d", len(second), len(first))
		}
		count := map[string]int{}
		for i := range first {
			count[keyOf(first[i])]++
			count[keyOf(second[i])]--
		}
		for r, n := range count {
			if n != 0 {
				t.Fatalf("%d times more before than after: %.300s", n, r)
			}
		}
	}
}

// keyOf returns all of a record as text.
func keyOf(r record.Record) string {
	data := string(r.Data)
	r.Data = nil
	return fmt.Sprintf("%+v ", r) + data
}
