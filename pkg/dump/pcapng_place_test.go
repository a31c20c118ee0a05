package dump_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// placed is what Place makes of data that lies in memory with room around it.
func placed(p *dump.Pcapng, f *record.Flow, dir record.Direction, offset uint64, data []byte, more bool) ([]byte, bool) {
	front, back := dump.PacketFront(f), dump.PacketBack(len(data))
	block := bytes.Repeat([]byte{0xa5}, front+len(data)+back)
	sum := checksum.Sum(0).Copy(block[front:], data, 0, true)
	ok := p.Place(block, testTime, f, dir, offset, len(data), sum.Fold(), more)
	return block, ok
}

// A block that is completed where its payload lies is the one that Data appends.
func TestPlacedBlocksAreThoseOfData(t *testing.T) {
	flows := func() []*record.Flow {
		return []*record.Flow{
			newFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080"),
			newFlow("tcp", 2, "[2001:db8::1]:50000", "10.0.0.2:8080"),
			newFlow("udp", 3, "10.0.0.1:50000", "10.0.0.2:53"),
			newFlow("udp", 4, "[::1]:50000", "[::1]:53"),
			newFlow("unix", 5, "@", "/run/a.sock"),
		}
	}
	_, a := newCapture()
	_, b := newCapture()
	other := flows()
	for i, f := range flows() {
		g := other[i]
		if got, want := a.Open(nil, testTime, f), b.Open(nil, testTime, g); !bytes.Equal(got, want) {
			t.Fatalf("%s: the openings differ", f.Network)
		}
		if f.Network == "udp" { // whose first datagram carries the identity
			if _, ok := placed(a, f, record.In, 0, []byte("first"), false); ok {
				t.Errorf("%s: a packet that has to say more has been placed", f.Network)
			}
			a.Data(nil, testTime, f, record.In, 0, []byte("first"))
			b.Data(nil, testTime, g, record.In, 0, []byte("first"))
		}
		for _, n := range []int{1, 2, 3, 4, 5, 63, 64, 1460, 4096, dump.MaxSegment} {
			dir := record.Direction(n % 2)
			data := bytes.Repeat([]byte{byte(n), 0x5a, 0xff}, n)[:n]
			got, ok := placed(a, f, dir, f.Next.Of(dir), data, false)
			if want := b.Data(nil, testTime, g, dir, g.Next.Of(dir), data); !ok || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: placed %v\n%x\nwant\n%x", f.Network, n, ok, got, want)
			}
			if f.Next != g.Next {
				t.Errorf("%s, %d bytes: goes on at %d, want %d", f.Network, n, f.Next, g.Next)
			}
		}
	}
}

func TestOnlyTheLastPacketOfARecordIsPushed(t *testing.T) {
	file, encoder := newCapture()
	f := newFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, testTime, f)
	for offset, more := range []bool{true, true, false} {
		block, ok := placed(encoder, f, record.In, uint64(offset), []byte("x"), more)
		if !ok {
			t.Fatal("not placed")
		}
		file = append(file, block...)
	}
	got := strings.Fields(tshark(t, file, "-Y", "tcp.len > 0", "-T", "fields", "-e", "tcp.flags.push"))
	if want := []string{"0", "0", "1"}; !slices.Equal(got, want) {
		t.Errorf("PSH is %q, want %q", got, want)
	}
}

// What cannot be placed is left as it is.
func TestPlaceRefuses(t *testing.T) {
	_, encoder := newCapture()
	f := newFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	refused := func(what string, dir record.Direction, offset uint64, block []byte, n int) {
		t.Helper()
		before, next := slices.Clone(block), f.Next
		if encoder.Place(block, testTime, f, dir, offset, n, 0, false) || !bytes.Equal(before, block) || f.Next != next {
			t.Errorf("%s: placed or changed", what)
		}
	}
	room := func(n int) []byte { return make([]byte, dump.PacketFront(f)+n+dump.PacketBack(n)) }
	refused("before the opening", record.In, 0, room(5), 5)
	encoder.Open(nil, testTime, f)
	refused("no bytes", record.In, 0, room(0), 0)
	refused("too long for a packet", record.In, 0, room(dump.MaxSegment+1), dump.MaxSegment+1)
	refused("too little room", record.In, 0, room(5)[4:], 5)
	refused("room of another kind of connection", record.In, 0, append(room(5), make([]byte, 20)...), 5)
	preface := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	block := room(len(preface))
	copy(block[dump.PacketFront(f):], preface)
	refused("a preface and more", record.In, 0, block, len(preface))
	encoder.NewSegment()
	refused("in a new segment", record.In, 0, room(5), 5)
}

// The preface of HTTP/2 is a packet of its own, whatever was read with it, and the
// stream is the same.
func TestThePrefaceIsAPacketOfItsOwn(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	rest := strings.Repeat("a frame that is cut ", 5)
	file, encoder := newCapture()
	f := newFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, testTime, f)
	file = encoder.Data(file, testTime, f, record.In, 0, []byte(preface+rest))
	var payloads []string
	for _, p := range packets(t, file) {
		if payload := p.TransportLayer().LayerPayload(); len(payload) > 0 {
			payloads = append(payloads, string(payload))
		}
	}
	if want := []string{preface, rest}; !slices.Equal(payloads, want) {
		t.Errorf("packets of %q, want %q", payloads, want)
	}
	if in, _ := follow(t, file, 0); string(in) != preface+rest {
		t.Errorf("the stream is %q", in)
	}
}

// Readers skip fillers of all lengths: ours, gopacket's and Wireshark's.
func TestFillersAreSkipped(t *testing.T) {
	file, encoder := newCapture()
	f := newFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, testTime, f)
	const records = 40
	for i := range records {
		before := len(file)
		if file = dump.AppendFiller(file, dump.MinFiller+4*i*i); len(file) != before+dump.MinFiller+4*i*i {
			t.Fatalf("a filler of %d bytes, want %d", len(file)-before, dump.MinFiller+4*i*i)
		}
		file = encoder.Data(file, testTime, f, record.In, uint64(i), []byte{byte(i)})
	}
	file = dump.AppendFiller(file, 4096)
	file = encoder.Close(file, testTime, f, "RemoteClose", record.PerDirection{In: records, Out: 0})
	const handshake, farewell = 3, 3
	if got := len(packets(t, file)); got != handshake+records+farewell {
		t.Errorf("gopacket finds %d packets, want %d", got, handshake+records+farewell)
	}
	if in, _ := follow(t, file, 0); len(in) != records {
		t.Errorf("tshark's stream has %d bytes, want %d", len(in), records)
	}
	if text := tshark(t, file, "-Y", complaints); text != "" {
		t.Errorf("tshark complains:\n%s", text)
	}
	all := readAll(t, file) // which joins what adjoins
	if len(all) != 3 || all[1].Length != records {
		t.Errorf("%d records, want an opening, data and the end", len(all))
	}
}
