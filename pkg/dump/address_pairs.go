package dump

import (
	"net/netip"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// addressPairs knows which connection the packets between two addresses are of, in a
// file with the connections of several windows and processes. The same addresses come
// again: when a connection goes on in the next window; when a client's port is used
// again, maybe before the close event of the connection before; and in a hot upgrade,
// where two processes see one connection and each counts its bytes from 0.
//
// The zero value is empty and ready to use. It remembers the pairs that were used last.
type addressPairs struct {
	young, old map[addressPair]*pairUser // the old ones go when the young ones are maxPairs
}

const maxPairs = 1 << 16

type addressPair struct {
	client, server netip.AddrPort
	udp            bool
}

// pairUser is the connection that has used a pair last.
type pairUser struct {
	conn, window string
	next         record.PerDirection // offset after its last packets
	sequence     [2]uint32           // sequence number after them
	first        uint32              // sequence number of its first byte
	over         bool                // it has ended, and not moved
}

// enter makes f the user of its pair, or of another one where that is in use, and
// completes how f's packets appear.
func (p *addressPairs) enter(f *record.Flow, a *pcapng.Appearance) *pairUser {
	key := pairOf(f, a)
	u := p.find(key)
	if u != nil && !u.goesOn(f, a) && !u.makesRoom(f, a) {
		a.Client = pcapng.StandInClient(f.Conn)
		key = pairOf(f, a)
		u = p.find(key)
	}
	switch {
	case u == nil:
	case u.goesOn(f, a):
		u.goOn(f, a)
	case key.udp:
	default:
		// Wireshark distinguishes the two by their handshakes, if the numbers differ.
		u.first += 1 << 20
		a.Shift = [2]uint32{u.first, u.first}
	}
	next := &pairUser{conn: f.Conn, window: f.Window, next: f.Next, first: a.Shift[record.In]}
	for _, dir := range record.Directions() {
		next.sequence[dir] = uint32(f.Next.Of(dir)) + 1 + a.Shift[dir]
	}
	p.add(key, next)
	return next
}

// goesOn reports whether f is the connection of u in a later window. The lines of hex
// have a connection for each port, whose bytes are counted anew in each window.
func (u *pairUser) goesOn(f *record.Flow, a *pcapng.Appearance) bool {
	if u.conn != f.Conn {
		return false
	}
	for _, dir := range record.Directions() {
		if !a.Unknown[dir] && f.Next.Of(dir) < u.next.Of(dir) {
			return false
		}
	}
	return true
}

// makesRoom reports whether another connection may use the pair of u after it, as it
// may on a wire: f begins after the end of u, and its packets show that.
func (u *pairUser) makesRoom(f *record.Flow, a *pcapng.Appearance) bool {
	over := u.over || u.window != f.Window && runOf(u.conn) == runOf(f.Conn)
	return over && (a.Handshake || f.Network == "udp")
}

// goOn has the packets of f, the same connection in a later window, come after those
// that there are.
func (u *pairUser) goOn(f *record.Flow, a *pcapng.Appearance) {
	a.Handshake = false
	for _, dir := range record.Directions() {
		from := u.sequence[dir]
		if n := f.Next.Of(dir) - u.next.Of(dir); n > 0 && !a.Unknown[dir] {
			from += pcapng.Jump(n)
		}
		a.Shift[dir] = from - 1 - uint32(f.Next.Of(dir))
	}
}

// passed says how far the packets of f, whose user u is, have come.
func (u *pairUser) passed(f *record.Flow) { u.next, u.sequence = f.Next, pcapng.NextSequence(f) }

func pairOf(f *record.Flow, a *pcapng.Appearance) addressPair {
	client, server := pcapng.PacketAddresses(f, a)
	return addressPair{client, server, f.Network == "udp"}
}

func (p *addressPairs) find(key addressPair) *pairUser {
	u := p.young[key]
	if u == nil {
		u = p.old[key]
	}
	return u
}

func (p *addressPairs) add(key addressPair, u *pairUser) {
	if p.young == nil || len(p.young) >= maxPairs {
		p.young, p.old = map[addressPair]*pairUser{}, p.young
	}
	p.young[key] = u
}
