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
	pair     uint64 // hash of the addresses, see pairHash
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

// parse reads an IP packet and verifies its checksums, so that no damaged
// byte passes for a recorded one. cut says how many bytes the capture has left out at
// its end (a snapshot length); then the checksum of TCP or UDP cannot be verified.
// After an error v holds nothing.
func (v *packetView) parse(b []byte, cut int) error {
	*v = packetView{}
	transport, err := v.parseIP(b, cut)
	if err == nil {
		err = v.parseTransport(transport, cut)
	}
	if err != nil {
		*v = packetView{}
	}
	return err
}

// ipPayload is what an IP packet has after its header.
type ipPayload struct {
	src, dst netip.Addr
	a, b     uint64 // addressHash of src and dst
	protocol byte
	bytes    []byte
	pseudo   checksum.Sum // of the addresses
}

// parseTransport reads what the IP packet has after its header.
func (v *packetView) parseTransport(p ipPayload, cut int) error {
	transport, header := p.bytes, tcpHeader
	if v.udp = p.protocol == protocolUDP; v.udp {
		header = udpHeader
	}
	switch {
	case len(transport) < header && cut > 0:
		return malformed("a packet that is cut within its headers")
	case len(transport) < header:
		return malformed("a packet without a TCP or UDP header")
	}
	whole := len(transport) + cut
	if cut == 0 && p.pseudo.Plus(checksum.Of16(uint16(p.protocol))).Plus(checksum.Of16(uint16(whole))).Add(transport).Field() != 0 {
		return record.ErrChecksum
	}
	from, to := binary.BigEndian.Uint16(transport), binary.BigEndian.Uint16(transport[2:])
	v.src, v.dst = netip.AddrPortFrom(p.src, from), netip.AddrPortFrom(p.dst, to)
	v.pair = pairHash(p.a, from, p.b, to)
	if !v.udp {
		header = int(transport[12]>>4) * 4
		if header < tcpHeader || header > whole {
			return malformed("TCP header length")
		}
		v.flags = transport[13]
		v.seq = binary.BigEndian.Uint32(transport[4:])
	}
	v.payload = transport[min(header, len(transport)):]
	v.cut = uint64(whole - header - len(v.payload))
	return nil
}

// parseIP reads an IP packet's header.
func (v *packetView) parseIP(b []byte, cut int) (p ipPayload, err error) {
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
		v.label = uint32(binary.BigEndian.Uint16(b[4:]) >> countBitsV4)
		p.bytes = b[header:]
		p.src, p.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		p.a, p.b = uint64(binary.LittleEndian.Uint32(b[12:])), uint64(binary.LittleEndian.Uint32(b[16:]))
		p.pseudo = p.pseudo.Plus(checksum.Sum(binary.LittleEndian.Uint64(b[12:])))
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
		v.label = binary.BigEndian.Uint32(b) & (1<<labelBitsV6 - 1)
		p.bytes = b[ipv6Header:]
		src, dst := [16]byte(b[8:24]), [16]byte(b[24:40])
		p.src, p.dst = netip.AddrFrom16(src), netip.AddrFrom16(dst)
		p.a, p.b = addressHash16(&src), addressHash16(&dst)
		p.pseudo = p.pseudo.Add(b[8:40])
	default:
		return p, malformed("neither IPv4 nor IPv6")
	}
	return p, nil
}

// malformed returns a record.ErrMalformed that says what is wrong.
func malformed(what string) error { return fmt.Errorf("%w: %s", record.ErrMalformed, what) }
