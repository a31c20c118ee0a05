package pcapng_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

func TestBlocksAreByteForByteGolden(t *testing.T) {
	cases := []struct {
		name string
		got  []byte
		want string
	}{
		{"section header", pcapng.AppendSectionHeader(nil, "mosn"), `
			0a0d0d0a 28000000 4d3c2b1a 0100 0000 ffffffffffffffff
			0400 0400 6d6f736e
			0000 0000 28000000`},
		{"interface", pcapng.AppendInterface(nil, "in", "web"), `
			01000000 30000000 6500 0000 00000400
			0200 0200 696e0000
			0300 0300 77656200
			0900 0100 09000000
			0000 0000 30000000`},
		{"statistics", pcapng.AppendStatistics(nil, 0x0102030405060708, pcapng.Statistics{
			Window: "w", Opened: 1, Closed: 0x1_0000_0002, Listeners: []pcapng.ListenerStatistics{{
				Name: "in", Network: "tcp", Port: "80",
				Traffic: pcapng.Traffic{Received: 7, Dropped: 2, LostBy: [record.NumReasons]uint64{record.ReasonBufferFull: 12}},
			}},
		}), `
			05000000 b8000000 00000000 04030201 08070605
			0100 1c00 77696e646f773d77206c6f73745f6275666665725f66756c6c3d3132
			0200 0800 00000000 01000000
			0300 0800 01000000 02000000
			0400 0800 0700000000000000
			0500 0800 0200000000000000
			0100 4800 706f72743d3830206e6574776f726b3d746370206c697374656e65723d696e2072656365697665643d372064726f707065643d32206c6f73745f6275666665725f66756c6c3d3132
			0000 0000 b8000000`},
	}
	for _, c := range cases {
		if want := strings.Join(strings.Fields(c.want), ""); hex.EncodeToString(c.got) != want {
			t.Errorf("%s\n got %x\nwant %s", c.name, c.got, want)
		}
	}
}

func TestPacketsAreByteForByteGolden(t *testing.T) {
	encoder := pcapng.NewEncoder()
	f := dumptest.NewFlow("tcp", 17, "10.0.0.1:50000", "[::ffff:10.0.0.2]:8080")
	f.Window, f.FromStart = "w", false
	f.Next = record.PerDirection{In: 1<<32 + 4, Out: 9}
	opened := encoder.Open(nil, 0x0102030405060708, f)
	want := `
		06000000 ec000000 00000000 04030201 08070605 28000000 28000000
		4500 0028 81a1 4000 40 06 a52c 0a000001 0a000002
		c350 1f90 00000005 0000000a 50 10 ffff 0000 0000
		0200 0400 01000000
		0100 9100 ` + hex.EncodeToString([]byte("conn=k3v9qa-17 window=w port=8080 network=tcp client=10.0.0.1:50000 server=[::ffff:10.0.0.2]:8080 listener=ingress in=4294967300 out=9 label=2074")) + ` 000000
		0000 0000 ec000000`
	check := func(name string, got []byte, want string, sumAt int) {
		t.Helper()
		w, err := hex.DecodeString(strings.Join(strings.Fields(want), ""))
		if err != nil {
			t.Fatal(err)
		}
		copy(w[sumAt:sumAt+2], got[sumAt:]) // the oracle checks the sum in TestPacketsMakeTwoStreamsWithoutHoles
		if !bytes.Equal(got, w) {
			t.Errorf("%s\n got %x\nwant %x", name, got, w)
		}
	}
	check("open", opened, want, 28+36)

	data := encoder.Data(nil, 1, f, record.Out, 9, []byte("hello"))
	check("data", data, `
		06000000 5c000000 00000000 00000000 01000000 2d000000 2d000000
		4500 002d 81a1 4000 40 06 a527 0a000002 0a000001
		1f90 c350 0000000a 00000005 50 18 ffff 0000 0000
		68656c6c6f 000000
		0200 0400 02000000
		0000 0000 5c000000`, 28+36)
	if f.Next.Out != 14 {
		t.Errorf("Next[Out] is %d, want 14", f.Next.Out)
	}
}

