package persistence

import (
	"encoding/binary"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
)

// sampleEntries returns a batch with an intro, data, a gap and an end.
func sampleEntries() []byte {
	b := batch{mem: make([]byte, 4<<10), state: &batchState{}}
	put := func(e entry, payload []byte) {
		copy(b.append(&e, len(payload)), payload)
		b.commit(len(payload))
	}
	intro := appendEndpoint(make([]byte, 8), Endpoint{Conn: "k3v9qa-1", Port: "80", Network: "tcp", Client: "a", Server: "b"})
	put(entry{kind: kindIntro}, intro)
	put(entry{kind: kindData, time: 1}, []byte("hello"))
	put(entry{kind: kindGap, offset: 5}, binary.LittleEndian.AppendUint64(nil, 7))
	put(entry{kind: kindClose, time: 2}, append(make([]byte, 16), "RemoteClose"...))
	return b.entries()
}

func TestWholeEntriesStopsAtDamage(t *testing.T) {
	whole := sampleEntries()
	if n, last := wholeEntries(whole); n != len(whole) || last != 2 {
		t.Errorf("%d of %d bytes are whole entries, the last at %d", n, len(whole), last)
	}
	for cut := range whole {
		if n, _ := wholeEntries(whole[:cut]); n > cut {
			t.Errorf("%d of %d bytes are whole entries", n, cut)
		}
	}
	// After its end a connection has nothing, unless it is introduced again.
	twice := append(append([]byte{}, whole...), whole[entrySize(len(appendEndpoint(make([]byte, 8), Endpoint{Conn: "k3v9qa-1", Port: "80", Network: "tcp", Client: "a", Server: "b"}))):]...)
	if n, _ := wholeEntries(twice); n != len(whole) {
		t.Errorf("%d bytes are whole entries, want %d", n, len(whole))
	}
}

// What a spool holds comes from outside: a recovery encodes what wholeEntries
// lets pass, and must not fail on it.
func FuzzSpool(f *testing.F) {
	f.Add(sampleEntries())
	f.Add(sampleEntries()[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, mem []byte) {
		n, _ := wholeEntries(mem)
		if n < 0 || n > len(mem) {
			t.Fatalf("%d of %d bytes are whole", n, len(mem))
		}
		flows := map[uint32]*dump.Flow{}
		encoder, text := dump.NewHexMeta(), []byte(nil)
		for rest := mem[:n]; len(rest) > 0; {
			e, next, ok := readEntry(rest)
			if !ok {
				t.Fatal("a whole entry cannot be read")
			}
			rest = next
			switch e.kind {
			case kindIntro:
				flow := &dump.Flow{}
				decodeEndpoint(e.payload[8:], flow)
				flows[e.slot] = flow
			case kindData:
				text = encoder.Data(text[:0], e.time, flows[e.slot], e.dir, e.offset, e.payload)
			case kindGap:
				text = encoder.Gap(text[:0], e.time, flows[e.slot], e.dir, e.offset, binary.LittleEndian.Uint64(e.payload), e.reason)
			case kindClose:
				end := readEnding(&e)
				text = encoder.Close(text[:0], e.time, flows[e.slot], end.reason, end.totals[0], end.totals[1])
				delete(flows, e.slot)
			}
		}
	})
}
