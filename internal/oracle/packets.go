package oracle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Packet is one TCP segment or UDP datagram of a pcapng file.
type Packet struct {
	Time           int64 // nanoseconds since 1970
	Source, Target netip.AddrPort
	UDP            bool   // it is a datagram; the fields below but Payload are zero
	Seq, Ack       uint32 // as on the wire
	SYN, FIN, RST  bool
	PSH, ACK       bool
	Payload        []byte // points into the file
}

// Flags returns the letters of the flags that are set, in the order SFRPA.
func (p *Packet) Flags() string {
	var s []byte
	for _, f := range []struct {
		set    bool
		letter byte
	}{{p.SYN, 'S'}, {p.FIN, 'F'}, {p.RST, 'R'}, {p.PSH, 'P'}, {p.ACK, 'A'}} {
		if f.set {
			s = append(s, f.letter)
		}
	}
	return string(s)
}

// The blocks of a file that have a meaning here; others are passed over.
const (
	sectionHeader  = 0x0a0d0d0a
	interfaceBlock = 1
	packetBlock    = 6
	simplePacket   = 3
)

const (
	byteOrder   = 0x1a2b3c4d
	linkTypeRaw = 101 // packets begin with the header of IPv4 or IPv6
)

// Packets reads a pcapng file of one little-endian section in memory. It does not
// copy payload: the packets point into file. It verifies the lengths of all blocks, options and headers, and all checksums.
// Interfaces must count nanoseconds and have the link type "raw".
func Packets(file []byte) ([]Packet, error) {
	var all []Packet
	interfaces := uint32(0)
	for at := 0; at < len(file); {
		kind, body, err := block(file[at:])
		if err == nil && (kind == sectionHeader) != (at == 0) {
			err = errors.New("a section header is the first block and only that")
		}
		switch {
		case err != nil:
		case kind == sectionHeader:
			err = checkSection(body)
		case kind == interfaceBlock:
			interfaces++
			err = checkInterface(body)
		case kind == simplePacket:
			err = errors.New("a packet without a time")
		case kind == packetBlock:
			var p Packet
			if p, err = enhanced(body, interfaces); err == nil {
				all = append(all, p)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("block at byte %d, after %d packets: %w", at, len(all), err)
		}
		at += len(body) + 12
	}
	return all, nil
}

// block returns the type and the body of the block that b begins with.
func block(b []byte) (kind uint32, body []byte, err error) {
	if len(b) < 12 {
		return 0, nil, fmt.Errorf("%d bytes are no block", len(b))
	}
	kind, n := binary.LittleEndian.Uint32(b), uint64(binary.LittleEndian.Uint32(b[4:]))
	if n < 12 || n%4 != 0 || n > uint64(len(b)) {
		return 0, nil, fmt.Errorf("a block of %d bytes where %d are left", n, len(b))
	}
	if again := binary.LittleEndian.Uint32(b[n-4:]); uint64(again) != n {
		return 0, nil, fmt.Errorf("a block of %d bytes ends with the length %d", n, again)
	}
	return kind, b[8 : n-4], nil
}

func checkSection(body []byte) error {
	if len(body) < 16 || binary.LittleEndian.Uint32(body) != byteOrder || binary.LittleEndian.Uint32(body[4:]) != 1 {
		return fmt.Errorf("no little-endian section of version 1.0: % x", body[:min(len(body), 16)])
	}
	_, err := options(body[16:])
	return err
}

func checkInterface(body []byte) error {
	if len(body) < 8 || binary.LittleEndian.Uint16(body) != linkTypeRaw {
		return errors.New("an interface that is not raw")
	}
	found, err := options(body[8:])
	if resolution := found[9]; err == nil && (len(resolution) != 1 || resolution[0] != 9) {
		err = fmt.Errorf("the resolution of times is %v, want nanoseconds", resolution)
	}
	return err
}

// options returns the last value of each option. No options at all are none; a
// list must end with its end mark, and with nothing after it.
func options(b []byte) (map[uint16][]byte, error) {
	found := map[uint16][]byte{}
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, fmt.Errorf("%d bytes are no option", len(b))
		}
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		padded := (n + 3) / 4 * 4
		switch {
		case code == 0 && (n != 0 || len(b) != 4):
			return nil, errors.New("the options end before their block")
		case code == 0:
			return found, nil
		case len(b) < 4+padded:
			return nil, fmt.Errorf("an option of %d bytes where %d are left", n, len(b)-4)
		}
		for _, c := range b[4+n : 4+padded] {
			if c != 0 {
				return nil, fmt.Errorf("option %d is padded with %#x", code, c)
			}
		}
		found[code] = b[4 : 4+n]
		b = b[4+padded:]
	}
	if len(found) > 0 {
		return nil, errors.New("the options have no end")
	}
	return found, nil
}

