package persistence

import (
	"encoding/binary"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// sampleBatch returns a batch with an intro, data, a gap and an end.
func sampleBatch() *batch {
	b := &batch{mem: make([]byte, 1<<10), state: &batchState{}}
	event := func(h header, payload []byte) {
		b.event(&h, len(payload), func(p []byte) { copy(p, payload) })
	}
	intro := appendEndpoint(make([]byte, 8), record.Endpoint{Identity: record.Identity{Conn: "k3v9qa-1", Port: "80", Network: "tcp", Peer: "a", Listener: "b"}})
	event(header{kind: kindIntro}, intro)
	b.bytes(&header{kind: kindData, time: 1}, 5, room{68, 19}, [][]byte{[]byte("he"), []byte("llo")})
	event(header{kind: kindGap, offset: 5}, binary.LittleEndian.AppendUint64(nil, 7))
	event(header{kind: kindClose, time: 2}, append(make([]byte, 16), "RemoteClose"...))
	return b
}

func TestWholeEntriesStopsAtDamage(t *testing.T) {
	b := sampleBatch()
	whole := b.n
	if n, last := b.wholeEntries(); n != whole || last != 2 {
		t.Errorf("%d of %d bytes are whole entries, the last at %d", n, whole, last)
	}
	for cut := range whole {
		b.n = cut
		if n, _ := b.wholeEntries(); n > cut {
			t.Errorf("%d of %d bytes are whole entries", n, cut)
		}
	}
	// After its end a connection has nothing, unless it is introduced again.
	b.n = whole
	b.bytes(&header{kind: kindData, time: 3}, 5, room{}, [][]byte{[]byte("again")})
	if n, _ := b.wholeEntries(); n != whole {
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
		b := &batch{mem: mem, n: max(0, min(used, len(mem)))}
		n, _ := b.wholeEntries()
		if n < 0 || n > b.n {
			t.Fatalf("%d of %d bytes are whole", n, b.n)
		}
		b.n = n
		flows := map[uint32]*record.Flow{}
		encoder, text := hexlog.NewMetaEncoder(), []byte(nil)
		packets := pcapng.NewEncoder(func(*record.Flow) uint32 { return 0 })
		var e entry
		for at := 0; at < n; {
			next, ok := b.entry(at, &e)
			if !ok {
				t.Fatal("a whole entry cannot be read")
			}
			at = next
			switch e.kind {
			case kindIntro:
				flow := &record.Flow{}
				decodeEndpoint(e.payload[8:], flow)
				flows[e.slot] = flow
				_ = packets.Open(nil, e.time, flow)
			case kindData:
				packets.FrameInPlace(e.block, e.time, flows[e.slot], e.dir, e.offset, len(e.payload), e.sum, e.flags&flagMore != 0)
				text = encoder.Data(text[:0], e.time, flows[e.slot], e.dir, e.offset, e.payload)
			case kindGap:
				text = encoder.Gap(text[:0], e.time, flows[e.slot], e.dir, e.offset, binary.LittleEndian.Uint64(e.payload), e.reason)
			case kindClose:
				end := readEnding(&e)
				text = encoder.Close(text[:0], e.time, flows[e.slot], end.reason, record.PerDirection{In: end.totals.In, Out: end.totals.Out})
				delete(flows, e.slot)
			}
		}
	})
}
