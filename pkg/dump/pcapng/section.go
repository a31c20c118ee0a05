package pcapng

import "encoding/binary"

// AppendSectionHeader appends the Section Header Block that begins a file; app
// names the program that writes it.
func AppendSectionHeader(dst []byte, app string) []byte {
	start := len(dst)
	dst = beginBlock(dst, blockSection)
	dst = binary.LittleEndian.AppendUint32(dst, byteOrderMagic)
	dst = binary.LittleEndian.AppendUint16(dst, 1) // major version
	dst = binary.LittleEndian.AppendUint16(dst, 0) // minor version
	dst = binary.LittleEndian.AppendUint64(dst, ^uint64(0))
	dst = appendOption(dst, optSectionApplication, app)
	return endBlock(endOptions(dst), start)
}

// The interface of every file that is written now.
const (
	interfaceName        = "tcpcopy"
	interfaceDescription = "all listeners"
)

// AppendHead appends the blocks that a file begins with: the Section Header Block, in
// which app names the program that writes it, and the Interface Description Block of
// the one interface, 0, that all packets are of. It is the same for all listeners and
// files, so that tools which merge files need no second one: libpcap, with which
// tcpdump, tcpflow and others read, ends at the second interface block of link type
// "raw", whatever it says (sf-pcapng.c compares the type in the file with its own
// number for it, which is another one).
func AppendHead(dst []byte, app string) []byte {
	return AppendInterface(AppendSectionHeader(dst, app), interfaceName, interfaceDescription)
}

// AppendInterface appends an Interface Description Block. Interfaces have the
// numbers 0, 1, … in the order in which their blocks stand in the section. See
// AppendHead for why there is one only.
func AppendInterface(dst []byte, name, description string) []byte {
	start := len(dst)
	dst = beginBlock(dst, blockInterface)
	dst = binary.LittleEndian.AppendUint16(dst, linkTypeRaw)
	dst = binary.LittleEndian.AppendUint16(dst, 0) // reserved
	dst = binary.LittleEndian.AppendUint32(dst, snapLength)
	dst = appendOption(dst, optInterfaceName, name)
	if description != "" {
		dst = appendOption(dst, optInterfaceDescription, description)
	}
	dst = append(dst, optInterfaceResolution, 0, 1, 0, 9, 0, 0, 0) // 10^-9 s
	return endBlock(endOptions(dst), start)
}

// HeadLength is how many bytes of a file IsSection wants.
const HeadLength = 12

// IsSection reports whether the first bytes of a file are those of a section header.
// One of the two words that begin it may be damaged.
func IsSection(head []byte) bool {
	return len(head) >= 4 && binary.LittleEndian.Uint32(head) == blockSection ||
		len(head) >= HeadLength && binary.LittleEndian.Uint32(head[8:]) == byteOrderMagic
}
