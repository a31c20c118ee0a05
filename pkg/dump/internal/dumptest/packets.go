package dumptest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Packets returns the packets of a pcapng file as gopacket decodes them, and fails the
// test where lengths or checksums are wrong.
func Packets(t *testing.T, file []byte) []gopacket.Packet {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal("pcapgo:", err)
	}
	var all []gopacket.Packet
	for {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("pcapgo, packet %d: %v", len(all)+1, err)
		}
		if ci.Timestamp.UnixNano() < Time {
			t.Fatalf("packet %d has the time %d", len(all)+1, ci.Timestamp.UnixNano())
		}
		first := gopacket.Decoder(layers.LayerTypeIPv4)
		if data[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		p := gopacket.NewPacket(data, first, gopacket.Default)
		if e := p.ErrorLayer(); e != nil {
			t.Fatalf("packet %d: %v", len(all)+1, e.Error())
		}
		switch l := p.TransportLayer().(type) {
		case *layers.TCP:
			_ = l.SetNetworkLayerForChecksum(p.NetworkLayer()) // fails for other layers only
		case *layers.UDP:
			_ = l.SetNetworkLayerForChecksum(p.NetworkLayer()) // fails for other layers only
		}
		if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
			t.Fatalf("packet %d: checksums %v %v", len(all)+1, bad, err)
		}
		all = append(all, p)
	}
}
