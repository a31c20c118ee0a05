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

// AppendInterface appends an Interface Description Block. Interfaces have the
// numbers 0, 1, … in the order in which their blocks stand in the section.
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
