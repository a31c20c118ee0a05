package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// exportedLines are connections over IPv4, IPv6 and a Unix socket, with segments
// that are too long for one packet, a gap, and an end.
func exportedLines() string {
	const prefix = "2024-05-06 07:08:09,000000 [INFO] [5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44]"
	long := strings.TrimSuffix(strings.Repeat("61 62 ", 40_000), " ")
	var b strings.Builder
	for _, c := range []struct{ port, conn, client, server string }{
		{"8080", "k3v9qa-1", "10.0.0.1:50000", "10.9.9.9:8080"},
		{"8080", "k3v9qa-2", "[2001:db8::1]:50000", "[2001:db8::2]:8080"},
		{"8080", "k3v9qa-3", "[2001:db8::1]:50001", "10.9.9.9:8080"},
		{"/run/a.sock", "k3v9qa-4", "@", "/run/a.sock"},
	} {
		for _, line := range []string{
			" open] " + c.client + " -> " + c.server, " > 0]68 65 6c 6c 6f", " < 0]" + long, " gap > 5 1000] limit", " > 1005]6f",
			" close] RemoteClose > 1006 < 80000",
		} {
			b.WriteString(prefix + "[" + c.port + "][" + c.conn + line + "\n")
		}
	}
	return b.String()
}

// What is exported is what gopacket reads, with all lengths and checksums right; and
// the oracle of the recorder's own tests reads the same packets.
func TestExportedPacketsAreThoseThatGopacketReads(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "x.log"), filepath.Join(dir, "x.pcapng")
	if err := os.WriteFile(from, []byte(exportedLines()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(context.Background(), "export", "-o", to, from).endsWell(t)
	file, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, file)
}

// So is what is recorded: datagrams too, with padding blocks of all lengths between
// them, which both pass over.
func TestRecordedPacketsAreThoseThatGopacketReads(t *testing.T) {
	file := pcapng.AppendInterface(pcapng.AppendSectionHeader(nil, "test"), "ingress", "udp 9999")
	e := pcapng.NewEncoder()
	for id, address := range []string{"10.0.0.1:50000", "[2001:db8::1]:50000"} {
		client, server := netip.MustParseAddrPort(address), netip.MustParseAddrPort("10.9.9.9:9999")
		for i, network := range []string{"udp", "tcp"} {
			f := &record.Flow{Endpoint: record.Endpoint{
				Identity:   record.Identity{Window: firstWindow, Conn: fmt.Sprintf("k3v9qa-%d", 2*id+i), Network: network, Port: "9999", Peer: address, Listener: server.String()},
				ClientAddr: client, ServerAddr: server,
			}, FromStart: true}
			at := dumpStart.UnixNano()
			file = e.Open(file, at, f)
			for n := range 20 {
				file = pcapng.AppendPaddingBlock(file, pcapng.MinPaddingBlock+4*n*n)
				data := bytes.Repeat([]byte{byte(n)}, 1+n*n*100)
				file = e.Data(file, at+int64(n), f, record.Direction(n%2), f.Next.Of(record.Direction(n%2)), data)
			}
			file = e.Close(file, at+100, f, "LocalClose", f.Next)
		}
	}
	agree(t, file)
}

// agree checks that gopacket and the oracle read the same packets in a file.
func agree(t *testing.T, file []byte) {
	t.Helper()
	ours, err := oracle.Packets(file)
	if err != nil {
		t.Fatal("oracle:", err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal("pcapgo:", err)
	}
	n := 0
	for ; ; n++ {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("pcapgo, packet %d: %v", n+1, err)
		}
		if n >= len(ours) {
			t.Fatalf("the oracle has %d packets, gopacket more", len(ours))
		}
		theirs := decode(t, data)
		theirs.Time = info.Timestamp.UnixNano()
		if !reflect.DeepEqual(theirs, ours[n]) {
			t.Fatalf("packet %d: the oracle has\n%.300s\ngopacket\n%.300s", n+1, fmt.Sprintf("%+v", ours[n]), fmt.Sprintf("%+v", theirs))
		}
	}
	if n != len(ours) || n == 0 {
		t.Errorf("gopacket has %d packets, the oracle %d", n, len(ours))
	}
}

// decode returns what gopacket makes of a packet, and fails the test where a length
// or a checksum is wrong.
func decode(t *testing.T, data []byte) oracle.Packet {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if data[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(data, first, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatal("gopacket:", e.Error())
	}
	source, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
	target, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
	var decoded oracle.Packet
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		_ = l.SetNetworkLayerForChecksum(p.NetworkLayer()) // fails for other layers only
		decoded = oracle.Packet{
			Source: netip.AddrPortFrom(source, uint16(l.SrcPort)), Target: netip.AddrPortFrom(target, uint16(l.DstPort)),
			Seq: l.Seq, Ack: l.Ack, SYN: l.SYN, FIN: l.FIN, RST: l.RST, PSH: l.PSH, ACK: l.ACK, Payload: l.Payload,
		}
	case *layers.UDP:
		_ = l.SetNetworkLayerForChecksum(p.NetworkLayer()) // fails for other layers only
		decoded = oracle.Packet{
			Source: netip.AddrPortFrom(source, uint16(l.SrcPort)), Target: netip.AddrPortFrom(target, uint16(l.DstPort)), UDP: true, Payload: l.Payload,
		}
	default:
		t.Fatalf("gopacket: %v", p)
	}
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Fatalf("gopacket: checksums %v %v", bad, err)
	}
	return decoded
}
