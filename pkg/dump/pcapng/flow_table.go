package pcapng

import (
	"encoding/binary"
	"net/netip"

	"mosn.io/tcpcopy/pkg/dump/internal/spill"
	"mosn.io/tcpcopy/pkg/record"
)

// maxFlows is how many connections a Decoder has in memory. It remembers all that have
// not ended.
const maxFlows = 1 << 15

// flowTable is the connections of a Decoder that have not ended.
type flowTable struct {
	flows *spill.Table[*packetFlow]
	key   []byte

	// The connections whose packets were found last, by slotOf their addresses. They hold
	// while moves is that of flows.
	found [256]foundFlow
	moves uint64
}

// foundFlow is the connection of all packets between two addresses with a label, or
// nothing.
type foundFlow struct {
	pair           uint64 // see pairHash
	client, server netip.AddrPort
	udp            bool
	label          uint32 // of the packets
	keyLabel       uint32 // of the connection's key, may be noLabel
	f              *packetFlow
}

func newFlowTable() *flowTable {
	return &flowTable{flows: spill.NewTable(maxFlows, appendFlow, parseFlow)}
}

// slot returns where the connection of packets with that pairHash is, if it was found
// lately.
func (t *flowTable) slot(pair uint64) *foundFlow {
	if moves := t.flows.Moves(); moves != t.moves {
		t.moves = moves
		clear(t.found[:])
	}
	return &t.found[pair>>56]
}

// pairHash returns a hash of two addresses and their ports, which is the same in either
// order. a and b are the addressHash of the addresses.
func pairHash(a uint64, aPort uint16, b uint64, bPort uint16) uint64 {
	return ((a ^ uint64(aPort)<<32) + (b ^ uint64(bPort)<<32)) * 0x9e3779b97f4a7c15
}

// addressHash returns a hash of an address.
func addressHash(a netip.Addr) uint64 {
	if a.Is4() {
		ip := a.As4()
		return uint64(binary.LittleEndian.Uint32(ip[:]))
	}
	ip := a.As16()
	return addressHash16(&ip)
}

// addressHash16 returns a hash of an IPv6 address.
func addressHash16(ip *[16]byte) uint64 {
	return binary.LittleEndian.Uint64(ip[:]) ^ binary.BigEndian.Uint64(ip[8:])
}

// pair returns the pairHash of the connection's packets.
func (k *packetKey) pair() uint64 {
	return pairHash(addressHash(k.client.Addr()), k.client.Port(), addressHash(k.server.Addr()), k.server.Port())
}

// packetsOf returns the connection of a packet and the packet's direction, if it is known
// from the packets before.
func (t *flowTable) packetsOf(v *packetView) (key packetKey, dir record.Direction, f *packetFlow) {
	s := t.slot(v.pair)
	if s.f == nil || s.pair != v.pair || s.label != v.label || s.udp != v.udp {
		return key, dir, nil
	}
	switch {
	case s.client == v.src && s.server == v.dst:
		dir = record.In
	case s.client == v.dst && s.server == v.src:
		dir = record.Out
	default:
		return key, dir, nil
	}
	return packetKey{s.client, s.server, s.udp, s.keyLabel}, dir, s.f
}

// remember says that the packets with that label between the addresses of key are those of
// f, until one of these addresses is added or removed.
func (t *flowTable) remember(label uint32, key packetKey, f *packetFlow) {
	pair := key.pair()
	*t.slot(pair) = foundFlow{pair, key.client, key.server, key.udp, label, key.label, f}
}

// find returns a connection, or nil.
func (t *flowTable) find(key packetKey) *packetFlow {
	t.key = key.append(t.key[:0])
	f, _ := t.flows.Find(t.key)
	return f
}

func (t *flowTable) add(key packetKey, f *packetFlow) {
	t.key = key.append(t.key[:0])
	t.flows.Add(t.key, f)
	*t.slot(key.pair()) = foundFlow{}
}

func (t *flowTable) remove(key packetKey) {
	t.key = key.append(t.key[:0])
	t.flows.Remove(t.key)
	*t.slot(key.pair()) = foundFlow{}
}

// append appends the bytes of k.
func (k packetKey) append(dst []byte) []byte {
	client, server := k.client.Addr().As16(), k.server.Addr().As16()
	dst = append(append(dst, client[:]...), server[:]...)
	dst = binary.LittleEndian.AppendUint16(dst, k.client.Port())
	dst = binary.LittleEndian.AppendUint16(dst, k.server.Port())
	dst = binary.LittleEndian.AppendUint32(dst, k.label)
	bits := byte(0)
	if k.udp {
		bits |= 1
	}
	if k.client.Addr().Is4() { // a mapped address is another one
		bits |= 2
	}
	return append(dst, bits)
}

// texts returns the strings of a connection.
func (f *packetFlow) texts() [7]*string {
	return [...]*string{&f.Window, &f.Conn, &f.Port, &f.Network, &f.Peer, &f.Listener, &f.ListenerName}
}

// appendFlow appends the bytes of f.
func appendFlow(dst []byte, f *packetFlow) []byte {
	bits := byte(0)
	for i, b := range []bool{f.known[0], f.known[1], f.unnamed} {
		if b {
			bits |= 1 << i
		}
	}
	dst = append(dst, bits)
	dst = binary.LittleEndian.AppendUint16(dst, f.link)
	dst = binary.LittleEndian.AppendUint32(dst, f.shift[0])
	dst = binary.LittleEndian.AppendUint32(dst, f.shift[1])
	dst = binary.AppendUvarint(dst, f.next.In)
	dst = binary.AppendUvarint(dst, f.next.Out)
	for _, s := range f.texts() {
		dst = binary.AppendUvarint(dst, uint64(len(*s)))
		dst = append(dst, *s...)
	}
	return dst
}

// parseFlow reads what appendFlow has appended.
func parseFlow(b []byte) (*packetFlow, bool) {
	const fixed = 11
	if len(b) < fixed {
		return nil, false
	}
	f := &packetFlow{
		known: [2]bool{b[0]&1 != 0, b[0]&2 != 0}, unnamed: b[0]&4 != 0, link: binary.LittleEndian.Uint16(b[1:]),
		shift: [2]uint32{binary.LittleEndian.Uint32(b[3:]), binary.LittleEndian.Uint32(b[7:])},
	}
	b = b[fixed:]
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		b = b[max(size, 0):]
		return n
	}
	f.next.In, f.next.Out = number(), number()
	for _, s := range f.texts() {
		n := number()
		if n > uint64(len(b)) {
			return nil, false
		}
		*s, b = string(b[:n]), b[n:]
	}
	return f, len(b) == 0
}
