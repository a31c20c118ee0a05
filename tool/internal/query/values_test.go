package query

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

func TestTimesAreReadInEveryForm(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	now := time.Date(2024, 5, 6, 15, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"10m":                       now.Add(-10 * time.Minute),
		"2024-05-06T07:08:09.5Z":    time.Date(2024, 5, 6, 7, 8, 9, 5e8, time.UTC),
		"2024-05-06 15:04:05":       time.Date(2024, 5, 6, 15, 4, 5, 0, zone),
		"2024-05-06T15:04:05":       time.Date(2024, 5, 6, 15, 4, 5, 0, zone),
		"2024-05-06T15:04:05+08:00": time.Date(2024, 5, 6, 7, 4, 5, 0, time.UTC),
		"2024-05-06 15:04":          time.Date(2024, 5, 6, 15, 4, 0, 0, zone),
		"2024-05-05":                time.Date(2024, 5, 5, 0, 0, 0, 0, zone),
		"07:08:09":                  time.Date(2024, 5, 6, 7, 8, 9, 0, zone),
		"07:08":                     time.Date(2024, 5, 6, 7, 8, 0, 0, zone),
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-5m", "2024-13-01"} {
		if got, err := ParseTime(text, now); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

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
