package protocol

import (
	"bytes"
	"encoding/binary"
)

// What a proxy may put in front of a connection, to say whose it is (the PROXY protocol,
// sections 2.1 and 2.2, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
const (
	proxyLine      = "PROXY " // version 1: one line
	proxyLineMax   = 107
	proxyBinary    = "\r\n\r\n\x00\r\nQUIT\n" // version 2: this, 2 bytes, a length of 2 bytes, and so many more
	proxyBinaryMin = len(proxyBinary) + 4
)

// proxyPrefix returns how many of the first bytes of a client are of the PROXY protocol.
// more says that this is not known until there are more bytes.
func proxyPrefix(data []byte) (n int, more bool) {
	switch {
	case bytes.HasPrefix(data, []byte(proxyBinary)):
		if len(data) < proxyBinaryMin {
			return 0, true
		}
		n = proxyBinaryMin + int(binary.BigEndian.Uint16(data[proxyBinaryMin-2:]))
		if n > maxFirst {
			return 0, false // no proxy has so much to say
		}
		return n, len(data) < n
	case bytes.HasPrefix(data, []byte(proxyLine)):
		for _, family := range []string{"TCP4 ", "TCP6 ", "UNKNOWN"} {
			rest := data[len(proxyLine):]
			if !bytes.HasPrefix(rest, []byte(family)) {
				if bytes.HasPrefix([]byte(family), rest) {
					return 0, true
				}
				continue
			}
			if end := bytes.Index(data[:min(len(data), proxyLineMax)], []byte("\r\n")); end >= 0 {
				return end + 2, false
			}
			return 0, len(data) < proxyLineMax
		}
		return 0, false
	}
	return 0, len(data) > 0 && (bytes.HasPrefix([]byte(proxyBinary), data) || bytes.HasPrefix([]byte(proxyLine), data))
}
