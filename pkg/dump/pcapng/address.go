package pcapng

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/record"
)

// standIn is the network (RFC 4193, "mosn" in its global identifier) of the
// addresses that stand in the packets of Unix sockets, which have none:
// fd6d:6f73:6e00:1:<hash of the socket's path> for the listener and
// fd6d:6f73:6e00:2:<run and number of the connection> for the client. The client's
// alone is unique among all processes; the comment has the true names.
var standIn = [6]byte{0xfd, 0x6d, 0x6f, 0x73, 0x6e, 0x00}

const (
	standInServer = 1
	standInClient = 2

	standInServerPort = 1
	standInClientPort = 49152 // the first of the dynamic ports
)

// PacketAddresses returns the addresses that f's packets carry, both of one
// family. IPv4 addresses are IPv4 in whatever form they came, unless the other
// end is IPv6: then they are mapped ones. An address that is not known gets a
// stand-in, and so does the client where a says so.
func PacketAddresses(f *record.Flow, a *Appearance) (client, server netip.AddrPort) {
	client, server = plain(f.ClientAddr), plain(f.ServerAddr)
	switch {
	case a.Client.IsValid():
		client = a.Client
	case f.Network == "unix" || !client.IsValid():
		client = StandInClient(f.Conn)
	}
	if f.Network == "unix" || !server.IsValid() {
		server = netip.AddrPortFrom(standInAddr(standInServer, hashOf(f.Port)), max(a.ServerPort, standInServerPort))
	}
	if client.Addr().Is4() != server.Addr().Is4() {
		client, server = mapped(client), mapped(server)
	}
	return client, server
}

// plain returns a without its zone, and as IPv4 where it is a mapped address.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// mapped returns a as an IPv6 address.
func mapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}

func standInAddr(side byte, id uint64) netip.Addr {
	var a [16]byte
	copy(a[:], standIn[:])
	a[7] = side
	binary.BigEndian.PutUint64(a[8:], id)
	return netip.AddrFrom16(a)
}

// StandInClient returns the address that stands for the client of a connection, by the
// connection's identity.
func StandInClient(conn string) netip.AddrPort {
	number := connectionNumber(conn)
	return netip.AddrPortFrom(standInAddr(standInClient, runBits(conn)<<runShift^number), standInClientPort+uint16(number%(1<<16-standInClientPort)))
}

// runShift is how many bits of a stand-in are for the connection's number: more than
// a process gives.
const runShift = 34

// runBits returns the run in a connection's identity, <run>-<number>, as a number of 30
// bits, or a hash where it is no run.
func runBits(conn string) uint64 {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567" // base32
	run, _, _ := strings.Cut(conn, "-")
	bits := uint64(0)
	for i := range len(run) {
		digit := strings.IndexByte(alphabet, run[i])
		if digit < 0 || len(run) != 6 {
			return hashOf(run) & (1<<30 - 1)
		}
		bits = bits<<5 | uint64(digit)
	}
	return bits
}

// connectionNumber returns the number in a connection's identity, <run>-<number>,
// or a hash of the identity where there is none.
func connectionNumber(conn string) uint64 {
	if n, err := strconv.ParseUint(conn[strings.LastIndexByte(conn, '-')+1:], 10, 64); err == nil {
		return n
	}
	return hashOf(conn)
}

// hashOf returns the FNV-1a hash of s.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
