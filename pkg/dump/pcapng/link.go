package pcapng

import (
	"encoding/binary"
	"fmt"
)

// Link types of packets, from the registry that pcapng refers to. The recorder's is
// linkTypeRaw.
const (
	linkNull     = 0 // BSD loopback: the address family as the host has it
	linkEthernet = 1
	linkLoop     = 108 // OpenBSD loopback: the address family, big-endian
	linkCooked   = 113 // Linux "any" interface, version 1
	linkIPv4     = 228
	linkIPv6     = 229
	linkCooked2  = 276 // Linux "any" interface, version 2
)

// isRaw reports whether packets of a link type begin with their IP header.
func isRaw(link uint16) bool {
	switch link {
	case linkTypeRaw, 12, 14, linkIPv4, linkIPv6: // 12 and 14 are what some systems call it
		return true
	}
	return false
}

// linkName names a link type for people.
func linkName(link uint16) string {
	switch link {
	case linkNull, linkLoop:
		return "loopback"
	case linkEthernet:
		return "Ethernet"
	case linkCooked, linkCooked2:
		return "Linux cooked"
	case linkTypeRaw, 12, 14, linkIPv4, linkIPv6:
		return "raw IP"
	}
	return fmt.Sprintf("link type %d", link)
}

// withoutLinkHeader returns the IP packet in a frame. ok is false where there is none, and
// for link types that are not known.
func withoutLinkHeader(link uint16, frame []byte) (packet []byte, ok bool) {
	var header, protocolAt int
	switch link {
	case linkNull, linkLoop:
		header = 4
	case linkEthernet:
		header, protocolAt = 14, 12
	case linkCooked:
		header, protocolAt = 16, 14
	case linkCooked2:
		header = 20 // its protocol comes first
	default:
		return nil, false
	}
	if len(frame) < header {
		return nil, false
	}
	if link == linkNull || link == linkLoop {
		return frame[header:], true
	}
	protocol := binary.BigEndian.Uint16(frame[protocolAt:])
	packet = frame[header:]
	for (protocol == 0x8100 || protocol == 0x88a8) && len(packet) >= 4 { // VLAN tags
		protocol, packet = binary.BigEndian.Uint16(packet[2:]), packet[4:]
	}
	return packet, protocol == 0x0800 || protocol == 0x86dd
}
