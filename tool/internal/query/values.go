package query

import (
	"fmt"
	"net/netip"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// mappedBits is the length of the prefix that all IPv4 addresses have when they are mapped to
// IPv6, bits.
const mappedBits = 96

// ParsePeer reads whose records are wanted: an address, an address with a port, or
// a network. An empty text is everybody. The port is 0 where there is none. The
// error begins with the faulty value.
func ParsePeer(text string) (peer netip.Prefix, port uint16, err error) {
	if text == "" {
		return netip.Prefix{}, 0, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		if !p.Addr().Is4In6() {
			return p.Masked(), 0, nil
		}
		if p.Bits() >= mappedBits { // clients' addresses are compared as IPv4 ones
			return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits).Masked(), 0, nil
		}
		return netip.Prefix{}, 0, fmt.Errorf("%q, valid: of IPv4 networks that are mapped to IPv6, those from ::ffff:0:0/96 on", text)
	}
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), 0, nil
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		host := a.Addr().Unmap()
		return netip.PrefixFrom(host, host.BitLen()), a.Port(), nil
	}
	return netip.Prefix{}, 0, fmt.Errorf("%q, valid: an address, address:port, or network such as 10.0.0.0/8", text)
}

// ParseDirection reads which directions are wanted. It returns nil for both. The
// error begins with the faulty value.
func ParseDirection(text string) (*record.Direction, error) {
	in, out := record.In, record.Out
	switch text {
	case "both":
		return nil, nil
	case "in":
		return &in, nil
	case "out":
		return &out, nil
	default:
		return nil, fmt.Errorf("%q, valid: in, out, both", text)
	}
}

// ParseFormat reads which of a directory's formats is wanted. The error begins
// with the faulty value.
func ParseFormat(text string) (dump.Format, error) {
	switch text {
	case "any":
		return dump.FormatAny, nil
	case "hex":
		return dump.FormatHex, nil
	case "pcapng":
		return dump.FormatPcapng, nil
	default:
		return dump.FormatAny, fmt.Errorf("%q, valid: any, hex, pcapng", text)
	}
}

// ParseTime reads a time as people give it: RFC 3339, a day and a time of day or a
// part of them in the zone of now, or how long before now. The error begins with
// the faulty value.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q, valid: 2006-01-02T15:04:05Z, 2006-01-02 15:04:05, 15:04:05, or 10m for ten minutes ago", text)
}
