package mysql

import (
	"bytes"
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is MySQL's.
var Protocol = parse.Protocol{Name: call.MySQL, New: newParser, Begins: begins, Within: within}

// Capabilities of clients and servers.
const (
	capMySQL         = 1 << 0 // not set: MariaDB, with more capabilities
	capWithDB        = 1 << 3
	capCompress      = 1 << 5
	capProtocol41    = 1 << 9
	capTLS           = 1 << 11
	capSecure        = 1 << 15
	capPluginAuth    = 1 << 19
	capAuthLenEnc    = 1 << 21
	capDeprecateEOF  = 1 << 24
	capOptionalMeta  = 1 << 25
	capZstd          = 1 << 26
	capAttributes    = 1 << 27
	capCacheMetadata = 1 << (32 + 4) // of MariaDB
)

// Flags of a server's status.
const (
	statusMoreResults = 1 << 3
	statusCursor      = 1 << 6
)

const (
	header    = 4        // 3 bytes of length, and a number that counts packets
	maxPacket = 0xffffff // a packet with so many bytes goes on in the next one
)

func length(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// begins says whether data are the first bytes of a connection.
func begins(dir record.Direction, data []byte) parse.Verdict {
	// The numbers of the first packets, and how long they may be.
	number, least, most := byte(0), 12, 1024
	if dir == record.In {
		number, least, most = 1, 32, 64<<10
	}
	if len(data) < header {
		if len(data) > 2 && data[2] != 0 {
			return parse.No
		}
		return parse.Maybe
	}
	n := length(data)
	if data[3] != number || n < least || n > most {
		return parse.No
	}
	body := data[header:min(len(data), header+n)]
	if dir == record.In {
		return loginVerdict(body, n)
	}
	return greetingVerdict(body, n)
}

// greetingVerdict says whether body is the beginning of a packet of n bytes with which
// a server begins.
func greetingVerdict(body []byte, n int) parse.Verdict {
	if len(body) == 0 {
		return parse.Maybe
	}
	switch body[0] {
	case 10:
		const maxVersion = 128
		end := bytes.IndexByte(body[1:], 0)
		version := body[1:]
		if end >= 0 {
			version = version[:end]
		}
		if len(version) > maxVersion || !printable(version) || len(version) > 0 && (version[0] < '0' || version[0] > '9') || end == 0 {
			return parse.No
		}
		if end < 0 {
			return whole(body, n)
		}
		rest := body[1+end+1:]
		left := n - 1 - end - 1
		const fixed = 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 // up to the reserved bytes
		if left < fixed+10 {
			return parse.No
		}
		if len(rest) < fixed+6 {
			return parse.Maybe
		}
		for _, c := range rest[fixed : fixed+6] {
			if c != 0 {
				return parse.No
			}
		}
		return yesIf(rest[12] == 0)
	case packetError:
		// An error, which has no SQLSTATE here: the host is blocked, or there are too many connections.
		if n < 12 {
			return parse.No
		}
		code, ok := errorCode(body)
		if !ok {
			return parse.Maybe
		}
		if code < 1000 || code >= 5000 || !printable(body[3:]) {
			return parse.No
		}
		return whole(body, n)
	}
	return parse.No
}

// whole is the verdict on a packet of n bytes of which nothing contradicts.
func whole(body []byte, n int) parse.Verdict {
	if len(body) < n {
		return parse.Maybe
	}
	return parse.Yes
}

func yesIf(yes bool) parse.Verdict {
	if yes {
		return parse.Yes
	}
	return parse.No
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// loginVerdict says whether body is the beginning of a client's first packet.
func loginVerdict(body []byte, n int) parse.Verdict {
	if len(body) < 32 {
		if len(body) >= 2 && binary.LittleEndian.Uint16(body)&capProtocol41 == 0 {
			return parse.No
		}
		return parse.Maybe
	}
	caps := binary.LittleEndian.Uint32(body)
	for _, c := range body[9 : 9+19] {
		if c != 0 {
			return parse.No
		}
	}
	return yesIf(caps&capProtocol41 != 0 && (caps&capTLS != 0 && n == 32 || n > 33))
}
