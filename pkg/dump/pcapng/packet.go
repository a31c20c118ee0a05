package pcapng

import (
	"encoding/binary"
	"net/netip"

	"mosn.io/tcpcopy/internal/checksum"
	"mosn.io/tcpcopy/pkg/record"
)

const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagPSH = 0x08
	flagACK = 0x10

	protocolTCP = 6
	protocolUDP = 17

	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	udpHeader  = 8
)

// synOptions is what SYN packets have after the TCP header: the largest segment
// size and a window scale of 14, so that the window of 1 GiB is never full.
const synOptions = "\x02\x04\xff\xd7\x01\x03\x03\x0e"

// packetTemplate holds a flow's headers, ready but for lengths, numbers, flags and
// sums. The sums are those of the headers as they are here, so that nothing is read
// of a packet that has just been written: its memory is another processor's.
type packetTemplate struct {
	udp, v6   bool
	label     uint32          // in each IP header, see labelOf
	packets   [2]uint16       // that there are, in each direction
	ip        [2]checksum.Sum // of the IPv4 header
	transport [2]checksum.Sum // of the pseudo header and the TCP or UDP header
	header    [2][ipv6Header + tcpHeader]byte
}

// A label is in the IP header of each packet of a connection, so that packets of
// another one between the same addresses are told from them. In IPv6 it is the Flow
// Label, in IPv4 it is in the upper bits of the Identification; the lower ones count
// packets, because tcptrace thinks that two with the same Identification are one.
const (
	labelBitsV4, countBitsV4 = 12, 4
	labelBitsV6              = 20
)

// labelOf returns the label of a connection's packets.
func labelOf(conn string, v6 bool) uint32 {
	bits := labelBitsV4
	if v6 {
		bits = labelBitsV6
	}
	// The numbers of connections that use an address one after the other may differ by
	// a power of two; so the upper bits of a product.
	return uint32(connectionNumber(conn) * 0x9e3779b97f4a7c15 >> (64 - bits))
}

// init fills p for f.
func (p *packetTemplate) init(f *record.Flow, a *Appearance) {
	client, server := PacketAddresses(f, a)
	p.between(client, server, f)
}

// between fills p for a flow whose packets have these addresses, both of one family.
func (p *packetTemplate) between(client, server netip.AddrPort, f *record.Flow) {
	*p = packetTemplate{udp: f.Network == "udp", v6: client.Addr().Is6()}
	p.label = labelOf(f.Conn, p.v6)
	p.build(record.In, client, server)
	p.build(record.Out, server, client)
}

func (p *packetTemplate) build(dir record.Direction, from, to netip.AddrPort) {
	protocol := byte(protocolTCP)
	if p.udp {
		protocol = protocolUDP
	}
	h := p.header[dir][:]
	at := ipv4Header
	if p.v6 {
		at = ipv6Header
		binary.BigEndian.PutUint32(h, 6<<28|p.label)
		h[6] = protocol
		h[7] = 64 // hop limit
		src, dst := from.Addr().As16(), to.Addr().As16()
		copy(h[8:], src[:])
		copy(h[24:], dst[:])
		p.transport[dir] = checksum.Sum(0).Add(h[8:40])
	} else {
		h[0] = 4<<4 | ipv4Header/4
		h[6] = 0x40 // don't fragment
		h[8] = 64   // time to live
		h[9] = protocol
		src, dst := from.Addr().As4(), to.Addr().As4()
		copy(h[12:], src[:])
		copy(h[16:], dst[:])
		p.ip[dir] = checksum.Sum(0).Add(h[:ipv4Header])
		p.transport[dir] = checksum.Sum(0).Add(h[12:20])
	}
	binary.BigEndian.PutUint16(h[at:], from.Port())
	binary.BigEndian.PutUint16(h[at+2:], to.Port())
	if !p.udp {
		h[at+12] = tcpHeader / 4 << 4
		h[at+14], h[at+15] = 0xff, 0xff // window
	}
	p.transport[dir] = p.transport[dir].Plus(checksum.Of16(uint16(protocol))).Add(h[at:p.headerLength()])
}

// addresses returns the part of an incoming packet's header with the addresses and ports:
// both addresses, the client's first, then both ports.
func (p *packetTemplate) addresses() []byte {
	if p.v6 {
		return p.header[record.In][8 : ipv6Header+4]
	}
	return p.header[record.In][12 : ipv4Header+4]
}

// headerLength returns the bytes of the IP and the TCP or UDP header together.
func (p *packetTemplate) headerLength() int {
	n := ipv4Header
	if p.v6 {
		n = ipv6Header
	}
	if p.udp {
		return n + udpHeader
	}
	return n + tcpHeader
}

// headroom returns the bytes of a packet's block before the payload.
func (p *packetTemplate) headroom() int { return packetFixed + p.headerLength() }

// maxDatagram returns how many bytes of payload a UDP packet can carry.
func (p *packetTemplate) maxDatagram() int {
	if p.v6 {
		return 65535 - udpHeader
	}
	return 65535 - ipv4Header - udpHeader
}

// put makes b one packet: it writes the headers before the payload, which is in b
// already and has that sum. The payload of a SYN packet is its TCP options.
func (p *packetTemplate) put(b []byte, dir record.Direction, flags byte, seq, ack uint32, payload checksum.Sum) {
	headers, total := p.headerLength(), len(b)
	copy(b, p.header[dir][:headers])
	at := ipv4Header
	if p.v6 {
		at = ipv6Header
		binary.BigEndian.PutUint16(b[4:], uint16(total-ipv6Header))
	} else {
		p.packets[dir]++
		id := uint16(p.label)<<countBitsV4 | p.packets[dir]&(1<<countBitsV4-1)
		binary.BigEndian.PutUint16(b[2:], uint16(total))
		binary.BigEndian.PutUint16(b[4:], id)
		sum := p.ip[dir].Plus(checksum.Of16(uint16(total))).Plus(checksum.Of16(id))
		binary.LittleEndian.PutUint16(b[10:], sum.Field())
	}
	transport := b[at:total]
	length := uint16(len(transport))
	sum := p.transport[dir].Plus(payload).Plus(checksum.Of16(length)) // the pseudo header's
	if p.udp {
		binary.BigEndian.PutUint16(transport[4:], length)
		field := sum.Plus(checksum.Of16(length)).Field()
		if field == 0 {
			field = 0xffff // a sum of zero means "none" in UDP
		}
		binary.LittleEndian.PutUint16(transport[6:], field)
		return
	}
	offset := p.header[dir][at+12]
	if flags&flagSYN != 0 {
		options := byte((total - headers) / 4 << 4)
		offset += options
		sum = sum.Plus(checksum.Of16(uint16(options) << 8))
	}
	binary.BigEndian.PutUint32(transport[4:], seq)
	binary.BigEndian.PutUint32(transport[8:], ack)
	transport[12], transport[13] = offset, flags
	sum = sum.Plus(checksum.Of32(seq)).Plus(checksum.Of32(ack)).Plus(checksum.Of16(uint16(flags)))
	binary.LittleEndian.PutUint16(transport[16:], sum.Field())
}
