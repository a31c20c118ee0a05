package reading

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

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

// ParsePort reads the port of a listener, or the path of its Unix socket, as records have
// it. An empty text is every listener. The error begins with the faulty value.
func ParsePort(text string) (string, error) {
	if text == "" || strings.ContainsRune(text, '/') || strings.HasPrefix(text, "@") {
		return text, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", fmt.Errorf("%q, valid: a port from 1 to 65535, or the path of a Unix socket", text)
	}
	return strconv.FormatUint(port, 10), nil
}
