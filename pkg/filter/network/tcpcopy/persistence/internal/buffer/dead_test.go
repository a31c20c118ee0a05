package buffer

import (
	"encoding/binary"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// sampleBatch returns a batch with a connection header, data, a gap and a close event.
func sampleBatch() *Batch {
	b := &Batch{mem: make([]byte, 1<<10), state: &BatchState{}}
	event := func(h Header, payload []byte) {
		b.event(&h, len(payload), func(p []byte) { copy(p, payload) })
	}
	header := appendEndpoint(make([]byte, 8), record.Endpoint{Identity: record.Identity{Conn: "k3v9qa-1", Port: "80", Network: "tcp", Peer: "a", Listener: "b"}})
	event(Header{Kind: KindHeader}, header)
	b.data(&Header{Kind: KindData, Time: 1}, 5, margins{68, 19}, [][]byte{[]byte("he"), []byte("llo")})
	event(Header{Kind: KindGap, Offset: 5}, binary.LittleEndian.AppendUint64(nil, 7))
	event(Header{Kind: KindClose, Time: 2}, append(make([]byte, 16), "RemoteClose"...))
	return b
}

// wholeEntries returns how many bytes of b's entries a recovery accepts.
func (b *Batch) wholeEntries() int {
	c := entryCheck{named: map[uint32]bool{}, most: 1 << 20, room: len(b.mem) - b.n}
	return c.wholeEntries(b, 0)
}

func TestWholeEntriesStopsAtDamage(t *testing.T) {
	b := sampleBatch()
	whole := b.n
	if n := b.wholeEntries(); n != whole || b.LastTime() != 2 {
		t.Errorf("%d of %d bytes are whole entries, the last at %d", n, whole, b.LastTime())
	}
	for cut := range whole {
		b.n = cut
		if n := b.wholeEntries(); n > cut {
			t.Errorf("%d of %d bytes are whole entries", n, cut)
		}
	}
	// After its end a connection has nothing, unless it has another header.
	b.n = whole
	b.data(&Header{Kind: KindData, Time: 3}, 5, margins{}, [][]byte{[]byte("again")})
	if n := b.wholeEntries(); n != whole {
		t.Errorf("%d bytes are whole entries, want %d", n, whole)
	}
}

// What a spool holds comes from outside: a recovery encodes what wholeEntries
// lets pass, and must not fail on it.
func FuzzSpool(f *testing.F) {
	sample := sampleBatch()
	f.Add(sample.mem, sample.n)
	f.Add(sample.mem, 100)
	f.Add(sample.mem[512:], sample.n)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, mem []byte, used int) {
		b := &Batch{mem: mem, n: max(0, min(used, len(mem)))}
		n := b.wholeEntries()
		if n < 0 || n > b.n {
			t.Fatalf("%d of %d bytes are whole", n, b.n)
		}
		b.n = n
		flows := map[uint32]*record.Flow{}
		encoder, text := hexlog.NewMetaEncoder(), []byte(nil)
		packets := pcapng.NewEncoder()
		var e Entry
		for at := 0; at < n; {
			next, ok := b.Entry(at, &e)
			if !ok {
				t.Fatal("a whole entry cannot be read")
			}
			at = next
			switch e.Kind {
			case KindHeader:
				flow := &record.Flow{}
				e.Endpoint(&flow.Endpoint)
				flows[e.Slot] = flow
				_ = packets.Open(nil, e.Time, flow)
			case KindData:
				packets.FrameInPlace(e.Block, e.Time, flows[e.Slot], e.Dir, e.Offset, len(e.Payload), e.Sum, e.Flags&FlagMore != 0)
				text = encoder.Data(text[:0], e.Time, flows[e.Slot], e.Dir, e.Offset, e.Payload)
			case KindGap:
				text = encoder.Gap(text[:0], e.Time, flows[e.Slot], e.Dir, e.Offset, e.Length(), e.Reason)
			case KindClose:
				c := e.CloseEvent()
				text = encoder.Close(text[:0], e.Time, flows[e.Slot], c.Reason, c.Totals)
				delete(flows, e.Slot)
			}
		}
	})
}
