package pcapng

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

// packetView is a decoded packet. Its payload is a part of what it was decoded from.
type packetView struct {
	src, dst netip.AddrPort
	udp      bool
	flags    byte
	seq      uint32
	payload  []byte
}

// parsePacket reads an IP packet and verifies its checksums, so that no damaged
// byte passes for a recorded one.
func parsePacket(b []byte) (v packetView, err error) {
	bad := func(what string) (packetView, error) {
		return packetView{}, fmt.Errorf("%w: %s", record.ErrMalformed, what)
	}
	if len(b) < ipv4Header {
		return bad("a packet without an IP header")
	}
	var protocol byte
	var transport []byte
	var sum checksum.Sum
	var src, dst netip.Addr
	switch b[0] >> 4 {
	case 4:
		header := int(b[0]&15) * 4
		total := int(binary.BigEndian.Uint16(b[2:]))
		if header < ipv4Header || total < header || total != len(b) {
			return bad("IPv4 lengths")
		}
		if checksum.Sum(0).Add(b[:header]).Field() != 0 {
			return packetView{}, fmt.Errorf("IPv4 header: %w", record.ErrChecksum)
		}
		protocol, transport = b[9], b[header:total]
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		sum = sum.Add(b[12:20])
	case 6:
		if len(b) < ipv6Header {
			return bad("a packet without an IPv6 header")
		}
		total := ipv6Header + int(binary.BigEndian.Uint16(b[4:]))
		if total != len(b) {
			return bad("IPv6 length")
		}
		protocol, transport = b[6], b[ipv6Header:total]
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		sum = sum.Add(b[8:40])
	default:
		return bad("neither IPv4 nor IPv6")
	}
	v.udp = protocol == protocolUDP
	header := tcpHeader
	if v.udp {
		header = udpHeader
	} else if protocol != protocolTCP {
		return bad(fmt.Sprintf("IP protocol %d", protocol))
	}
	if len(transport) < header {
		return bad("a packet without a TCP or UDP header")
	}
	pseudo := sum.Plus(checksum.Of16(uint16(protocol))).Plus(checksum.Of16(uint16(len(transport))))
	if pseudo.Add(transport).Field() != 0 {
		return packetView{}, record.ErrChecksum
	}
	v.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(transport))
	v.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(transport[2:]))
	if !v.udp {
		header = int(transport[12]>>4) * 4
		if header < tcpHeader || header > len(transport) {
			return bad("TCP header length")
		}
		v.flags = transport[13]
		v.seq = binary.BigEndian.Uint32(transport[4:])
	}
	v.payload = transport[header:]
	return v, nil
}
