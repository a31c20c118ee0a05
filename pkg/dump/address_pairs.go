package dump

import (
	"hash/maphash"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// addressPairs knows which connection the packets between two addresses are of, in a
// file with the connections of several windows and processes. The same addresses come
// again: when a connection goes on in the next window; when a client's port is used
// again, maybe before the close event of the connection before; and in a hot upgrade,
// where two processes see one connection and each counts its bytes from 0.
//
// It remembers the pairs that were used last, more than a client has ports. What it
// compares it has as hashes of 64 bits, which are not equal by chance.
type addressPairs struct {
	seed       maphash.Seed
	young, old map[uint64]*pairUser // by the hash of the pair; the old ones go when the young ones are maxPairs
}

const maxPairs = 1 << 15

// pairUser is the connection that has used a pair last.
type pairUser struct {
	conn, window uint64 // hashes
	run          uint64
	next         record.PerDirection // offset after its last packets
	sequence     [2]uint32           // sequence number after them
	first        uint32              // sequence number of its first byte
	over         bool                // it has ended, and not moved
}

func newAddressPairs() addressPairs { return addressPairs{seed: maphash.MakeSeed()} }

// enter makes f the user of its pair, or of another one where that is in use, and
// completes how f's packets appear.
func (p *addressPairs) enter(f *record.Flow, a *pcapng.Appearance) *pairUser {
	next := &pairUser{conn: p.hash(f.Conn), window: p.hash(f.Window), run: p.hash(runOf(f.Conn))}
	key := p.pairOf(f, a)
	u := p.find(key)
	if u != nil && !u.goesOn(next, f, a) && !u.makesRoom(next, f, a) {
		a.Client = pcapng.StandInClient(f.Conn)
		key = p.pairOf(f, a)
		u = p.find(key)
	}
	switch {
	case u == nil:
	case u.goesOn(next, f, a):
		u.goOn(f, a)
	case f.Network == "udp":
	default:
		// Wireshark distinguishes the two by their handshakes, if the numbers differ.
		u.first += 1 << 20
		a.Shift = [2]uint32{u.first, u.first}
	}
	next.next, next.first = f.Next, a.Shift[record.In]
	for _, dir := range record.Directions() {
		next.sequence[dir] = uint32(f.Next.Of(dir)) + 1 + a.Shift[dir]
	}
	p.add(key, next)
	return next
}

// goesOn reports whether f, whose hashes next has, is the connection of u in a later window. The lines of hex
// have a connection for each port, whose bytes are counted anew in each window.
func (u *pairUser) goesOn(next *pairUser, f *record.Flow, a *pcapng.Appearance) bool {
	if u.conn != next.conn {
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
func (u *pairUser) makesRoom(next *pairUser, f *record.Flow, a *pcapng.Appearance) bool {
	over := u.over || u.window != next.window && u.run == next.run
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

func (p *addressPairs) hash(text string) uint64 { return maphash.String(p.seed, text) }

// pairOf returns the hash of the addresses that f's packets have.
func (p *addressPairs) pairOf(f *record.Flow, a *pcapng.Appearance) uint64 {
	client, server := pcapng.PacketAddresses(f, a)
	var h maphash.Hash
	h.SetSeed(p.seed)
	var text [128]byte
	h.WriteString(f.Network)
	h.WriteByte(0)
	h.Write(server.AppendTo(append(client.AppendTo(text[:0]), 0)))
	return h.Sum64()
}

func (p *addressPairs) find(key uint64) *pairUser {
	u := p.young[key]
	if u == nil {
		u = p.old[key]
	}
	return u
}

func (p *addressPairs) add(key uint64, u *pairUser) {
	if p.young == nil || len(p.young) >= maxPairs {
		clear(p.old) // its memory is used again
		p.young, p.old = p.old, p.young
		if p.young == nil {
			p.young = map[uint64]*pairUser{}
		}
	}
	p.young[key] = u
}
