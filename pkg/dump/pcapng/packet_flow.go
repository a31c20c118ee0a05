package pcapng

import (
	"fmt"
	"net/netip"

	"mosn.io/tcpcopy/pkg/record"
)

// packetKey identifies a connection by what each of its packets has.
type packetKey struct {
	client, server netip.AddrPort
	udp            bool
	label          uint32 // noLabel of connections whose identity has none
}

// noLabel is no label of a packet.
const noLabel = ^uint32(0)

// packetFlow is what the decoder knows of a connection.
type packetFlow struct {
	record.Identity
	next  record.PerDirection // offset after the last bytes
	known [2]bool             // next is valid, by direction
	shift [2]uint32           // of sequence numbers, see Appearance

	unnamed bool   // it has not identified itself
	link    uint16 // of the packet that did so
}

// closedFlows remembers the connections that were closed last, up to maxClosed.
type closedFlows struct {
	young, old map[packetKey]bool
}

func (c *closedFlows) add(key packetKey) {
	if c.young == nil || len(c.young) >= maxClosed/2 {
		c.young, c.old = map[packetKey]bool{}, c.young
	}
	c.young[key] = true
}

func (c *closedFlows) has(key packetKey) bool { return c.young[key] || c.old[key] }

func (c *closedFlows) remove(key packetKey) {
	delete(c.young, key)
	delete(c.old, key)
}

// orient returns which end of a packet is the client, and the packet's direction.
// What is known of its connection may be nothing.
func (d *Decoder) orient(v *packetView, direction uint32) (packetKey, record.Direction, *packetFlow) {
	if v.udp || v.flags&flagSYN == 0 {
		if key, dir, f := d.flows.packetsOf(v); f != nil {
			return key, dir, f
		}
	}
	in, flowIn := d.find(v, packetKey{client: v.src, server: v.dst, udp: v.udp})
	out, flowOut := d.find(v, packetKey{client: v.dst, server: v.src, udp: v.udp})
	if !v.udp && v.flags&flagSYN != 0 {
		if v.flags&flagACK != 0 {
			return out, record.Out, flowOut
		}
		return in, record.In, flowIn
	}
	// Where one of the two is known, that is more certain than a flag.
	switch knownIn, knownOut := flowIn != nil, flowOut != nil; {
	case knownIn && !knownOut:
		d.flows.remember(v.label, in, flowIn)
		return in, record.In, flowIn
	case knownOut && !knownIn:
		d.flows.remember(v.label, out, flowOut)
		return out, record.Out, flowOut
	case direction == packetInbound:
		return in, record.In, flowIn
	case direction == packetOutbound:
		return out, record.Out, flowOut
	case v.dst.Port() > v.src.Port() && !knownIn:
		return out, record.Out, flowOut
	}
	return in, record.In, flowIn
}

// find returns the connection of a packet, nil when it is not known, and its key with
// the label, which key does not have.
func (d *Decoder) find(v *packetView, key packetKey) (packetKey, *packetFlow) {
	key.label = v.label
	if f := d.flows.find(key); f != nil || d.closed.has(key) {
		return key, f
	}
	key.label = noLabel
	return key, d.flows.find(key)
}

// begin remembers a connection.
func (d *Decoder) begin(key packetKey, id *parsedIdentity) *packetFlow {
	d.closed.remove(key)
	f := &packetFlow{Identity: id.Identity}
	d.flows.add(key, f)
	return f
}

// unknown makes up the identity of a connection whose own was lost, but for what
// the comment of an event says, if there is one.
func (d *Decoder) unknown(key packetKey, event *parsedComment) *parsedIdentity {
	id := &parsedIdentity{Identity: record.Identity{
		Window:   d.window, // its files are of one window
		Conn:     "unknown-" + key.client.String(),
		Port:     fmt.Sprint(key.server.Port()),
		Network:  "tcp",
		Peer:     key.client.String(),
		Listener: key.server.String(),
	}}
	if key.udp {
		id.Network = "udp"
	}
	if event != nil {
		id.Conn = event.conn
	}
	return id
}

// offset returns the stream offset of a packet's payload: the one with its
// sequence number that is nearest to what is expected.
func (f *packetFlow) offset(dir record.Direction, v *packetView) (offset uint64, ok bool) {
	expected := f.next.Of(dir)
	if v.udp {
		return expected, true
	}
	if !f.known[dir] {
		return uint64(v.seq - 1 - f.shift[dir]), true
	}
	ahead := int64(int32(v.seq - 1 - f.shift[dir] - uint32(expected)))
	offset = expected + uint64(ahead)
	return offset, ahead >= 0 && offset+v.length() >= offset || ahead < 0 && offset < expected
}