// enhanced reads an enhanced packet block.
func enhanced(body []byte, interfaces uint32) (Packet, error) {
	if len(body) < 20 {
		return Packet{}, errors.New("a packet without its header")
	}
	field := func(i int) uint32 { return binary.LittleEndian.Uint32(body[4*i:]) }
	n := uint64(field(3))
	padded := (n + 3) / 4 * 4
	switch {
	case field(0) >= interfaces:
		return Packet{}, fmt.Errorf("a packet of interface %d of %d", field(0), interfaces)
	case field(3) != field(4):
		return Packet{}, fmt.Errorf("a packet of %d bytes that were %d", field(3), field(4))
	case uint64(len(body)) < 20+padded:
		return Packet{}, fmt.Errorf("a packet of %d bytes in a block of %d", n, len(body))
	}
	if _, err := options(body[20+padded:]); err != nil {
		return Packet{}, err
	}
	p, err := network(body[20 : 20+n])
	p.Time = int64(uint64(field(1))<<32 | uint64(field(2)))
	return p, err
}

// network reads a packet from its IP header on.
func network(b []byte) (Packet, error) {
	var from, to netip.Addr
	var protocol byte
	var pseudo uint32
	switch {
	case len(b) >= 20 && b[0] == 0x45:
		if n := binary.BigEndian.Uint16(b[2:]); int(n) != len(b) {
			return Packet{}, fmt.Errorf("IPv4: %d bytes, the header says %d", len(b), n)
		}
		if sum := fold(add(0, b[:20])); sum != 0xffff {
			return Packet{}, fmt.Errorf("IPv4: the header's checksum is wrong: %#x", sum)
		}
		from, to, protocol = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9]
		pseudo, b = add(0, b[12:20]), b[20:]
	case len(b) >= 40 && b[0]>>4 == 6:
		if n := binary.BigEndian.Uint16(b[4:]); int(n) != len(b)-40 {
			return Packet{}, fmt.Errorf("IPv6: %d bytes, the header says %d", len(b)-40, n)
		}
		from, to, protocol = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6]
		pseudo, b = add(0, b[8:40]), b[40:]
	default:
		return Packet{}, fmt.Errorf("no IP header of the usual length: % x", b[:min(len(b), 8)])
	}
	if sum := fold(add(pseudo+uint32(protocol)+uint32(len(b)), b)); sum != 0xffff {
		return Packet{}, fmt.Errorf("the checksum over the payload is wrong: %#x", sum)
	}
	const tcp, udp = 6, 17
	switch {
	case protocol == tcp && len(b) >= 20 && b[12]>>4 >= 5 && len(b) >= 4*int(b[12]>>4):
		flags := b[13]
		return Packet{
			Source: netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)), Target: netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])),
			Seq: binary.BigEndian.Uint32(b[4:]), Ack: binary.BigEndian.Uint32(b[8:]),
			FIN: flags&1 != 0, SYN: flags&2 != 0, RST: flags&4 != 0, PSH: flags&8 != 0, ACK: flags&16 != 0,
			Payload: b[4*int(b[12]>>4):],
		}, nil
	case protocol == udp && len(b) >= 8 && int(binary.BigEndian.Uint16(b[4:])) == len(b) && binary.BigEndian.Uint16(b[6:]) != 0:
		return Packet{
			UDP:    true,
			Source: netip.AddrPortFrom(from, binary.BigEndian.Uint16(b)), Target: netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:])),
			Payload: b[8:],
		}, nil
	default:
		return Packet{}, fmt.Errorf("protocol %d: the header is not as it must be: % x", protocol, b[:min(len(b), 20)])
	}
}

// add adds the 16-bit words of b to a sum that fold folds. b is shorter than the
// 64 KiB of a packet, so that the sum does not overflow.
func add(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// fold returns the ones' complement sum: 0xffff over what has its checksum in it.
func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
