package oracle

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// packetFile has a datagram over IPv6, and two segments over IPv4 at the bytes of
// segments.
func packetFile(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(`
		0a0d0d0a 28000000 4d3c2b1a 01000000 ffffffff ffffffff 04000100 6d000000
		00000000 28000000 01000000 30000000 65000000 00000400 02000200 696e0000
		03000300 77656200 09000100 09000000 00000000 30000000 06000000 bc000000
		00000000 00000000 02000000 35000000 35000000 60000000 000d1140 20010db8
		00000000 00000000 00000001 20010db8 00000000 00000000 00000002 13880035
		000d4cd0 68656c6c 6f000000 02000400 01000000 01005400 636f6e6e 3d632077
		696e646f 773d7720 706f7274 3d353320 6e657477 6f726b3d 75647020 636c6965
		6e743d22 22207365 72766572 3d222220 6c697374 656e6572 3d222220 696e3d30
		206f7574 3d302073 74617274 00000000 bc000000 06000000 a8000000 00000000
		00000000 03000000 28000000 28000000 45000028 00014000 400626cd 0a000001
		0a000002 13880050 00000001 00000001 5010ffff 87f80000 02000400 01000000
		01004e00 636f6e6e 3d642077 696e646f 773d7720 706f7274 3d383020 6e657477
		6f726b3d 74637020 636c6965 6e743d22 22207365 72766572 3d222220 6c697374
		656e6572 3d222220 696e3d30 206f7574 3d300000 00000000 a8000000 06000000
		5c000000 00000000 00000000 04000000 2e000000 2e000000 4500002e 00014000
		400626c7 0a000002 0a000001 00501388 00000001 00000001 5018ffff 4d920000
		616e7377 65720000 02000400 02000000 00000000 5c000000`), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var segments = [][2]int{{304, 344}, {472, 518}}

func TestPacketsAreReadWithAllTheirFields(t *testing.T) {
	all, err := Packets(packetFile(t))
	if err != nil || len(all) != 3 {
		t.Fatalf("%d packets, %v", len(all), err)
	}
	var got []string
	for _, p := range all {
		got = append(got, fmt.Sprintf("%d %v %v %t %d %d %s %q", p.Time, p.Source, p.Target, p.UDP, p.Seq, p.Ack, p.Flags(), p.Payload))
	}
	want := []string{
		`2 [2001:db8::1]:5000 [2001:db8::2]:53 true 0 0  "hello"`,
		`3 10.0.0.1:5000 10.0.0.2:80 false 1 1 A ""`,
		`4 10.0.0.2:80 10.0.0.1:5000 false 1 1 PA "answer"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all[1].Source.Addr() != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("%v", all[1].Source)
	}
}

// The checksums of IPv4 and TCP cover every bit.
func TestAWrongBitOfAPacketIsFound(t *testing.T) {
	good := packetFile(t)
	for _, segment := range segments {
		for at := segment[0]; at < segment[1]; at++ {
			for bit := range 8 {
				b := slices.Clone(good)
				b[at] ^= 1 << bit
				if _, err := Packets(b); err == nil {
					t.Errorf("byte %d, bit %d is wrong: accepted", at, bit)
				}
			}
		}
	}
}

func TestRefusesAPcapngFileThatIsNotExact(t *testing.T) {
	good := packetFile(t)
	for name, damage := range map[string]func(b []byte) []byte{
		"cut":                      func(b []byte) []byte { return b[:len(b)-4] },
		"two sections":             func(b []byte) []byte { return append(b, good...) },
		"no section":               func(b []byte) []byte { return b[40:] },
		"another byte order":       func(b []byte) []byte { b[8] ^= 1; return b },
		"a length that differs":    func(b []byte) []byte { b[len(b)-4] += 4; return b },
		"a length of no block":     func(b []byte) []byte { b[44]++; return b },
		"another link type":        func(b []byte) []byte { b[48] = 1; return b },
		"microseconds":             func(b []byte) []byte { b[76] = 6; return b },
		"an option that is padded": func(b []byte) []byte { b[63] = 1; return b },
		"options without an end":   func(b []byte) []byte { b[80] = 5; return b },
		"another interface":        func(b []byte) []byte { b[96] = 1; return b },
		"a longer original":        func(b []byte) []byte { b[112]++; return b },
		"an address of IPv6":       func(b []byte) []byte { b[130] ^= 1; return b },
		"a packet too long": func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[108:], 1<<20)
			binary.LittleEndian.PutUint32(b[112:], 1<<20)
			return b
		},
	} {
		b := damage(bytes.Clone(good))
		if _, err := Packets(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
