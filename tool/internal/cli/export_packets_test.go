package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"mosn.io/tcpcopy/internal/oracle"
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
		if ours[n].Time != info.Timestamp.UnixNano() {
			t.Errorf("packet %d: the oracle has the time %d, gopacket %d", n+1, ours[n].Time, info.Timestamp.UnixNano())
		}
		comparePacket(t, n+1, &ours[n], data)
	}
	if n != len(ours) || n == 0 {
		t.Errorf("gopacket has %d packets, the oracle %d", n, len(ours))
	}
}

// comparePacket compares a packet with what gopacket makes of its bytes.
func comparePacket(t *testing.T, n int, ours *oracle.Packet, data []byte) {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if data[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(data, first, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("packet %d: %v", n, e.Error())
	}
	tcp, ok := p.TransportLayer().(*layers.TCP)
	if !ok {
		t.Fatalf("packet %d: %v, want TCP", n, p)
	}
	_ = tcp.SetNetworkLayerForChecksum(p.NetworkLayer()) // fails for other layers only
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Fatalf("packet %d: checksums %v %v", n, bad, err)
	}
	source, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
	target, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
	theirs := oracle.Packet{
		Time: ours.Time, Source: netip.AddrPortFrom(source, uint16(tcp.SrcPort)), Target: netip.AddrPortFrom(target, uint16(tcp.DstPort)),
		Seq: tcp.Seq, Ack: tcp.Ack, SYN: tcp.SYN, FIN: tcp.FIN, RST: tcp.RST, PSH: tcp.PSH, Acknowledge: tcp.ACK,
	}
	got := *ours
	got.Payload = nil
	if theirs.Flags() != got.Flags() || theirs.Source != got.Source || theirs.Target != got.Target || theirs.Seq != got.Seq || theirs.Ack != got.Ack ||
		got.UDP || !bytes.Equal(ours.Payload, tcp.Payload) {
		t.Errorf("packet %d: the oracle has %+v and %d bytes, gopacket %+v and %d", n, got, len(ours.Payload), theirs, len(tcp.Payload))
	}
}
