package postgresql

import (
	"encoding/binary"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Protocol is PostgreSQL's.
var Protocol = parse.Protocol{Name: call.PostgreSQL, New: newParser, Begins: begins, Within: within}

// The codes of the first message, where it has no type.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
	major3     = 3
)

const (
	maxStartup = 10000 // MAX_STARTUP_PACKET_LENGTH of the server
	maxMessage = 1 << 30
)

// begins says whether data are the first bytes of a connection. A client begins with a
// length and a code that no other protocol has there.
func begins(dir record.Direction, data []byte) parse.Verdict {
	if dir == record.In {
		return startupVerdict(data)
	}
	// The answer to a request for encryption is one byte, which says little. The client's side says more.
	for len(data) > 0 && data[0] == 'N' && (len(data) == 1 || data[1] != 0) {
		data = data[1:]
	}
	if len(data) == 0 {
		return parse.Maybe
	}
	if data[0] == 'G' || data[0] == 'S' && (len(data) == 1 || data[1] == 0x16) {
		return parse.Maybe
	}
	switch data[0] {
	case 'R', 'E', 'v':
	default:
		return parse.No
	}
	switch m := checkServer(data); {
	case m.state == invalid:
		return parse.No
	case m.state == partial:
		return parse.Maybe
	}
	return parse.Yes
}

func startupVerdict(data []byte) parse.Verdict {
	var head [8]byte
	n := copy(head[:], data)
	length := binary.BigEndian.Uint32(head[:])
	switch {
	case n > 0 && head[0] != 0, n > 1 && head[1] != 0, n > 3 && (length < 8 || length > maxStartup):
		return parse.No
	case n < 8:
		return parse.Maybe
	}
	switch code := binary.BigEndian.Uint32(head[4:]); {
	case code == codeSSL, code == codeGSS:
		return verdict(length == 8)
	case code == codeCancel:
		return verdict(length >= 16 && length <= 12+256)
	case code>>16 != major3 || code&0xffff > 0x2fff: // of the minor versions 9999 is used to try the server
		return parse.No
	case length == 9 && len(data) > 8:
		return verdict(data[8] == 0)
	}
	// The name of a parameter.
	for _, c := range data[8:min(len(data), 12)] {
		if !(c >= 'a' && c <= 'z' || c == '_' || c == '.' || c >= 'A' && c <= 'Z') {
			return parse.No
		}
	}
	if len(data) < 12 {
		return parse.Maybe
	}
	return parse.Yes
}

func verdict(yes bool) parse.Verdict {
	if yes {
		return parse.Yes
	}
	return parse.No
}
