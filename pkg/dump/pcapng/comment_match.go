package pcapng

import (
	"fmt"
	"net/netip"

	"mosn.io/tcpcopy/pkg/record"
)

// identity returns the identity comment of a packet that is the recorder's, or nil.
// Somebody may have copied one from another packet: in its own, the sequence number says
// the same as the comment, and so do the addresses, unless some program has replaced them.
func (d *Decoder) identity(p *packetOf) (id *parsedIdentity) {
	for _, c := range d.options.comments {
		if c.identity == nil || !d.mayBegin(c.identity, p) {
			continue
		}
		if c.identity.has(p.key) {
			return c.identity
		}
		if id == nil && (p.flow == nil || p.flow.unnamed) && !d.closed.has(p.key) {
			id = c.identity
		}
	}
	return id
}

// mayBegin reports whether the sequence number of a packet is one at which the file may
// begin to have the connection.
func (d *Decoder) mayBegin(id *parsedIdentity, p *packetOf) bool {
	base, syn := id.base.Of(p.dir), p.flags&(flagSYN|flagACK) == flagSYN
	switch {
	case p.udp || syn:
		return true
	case id.start && !id.again || p.flags&flagSYN != 0:
		return false // then the first packet is the client's SYN
	case p.seq == uint32(base)+1+id.shift[p.dir]:
		return true
	}
	for i := range d.options.comments { // the first packet may be that of a gap
		c := &d.options.comments[i]
		if n := c.comment; n.kind == commentGap && n.offset == base && c.conn == id.Conn && c.isOf(p, id.shift) {
			return true
		}
	}
	return false
}

// has reports whether key is that of the packets that the encoder makes for id.
func (id *parsedIdentity) has(key packetKey) bool {
	f := record.Flow{Endpoint: record.Endpoint{Identity: id.Identity}}
	f.ClientAddr, _ = netip.ParseAddrPort(id.Peer)
	f.ServerAddr, _ = netip.ParseAddrPort(id.Listener)
	for _, a := range []Appearance{{}, {Client: StandInClient(id.Conn)}, {ServerPort: key.server.Port()}} {
		if client, server := PacketAddresses(&f, &a); client == key.client && server == key.server {
			return true
		}
	}
	return false
}

// event returns the first comment about a gap or a close that is the recorder's, or nil.
// One of another connection counts where there is none of the packet's own: one of the
// two is damaged.
func (d *Decoder) event(p *packetOf) (event *parsedComment) {
	for i := range d.options.comments {
		c := &d.options.comments[i]
		switch {
		case c.comment.kind == commentNone || !c.isOf(p, p.shift()):
		case p.flow == nil || p.flow.unnamed || c.conn == p.flow.Conn:
			return c
		case event == nil:
			event = c
		}
	}
	return event
}

// state returns what the state comment of connection conn says, or nil.
func (o *packetOptions) state(conn string) *parsedState {
	for i := range o.comments {
		if c := &o.comments[i]; c.state != nil && c.conn == conn {
			return c.state
		}
	}
	return nil
}

// shift returns the shift of the packet's connection, as far as it is known.
func (p *packetOf) shift() (shift [2]uint32) {
	switch {
	case p.identity != nil:
		shift = p.identity.shift
	case p.flow != nil:
		shift = p.flow.shift
	}
	return shift
}

// isOf reports whether the recorder may have written a comment about a gap or a close to
// that packet, of a connection with that shift.
func (c *parsedComment) isOf(p *packetOf, shift [2]uint32) bool {
	n := &c.comment
	switch {
	case p.length() > 0:
		return false
	case p.udp:
		return true
	case n.kind == commentClose:
		return p.flags&(flagFIN|flagRST) != 0 || n.reason == string(record.CloseMoved)
	}
	if n.kind != commentGap || n.dir != p.dir {
		return false
	}
	// Versions before Jump went on by the length.
	from := uint32(n.offset) + 1 + shift[p.dir]
	return p.seq == from+Jump(n.length) || p.seq == from+uint32(n.length)
}

// damagedComment returns an error where a comment of the recorder is missing from a packet
// and one that resembles it is there, or where event is of another connection.
func (d *Decoder) damagedComment(p *packetOf, event *parsedComment) error {
	if event == nil && d.options.silent() {
		return nil
	}
	r, f := d.options.resembles, p.flow
	for _, c := range d.options.comments { // in full, but perhaps not of this packet
		if c.identity != nil {
			r[commentIdentity] = true
		}
		r[c.comment.kind] = true
	}
	kind := ""
	switch {
	case r[commentIdentity] && p.identity == nil && (f == nil || f.unnamed || p.flags&(flagSYN|flagACK) == flagSYN):
		kind = "the identity of a connection"
	case event != nil:
		if f != nil && !f.unnamed && event.conn != f.Conn {
			kind = fmt.Sprintf("connection %.80q in a packet of %.80q", event.conn, f.Conn)
		}
	case p.length() > 0 || p.flags&flagSYN != 0:
	case r[commentGap] && (p.udp || f == nil || p.seq != uint32(f.next.Of(p.dir))+1+f.shift[p.dir]):
		kind = "a gap"
	case r[commentClose] && (p.udp || p.flags&(flagFIN|flagRST) != 0):
		kind = "a close"
	}
	if kind == "" && r[commentState] {
		kind = "the state of a connection"
	}
	if kind == "" {
		return nil
	}
	return malformed("the comment of " + kind)
}
