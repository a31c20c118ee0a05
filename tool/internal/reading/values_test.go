package reading

import (
	"net/netip"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

func TestPeersAreAddressesOrNetworks(t *testing.T) {
	for text, want := range map[string]struct {
		peer string
		port uint16
	}{
		"10.0.0.7": {"10.0.0.7/32", 0}, "10.0.0.7:80": {"10.0.0.7/32", 80}, "10.1.2.3/8": {"10.0.0.0/8", 0},
		"::ffff:10.0.0.7": {"10.0.0.7/32", 0}, "[::ffff:10.0.0.7]:80": {"10.0.0.7/32", 80}, "2001:db8::/32": {"2001:db8::/32", 0},
		"::ffff:10.1.2.3/104": {"10.0.0.0/8", 0}, "::ffff:0:0/96": {"0.0.0.0/0", 0}, "::ffff:10.0.0.7/128": {"10.0.0.7/32", 0}, "fe80::1%eth0": {"fe80::1/128", 0}, "[::1]:53": {"::1/128", 53},
	} {
		peer, port, err := ParsePeer(text)
		if err != nil || peer != netip.MustParsePrefix(want.peer) || port != want.port {
			t.Errorf("%q is %v and port %d, %v; want %+v", text, peer, port, err, want)
		}
	}
	if peer, port, err := ParsePeer(""); peer.IsValid() || port != 0 || err != nil {
		t.Errorf("nothing is %v and port %d, %v", peer, port, err)
	}
	for _, text := range []string{"host", "10.0.0.7:http", "10.0.0.0/33", ":80", "::ffff:10.0.0.0/95", "::ffff:10.0.0.0/8"} {
		if _, _, err := ParsePeer(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want an error that names it", text, err)
		}
	}
}

func TestUnknownDirectionsAndFormatsAreRefused(t *testing.T) {
	if d, err := ParseDirection("both"); d != nil || err != nil {
		t.Errorf("both is %v, %v", d, err)
	}
	for text, want := range map[string]record.Direction{"in": record.In, "out": record.Out} {
		if d, err := ParseDirection(text); err != nil || d == nil || *d != want {
			t.Errorf("%s is %v, %v", text, d, err)
		}
	}
	if _, err := ParseDirection("up"); err == nil {
		t.Error("up is a direction")
	}
	for text, want := range map[string]dump.Format{"any": dump.FormatAny, "hex": dump.FormatHex, "pcapng": dump.FormatPcapng} {
		if f, err := ParseFormat(text); err != nil || f != want {
			t.Errorf("%s is %q, %v", text, f, err)
		}
	}
	if _, err := ParseFormat(""); err == nil {
		t.Error("nothing is a format")
	}
}

func TestPortsAreNumbersOrPaths(t *testing.T) {
	for text, want := range map[string]string{"": "", "1": "1", "65535": "65535", "08080": "8080", "/run/x.sock": "/run/x.sock", "./x.sock": "./x.sock", "@abstract": "@abstract"} {
		if got, err := ParsePort(text); got != want || err != nil {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "65536", "-1", "+80", "http", "80,90", " 80", "8_0", "0x50", "10.0.0.1:80"} {
		if got, err := ParsePort(text); err == nil || !strings.Contains(err.Error(), "a port from 1 to 65535") {
			t.Errorf("%q is %q, %v, want an error", text, got, err)
		}
	}
}
