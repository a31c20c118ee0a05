package pcapng

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

// packetView is a decoded packet. Its payload is a part of what it was decoded from.
type packetView struct {
	src, dst netip.AddrPort
	udp      bool
	label    uint32 // see labelOf
	flags    byte
	seq      uint32
	payload  []byte
	cut      uint64 // bytes of the payload that the capture has left out, after payload
}

// length returns the bytes of the payload in all.
func (v *packetView) length() uint64 { return uint64(len(v.payload)) + v.cut }

// errForeign is the error of intact packets that the recorder does not write, such as
// those of ICMP, and of fragments.
var errForeign = errors.New("not a packet of the recorder's")

// parsePacket reads an IP packet and verifies its checksums, so that no damaged
// byte passes for a recorded one. cut says how many bytes the capture has left out at
// its end (a snapshot length); then the checksum of TCP or UDP cannot be verified.
func parsePacket(b []byte, cut int) (v packetView, err error) {
	p, err := parseIP(b, cut)
	if err != nil {
		return v, err
	}
	transport, header := p.transport, tcpHeader
	v.udp, v.label = p.protocol == protocolUDP, p.label
	if v.udp {
		header = udpHeader
	}
	switch {
	case len(transport) < header && cut > 0:
		return v, malformed("a packet that is cut within its headers")
	case len(transport) < header:
		return v, malformed("a packet without a TCP or UDP header")
	}
	whole := len(transport) + cut
	if cut == 0 && p.pseudo.Plus(checksum.Of16(uint16(p.protocol))).Plus(checksum.Of16(uint16(whole))).Add(transport).Field() != 0 {
		return v, record.ErrChecksum
	}
	v.src = netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(transport))
	v.dst = netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(transport[2:]))
	if !v.udp {
		header = int(transport[12]>>4) * 4
		if header < tcpHeader || header > whole {
			return v, malformed("TCP header length")
		}
		v.flags = transport[13]
		v.seq = binary.BigEndian.Uint32(transport[4:])
	}
	v.payload = transport[min(header, len(transport)):]
	v.cut = uint64(whole - header - len(v.payload))
	return v, nil
}

// ipView is a decoded IP header.
type ipView struct {
	src, dst  netip.Addr
	protocol  byte
	label     uint32
	transport []byte
	pseudo    checksum.Sum // of the addresses
}

// parseIP reads an IP packet's header.
func parseIP(b []byte, cut int) (p ipView, err error) {
	if len(b) < ipv4Header {
		return p, malformed("a packet without an IP header")
	}
	switch b[0] >> 4 {
	case 4:
		header := int(b[0]&15) * 4
		total := int(binary.BigEndian.Uint16(b[2:]))
		if header < ipv4Header || header > len(b) || total < header || total != len(b)+cut {
			return p, malformed("IPv4 lengths")
		}
		if checksum.Sum(0).Add(b[:header]).Field() != 0 {
			return p, fmt.Errorf("IPv4 header: %w", record.ErrChecksum)
		}
		const fragment = 0x3fff // more fragments, and the offset
		if p.protocol = b[9]; p.protocol != protocolTCP && p.protocol != protocolUDP || binary.BigEndian.Uint16(b[6:])&fragment != 0 {
			return p, errForeign
		}
		p.label = uint32(binary.BigEndian.Uint16(b[4:]) >> countBitsV4)
		p.transport = b[header:]
		p.src, p.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		p.pseudo = p.pseudo.Add(b[12:20])
	case 6:
		if len(b) < ipv6Header {
			return p, malformed("a packet without an IPv6 header")
		}
		if total := ipv6Header + int(binary.BigEndian.Uint16(b[4:])); total != len(b)+cut {
			return p, malformed("IPv6 length")
		}
		switch p.protocol = b[6]; p.protocol {
		case protocolTCP, protocolUDP:
		case 0, 43, 44, 50, 51, 58, 60, 132: // extension headers, ICMP, SCTP
			return p, errForeign
		default:
			return p, malformed(fmt.Sprintf("IP protocol %d", p.protocol))
		}
		p.label = binary.BigEndian.Uint32(b) & (1<<labelBitsV6 - 1)
		p.transport = b[ipv6Header:]
		p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		p.pseudo = p.pseudo.Add(b[8:40])
	default:
		return p, malformed("neither IPv4 nor IPv6")
	}
	return p, nil
}

// malformed returns a record.ErrMalformed that says what is wrong.
func malformed(what string) error { return fmt.Errorf("%w: %s", record.ErrMalformed, what) }