func TestPacketsMakeTwoStreamsWithoutHoles(t *testing.T) {
	pairs := []struct{ name, client, server, wantClient string }{
		{"IPv4", "10.0.0.1:50000", "10.0.0.2:8080", "10.0.0.1"},
		{"IPv6", "[fe80::1%eth0]:50000", "[2001:db8::2]:8080", "fe80::1"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:50000", "10.0.0.2:8080", "10.0.0.1"},
		{"mixed", "10.0.0.1:50000", "[2001:db8::2]:8080", "10.0.0.1"}, // mapped into IPv6
		{"Unix socket", "@", "/run/a b.sock", "fd6d:6f73:6e00:2:587:ce80:0:11"},
	}
	request, answer := bytes.Repeat([]byte("request "), 9000), bytes.Repeat([]byte("answer"), 3)
	for _, pair := range pairs {
		t.Run(pair.name, func(t *testing.T) {
			network := "tcp"
			if pair.client == "@" {
				network = "unix"
			}
			file, encoder := dumptest.NewFile()
			f := dumptest.NewFlow(network, 17, pair.client, pair.server)
			file = encoder.Open(file, dumptest.Time, f)
			file = encoder.Data(file, dumptest.Time+1, f, record.In, 0, request)
			file = encoder.Data(file, dumptest.Time+2, f, record.Out, 0, answer)
			file = encoder.Close(file, dumptest.Time+3, f, "RemoteClose", record.PerDirection{In: uint64(len(request)), Out: uint64(len(answer))})

			var streams [2][]byte
			var shape []string
			var next [2]uint32
			for i, tcp := range dumptest.Packets(t, file) {
				dir, source := record.In, tcp.Source.Addr().Unmap().String()
				if i == 0 && source != pair.wantClient {
					t.Errorf("client is %v, want %s", source, pair.wantClient)
				}
				if source != pair.wantClient {
					dir = record.Out
				}
				if tcp.Seq != next[dir] || tcp.ACK && tcp.Ack != next[1-dir] {
					t.Errorf("packet %d: seq %d ack %d, want %d %d", i+1, tcp.Seq, tcp.Ack, next[dir], next[1-dir])
				}
				next[dir] += uint32(len(tcp.Payload))
				if tcp.SYN || tcp.FIN {
					next[dir]++
				}
				streams[dir] = append(streams[dir], tcp.Payload...)
				shape = append(shape, tcp.Flags()+">"+dir.String())
			}
			want := "S>in SA>out A>in A>in A>in PA>in PA>out FA>in FA>out A>in"
			if got := strings.Join(shape, " "); got != want {
				t.Errorf("packets %s, want %s", got, want)
			}
			if !bytes.Equal(streams[record.In], request) || !bytes.Equal(streams[record.Out], answer) {
				t.Errorf("streams have %d and %d bytes, or wrong ones", len(streams[record.In]), len(streams[record.Out]))
			}
		})
	}
}

func TestTheSideThatClosesSendsTheFirstFINOrRST(t *testing.T) {
	for reason, want := range map[string]string{
		"RemoteClose": "FA 8080, FA 50000, A 8080", "LocalClose": "FA 50000, FA 8080, A 50000",
		"OnReadErrClose": "RA 8080", "OnWriteErrClose": "RA 50000", "OnWriteTimeout": "RA 50000",
	} {
		file, encoder := dumptest.NewFile()
		f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
		f.FromStart = false
		file = encoder.Open(file, dumptest.Time, f)
		file = encoder.Close(file, dumptest.Time, f, record.CloseReason(reason), record.PerDirection{In: 0, Out: 0})
		var got []string
		for _, p := range dumptest.Packets(t, file)[1:] {
			got = append(got, fmt.Sprintf("%s %d", p.Flags(), p.Target.Port()))
		}
		if g := strings.Join(got, ", "); g != want {
			t.Errorf("%s: %s, want %s (flags and destination)", reason, g, want)
		}
	}
}

func TestDatagramsAreOnePacketEach(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("udp", 4, "10.0.0.1:50000", "10.0.0.2:9999")
	big := bytes.Repeat([]byte{7}, 65507)
	file = encoder.Open(file, dumptest.Time, f)
	file = encoder.Data(file, dumptest.Time, f, record.In, 0, big)
	file = encoder.Data(file, dumptest.Time, f, record.Out, 0, []byte("answer"))
	var got []int
	for _, p := range dumptest.Packets(t, file) {
		if !p.UDP {
			t.Fatal("no datagram")
		}
		got = append(got, len(p.Payload))
	}
	if !slices.Equal(got, []int{65507, 6}) {
		t.Errorf("datagrams of %v bytes, want 65507 and 6", got)
	}
}

func TestSequenceNumbersWrapAt4GiB(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	f.FromStart, f.Next.In = false, 1<<32-3
	file = encoder.Open(file, dumptest.Time, f)
	file = encoder.Data(file, dumptest.Time, f, record.In, 1<<32-3, []byte("abcdef"))
	file = encoder.Data(file, dumptest.Time, f, record.In, 1<<32+3, []byte("g"))
	var got []uint32
	for _, p := range dumptest.Packets(t, file) {
		got = append(got, p.Seq)
	}
	if want := []uint32{1<<32 - 2, 1<<32 - 2, 4}; !slices.Equal(got, want) {
		t.Errorf("sequence numbers %d, want %d", got, want)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	for _, f := range []*record.Flow{
		dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080"),
		dumptest.NewFlow("udp", 2, "[::1]:50000", "[::1]:53"),
		dumptest.NewFlow("unix", 3, "@", "/run/a.sock"),
	} {
		encoder := pcapng.NewEncoder()
		buffer := make([]byte, 0, 1<<20)
		data := make([]byte, 40<<10)
		n := testing.AllocsPerRun(20, func() {
			f.Next = record.PerDirection{}
			dst := encoder.Open(buffer, dumptest.Time, f)
			dst = encoder.Data(dst, dumptest.Time, f, record.In, 0, data)
			dst = encoder.Gap(dst, dumptest.Time, f, record.Out, 0, 10, record.ReasonGuard)
			encoder.Close(dst, dumptest.Time, f, "RemoteClose", record.PerDirection{In: 40 << 10, Out: 10})
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", f.Network, n)
		}
	}
}

func BenchmarkPcapngData(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			encoder := pcapng.NewEncoder()
			f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
			buffer := make([]byte, 0, 1<<20)
			data := bytes.Repeat([]byte("payload."), size/8)
			encoder.Open(buffer, dumptest.Time, f)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for range b.N {
				if len(buffer) > 900<<10 {
					buffer = buffer[:0]
				}
				buffer = encoder.Data(buffer, dumptest.Time, f, record.In, f.Next.In, data)
			}
		})
	}
}
