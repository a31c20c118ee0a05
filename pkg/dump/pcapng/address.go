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
// fd6d:6f73:6e00:2:<number of the connection> for the client. The connection's
// number alone makes the pair unique; the comment has the true names.
var standIn = [6]byte{0xfd, 0x6d, 0x6f, 0x73, 0x6e, 0x00}

const (
	standInServer = 1
	standInClient = 2

	standInServerPort = 1
	standInClientPort = 49152 // the first of the dynamic ports
)

// packetAddresses returns the addresses that f's packets carry, both of one
// family. IPv4 addresses are IPv4 in whatever form they came, unless the other
// end is IPv6: then they are mapped ones. An address that is not known gets a
// stand-in.
func packetAddresses(f *record.Flow) (client, server netip.AddrPort) {
	client, server = plain(f.ClientAddr), plain(f.ServerAddr)
	if f.Network == "unix" || !client.IsValid() {
		id := connectionNumber(f.Conn)
		client = netip.AddrPortFrom(standInAddr(standInClient, id), standInClientPort+uint16(id%(1<<16-standInClientPort)))
	}
	if f.Network == "unix" || !server.IsValid() {
		server = netip.AddrPortFrom(standInAddr(standInServer, hashOf(f.Port)), standInServerPort)
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
