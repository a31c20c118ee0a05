package pcapng

import (
	"encoding/binary"
	"net/netip"

	"mosn.io/tcpcopy/pkg/record"
)

// The bits of the first byte that AppendState appends.
const (
	stateV6 = 1 << iota
	stateAnnounced
	stateLastOut
	stateUnknownIn
	stateUnknownOut
)

// AppendState appends what an Encoder keeps of f, some 30 bytes with IPv4 and 50 with
// IPv6. RestoreState makes f.State of it. It follows Open.
func AppendState(dst []byte, f *record.Flow) []byte {
	s := stateOf(f)
	bits := byte(0)
	for i, b := range []bool{s.packets.v6, s.announced, s.last == record.Out, s.unknown[record.In], s.unknown[record.Out]} {
		if b {
			bits |= 1 << i
		}
	}
	dst = append(dst, bits)
	for _, n := range []uint64{uint64(s.segment), s.next.In, s.next.Out} {
		dst = binary.AppendUvarint(dst, n)
	}
	for dir := range s.shift {
		dst = binary.LittleEndian.AppendUint32(dst, s.shift[dir])
		dst = binary.LittleEndian.AppendUint16(dst, s.packets.packets[dir])
	}
	return append(dst, s.packets.addresses()...)
}

// RestoreState sets f.State as it was when AppendState appended what is in b. The other
// fields of f are those that it had.
func RestoreState(f *record.Flow, b []byte) {
	bits := b[0]
	b = b[1:]
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		b = b[size:]
		return n
	}
	s := &flowState{
		announced: bits&stateAnnounced != 0,
		unknown:   [2]bool{bits&stateUnknownIn != 0, bits&stateUnknownOut != 0},
	}
	if bits&stateLastOut != 0 {
		s.last = record.Out
	}
	s.segment = uint32(number())
	s.next.In, s.next.Out = number(), number()
	var packets [2]uint16
	for dir := range s.shift {
		s.shift[dir], packets[dir] = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:])
		b = b[6:]
	}
	n := net4
	if bits&stateV6 != 0 {
		n = net6
	}
	client, _ := netip.AddrFromSlice(b[:n])
	server, _ := netip.AddrFromSlice(b[n : 2*n])
	ports := b[2*n:]
	s.packets.between(
		netip.AddrPortFrom(client, binary.BigEndian.Uint16(ports)),
		netip.AddrPortFrom(server, binary.BigEndian.Uint16(ports[2:])), f)
	s.packets.packets = packets
	f.State = s
}

// The lengths of addresses.
const (
	net4 = 4
	net6 = 16
)
