package pcapng_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// framed returns what FrameInPlace makes of data that lies in memory with headroom
// and tailroom.
func framed(p *pcapng.Encoder, f *record.Flow, dir record.Direction, offset uint64, data []byte, more bool) ([]byte, bool) {
	headroom, tailroom := pcapng.Headroom(f), pcapng.Tailroom(len(data))
	block := bytes.Repeat([]byte{0xa5}, headroom+len(data)+tailroom)
	sum := checksum.Sum(0).Copy(block[headroom:], data, 0, true)
	ok := p.FrameInPlace(block, dumptest.Time, f, dir, offset, len(data), sum.Fold(), more)
	return block, ok
}

// A block that is completed where its payload is in memory is the one that Data appends.
func TestBlocksFramedInPlaceAreThoseOfData(t *testing.T) {
	flows := func() []*record.Flow {
		return []*record.Flow{
			dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080"),
			dumptest.NewFlow("tcp", 2, "[2001:db8::1]:50000", "10.0.0.2:8080"),
			dumptest.NewFlow("udp", 3, "10.0.0.1:50000", "10.0.0.2:53"),
			dumptest.NewFlow("udp", 4, "[::1]:50000", "[::1]:53"),
			dumptest.NewFlow("unix", 5, "@", "/run/a.sock"),
		}
	}
	_, a := dumptest.NewFile()
	_, b := dumptest.NewFile()
	other := flows()
	for i, f := range flows() {
		g := other[i]
		if got, want := a.Open(nil, dumptest.Time, f), b.Open(nil, dumptest.Time, g); !bytes.Equal(got, want) {
			t.Fatalf("%s: the openings differ", f.Network)
		}
		if f.Network == "udp" { // whose first datagram carries the identity
			if _, ok := framed(a, f, record.In, 0, []byte("first"), false); ok {
				t.Errorf("%s: a packet that has to say more has been framed", f.Network)
			}
			a.Data(nil, dumptest.Time, f, record.In, 0, []byte("first"))
			b.Data(nil, dumptest.Time, g, record.In, 0, []byte("first"))
		}
		for _, n := range []int{1, 2, 3, 4, 5, 63, 64, 1460, 4096, pcapng.MaxSegment} {
			dir := record.Direction(n % 2)
			data := bytes.Repeat([]byte{byte(n), 0x5a, 0xff}, n)[:n]
			got, ok := framed(a, f, dir, f.Next.Of(dir), data, false)
			if want := b.Data(nil, dumptest.Time, g, dir, g.Next.Of(dir), data); !ok || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: framed %v\n%x\nwant\n%x", f.Network, n, ok, got, want)
			}
			if f.Next != g.Next {
				t.Errorf("%s, %d bytes: goes on at %d, want %d", f.Network, n, f.Next, g.Next)
			}
		}
	}
}

func TestOnlyTheLastPacketOfARecordIsPushed(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, dumptest.Time, f)
	for offset, more := range []bool{true, true, false} {
		block, ok := framed(encoder, f, record.In, uint64(offset), []byte("x"), more)
		if !ok {
			t.Fatal("not framed")
		}
		file = append(file, block...)
	}
	got := strings.Fields(dumptest.Tshark(t, file, "-Y", "tcp.len > 0", "-T", "fields", "-e", "tcp.flags.push"))
	if want := []string{"0", "0", "1"}; !slices.Equal(got, want) {
		t.Errorf("PSH is %q, want %q", got, want)
	}
}

// What cannot be framed in place is left as it is.
func TestFrameInPlaceRefuses(t *testing.T) {
	_, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	refused := func(what string, dir record.Direction, offset uint64, block []byte, n int) {
		t.Helper()
		before, next := slices.Clone(block), f.Next
		if encoder.FrameInPlace(block, dumptest.Time, f, dir, offset, n, 0, false) || !bytes.Equal(before, block) || f.Next != next {
			t.Errorf("%s: framed or changed", what)
		}
	}
	space := func(n int) []byte { return make([]byte, pcapng.Headroom(f)+n+pcapng.Tailroom(n)) }
	refused("before the opening", record.In, 0, space(5), 5)
	encoder.Open(nil, dumptest.Time, f)
	refused("no bytes", record.In, 0, space(0), 0)
	refused("too long for a packet", record.In, 0, space(pcapng.MaxSegment+1), pcapng.MaxSegment+1)
	refused("too little space", record.In, 0, space(5)[4:], 5)
	refused("space of another kind of connection", record.In, 0, append(space(5), make([]byte, 20)...), 5)
	preface := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	block := space(len(preface))
	copy(block[pcapng.Headroom(f):], preface)
	refused("a preface and more", record.In, 0, block, len(preface))
	encoder.NewSegment()
	refused("in a new segment", record.In, 0, space(5), 5)
}

// The preface of HTTP/2 is a packet of its own, whatever was read with it, and the
// stream is the same.
func TestThePrefaceIsAPacketOfItsOwn(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	rest := strings.Repeat("a frame that is cut ", 5)
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, dumptest.Time, f)
	file = encoder.Data(file, dumptest.Time, f, record.In, 0, []byte(preface+rest))
	var payloads []string
	for _, p := range dumptest.Packets(t, file) {
		if payload := p.Payload; len(payload) > 0 {
			payloads = append(payloads, string(payload))
		}
	}
	if want := []string{preface, rest}; !slices.Equal(payloads, want) {
		t.Errorf("packets of %q, want %q", payloads, want)
	}
	if in, _ := dumptest.Follow(t, file, 0); string(in) != preface+rest {
		t.Errorf("the stream is %q", in)
	}
}

// Readers skip padding blocks of all lengths: our own, Wireshark and the oracle.
func TestPaddingBlocksAreSkipped(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, dumptest.Time, f)
	const records = 40
	for i := range records {
		before := len(file)
		if file = pcapng.AppendPaddingBlock(file, pcapng.MinPaddingBlock+4*i*i); len(file) != before+pcapng.MinPaddingBlock+4*i*i {
			t.Fatalf("a padding block of %d bytes, want %d", len(file)-before, pcapng.MinPaddingBlock+4*i*i)
		}
		file = encoder.Data(file, dumptest.Time, f, record.In, uint64(i), []byte{byte(i)})
	}
	file = pcapng.AppendPaddingBlock(file, 4096)
	file = encoder.Close(file, dumptest.Time, f, "RemoteClose", record.PerDirection{In: records, Out: 0})
	const handshake, fins = 3, 3
	if got := len(dumptest.Packets(t, file)); got != handshake+records+fins {
		t.Errorf("the oracle finds %d packets, want %d", got, handshake+records+fins)
	}
	if in, _ := dumptest.Follow(t, file, 0); len(in) != records {
		t.Errorf("tshark's stream has %d bytes, want %d", len(in), records)
	}
	if text := dumptest.Tshark(t, file, "-Y", dumptest.Complaints); text != "" {
		t.Errorf("tshark complains:\n%s", text)
	}
	all := readAll(t, file) // which joins what adjoins
	if len(all) != 3 || all[1].Length != records {
		t.Errorf("%d records, want an opening, data and the end", len(all))
	}
}

// readAll returns the records of a file that has no damage.
func readAll(t *testing.T, file []byte) []record.Record {
	t.Helper()
	d := pcapng.NewDecoder()
	d.Reset(bytes.NewReader(file), "-")
	records, damage, err := dumptest.Collect(d)
	if err != nil || len(damage) > 0 {
		t.Fatalf("read: %v %v", err, damage)
	}
	return records
}
