package tls

import (
	"encoding/binary"
	"fmt"
)

// helloLength returns how many bytes the hello has that data begins with; 0 if it is not
// all there.
func helloLength(data []byte) int {
	if len(data) < messageHeader {
		return 0
	}
	n := messageHeader + int(data[1])<<16 + int(binary.BigEndian.Uint16(data[2:]))
	if n > len(data) {
		return 0
	}
	return n
}

// reader reads fields of a hello. After a field that is not there it reads nothing.
type reader struct {
	data []byte
}

// bytes returns the next n bytes, nil if there are fewer.
func (r *reader) bytes(n int) []byte {
	if n > len(r.data) {
		r.data = nil
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// number returns the number in the next size bytes.
func (r *reader) number(size int) int {
	n := 0
	for _, c := range r.bytes(size) {
		n = n<<8 | int(c)
	}
	return n
}

// vector returns the next bytes, whose number stands in the size bytes before them.
func (r *reader) vector(size int) reader { return reader{r.bytes(r.number(size))} }

// Extensions (RFC 6066, section 3; RFC 8446, section 4.2.1).
const (
	extensionServerName = 0
	extensionVersions   = 43
)

// client reads the server's name from a client's hello.
func (p *parser) client(hello []byte) {
	r := reader{hello[messageHeader:]}
	r.bytes(2 + 32) // version, random
	r.vector(1)     // session
	r.vector(2)     // cipher suites
	r.vector(1)     // compression methods
	for extensions := r.vector(2); len(extensions.data) > 0; {
		kind, content := extensions.number(2), extensions.vector(2)
		if kind != extensionServerName {
			continue
		}
		for names := content.vector(2); len(names.data) > 0; {
			if kind, name := names.number(1), names.vector(2); kind == 0 {
				p.state.Call.Target, p.state.Call.Host = string(name.data), string(name.data)
			}
		}
	}
}

// server reads the version from a server's hello.
func (p *parser) server(hello []byte) {
	c := &p.state.Call
	if hello[0] != serverHello {
		return
	}
	r := reader{hello[messageHeader:]}
	version := r.number(2)
	r.bytes(32)    // random
	r.vector(1)    // session
	r.bytes(2 + 1) // cipher suite, compression method
	for extensions := r.vector(2); len(extensions.data) > 0; {
		if kind, content := extensions.number(2), extensions.vector(2); kind == extensionVersions {
			version = content.number(2)
		}
	}
	c.Status = versionName(version)
}

// versionName returns the name of a version (RFC 8446, section 4.1.2).
func versionName(v int) string {
	switch v {
	case 0x0300:
		return "SSL 3.0"
	case 0x0301, 0x0302, 0x0303, 0x0304:
		return fmt.Sprintf("TLS 1.%d", v-0x0301)
	}
	return fmt.Sprintf("0x%04x", v)
}

// alertName returns the name of an alert (RFC 8446, section 6).
func alertName(code byte) string {
	names := map[byte]string{
		10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
		44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
		51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled",
		109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name", 113: "bad_certificate_status_response", 115: "unknown_psk_identity",
		116: "certificate_required", 120: "no_application_protocol",
	}
	if name, ok := names[code]; ok {
		return name
	}
	return fmt.Sprintf("alert %d", code)
}
