package dumptest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Event is one call of an Encoder, with the record that a decoder should return for it.
type Event struct {
	Flow   *record.Flow
	Record record.Record
}

// RandomEvents makes up the Events of n connections, interleaved. The same seed gives
// the same Events.
func RandomEvents(seed uint64, n int) []Event {
	rng := rand.New(rand.NewPCG(seed, 0))
	type connection struct {
		flow   *record.Flow
		next   record.PerDirection
		opened bool
	}
	var live []*connection
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
		c := &connection{flow: NewFlow(network, i+1, client, server)}
		if rng.IntN(2) == 0 {
			c.flow.FromStart = false
			c.next = record.PerDirection{In: rng.Uint64N(1 << 34), Out: rng.Uint64N(1 << 34)}
			c.flow.Next = c.next
		}
		live = append(live, c)
	}
	var events []Event
	now := Time - Time%1000 // hex_meta keeps microseconds
	add := func(c *connection, r record.Record) {
		now += int64(rng.IntN(2000)+1) * 1000
		r.Time = time.Unix(0, now)
		f := c.flow
		r.Identity = f.Identity
		events = append(events, Event{f, r})
	}
	reasons := []record.Reason{record.ReasonBufferFull, record.ReasonWriteError, record.ReasonLimit, record.ReasonGuard, record.ReasonDisk}
	ends := []string{"RemoteClose", "LocalClose", "OnReadErrClose", "OnWriteErrClose", "OnWriteTimeout"}
	for len(live) > 0 {
		i := rng.IntN(len(live))
		c := live[i]
		if !c.opened {
			c.opened = true
			add(c, record.Record{Kind: record.KindOpen, Start: c.flow.FromStart, Base: c.next, HasBase: true})
		}
		dir := record.Direction(rng.IntN(2))
		switch p := rng.IntN(20); {
		case p == 0:
			add(c, record.Record{Kind: record.KindClose, Reason: ends[rng.IntN(len(ends))], Totals: c.next})
			live = append(live[:i], live[i+1:]...)
		case p == 1:
			n := 1 + rng.Uint64N(1<<30)
			if rng.IntN(4) == 0 {
				n += 1 << 33 // more than sequence numbers can count
			}
			add(c, record.Record{Kind: record.KindGap, Direction: dir, Offset: c.next.Of(dir), Length: n, Reason: reasons[rng.IntN(len(reasons))].String()})
			c.next.Add(dir, n)
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
			add(c, record.Record{Kind: record.KindData, Direction: dir, Offset: c.next.Of(dir), Length: uint64(n), Data: data})
			c.next.Add(dir, uint64(n))
		}
	}
	return events
}

// Encode encodes events and returns the extended dst.
func Encode(dst []byte, encoder record.Encoder, events []Event) []byte {
	for _, e := range events {
		dst = encodeEvent(dst, encoder, e)
	}
	return dst
}

func encodeEvent(dst []byte, encoder record.Encoder, e Event) []byte {
	t, r := e.Record.Time.UnixNano(), e.Record
	switch r.Kind {
	case record.KindOpen:
		e.Flow.Next = r.Base
		return encoder.Open(dst, t, e.Flow)
	case record.KindData:
		return encoder.Data(dst, t, e.Flow, r.Direction, r.Offset, r.Data)
	case record.KindGap:
		var reason record.Reason
		for reason.String() != r.Reason {
			reason++
		}
		return encoder.Gap(dst, t, e.Flow, r.Direction, r.Offset, r.Length, reason)
	default:
		return encoder.Close(dst, t, e.Flow, record.CloseReason(r.Reason), r.Totals)
	}
}
