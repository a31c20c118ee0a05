package protocol

import (
	"bytes"
	"encoding/binary"
	"regexp"

	"mosn.io/tcpcopy/pkg/record"
)

// Name names a protocol.
type Name string

// The protocols that are recognised.
const (
	Unknown  Name = ""
	HTTP1    Name = "HTTP/1.1"
	HTTP2    Name = "HTTP/2" // gRPC too
	TLS      Name = "TLS"
	Redis    Name = "Redis"
	MySQL    Name = "MySQL"
	Postgres Name = "PostgreSQL"
	MQTT     Name = "MQTT"
	AMQP     Name = "AMQP"
	Kafka    Name = "Kafka"
	Mongo    Name = "MongoDB"
	Memcache Name = "Memcached"
	SSH      Name = "SSH"
)

// signature is by what a protocol is recognised. Each function gets the bytes of one
// read or write.
type signature struct {
	name    Name
	in, out func(data []byte) bool // from the client and from the server; nil: by the other one only
}

// signatures are in the order in which they are tried: those with the most distinct
// bytes first.
var signatures = [...]signature{
	{HTTP2, BeginsHTTP2, nil},
	{HTTP1, IsHTTP1Request, isHTTP1Response},
	{TLS, isTLS, isTLS},
	{SSH, isSSH, isSSH},
	{AMQP, func(data []byte) bool { return bytes.HasPrefix(data, []byte("AMQP\x00")) }, nil},
	{MQTT, isMQTTConnect, nil},
	{Redis, redisRequest.Match, redisAnswer.Match},
	{Memcache, memcacheRequest.Match, memcacheAnswer.Match},
	{Mongo, isMongo, isMongo},
	{MySQL, isMySQLCommand, isMySQLGreeting},
	{Postgres, isPostgresRequest, isPostgresAnswer},
	{HTTP2, isHTTP2Frames, isHTTP2Frames},
	{Kafka, isKafkaRequest, nil},
}

// Recognise returns the protocol that data, the bytes of one read or write in a
// direction, is of. They need not be the first of their connection, but begin a message
// of the protocol.
func Recognise(dir record.Direction, data []byte) Name {
	for i := range signatures {
		s := &signatures[i]
		is := s.in
		if dir == record.Out {
			is = s.out
		}
		if is != nil && is(data) {
			return s.name
		}
	}
	return Unknown
}

var requestLine = regexp.MustCompile(`^[A-Z]{3,16} [^ \r\n]`)

// IsHTTP1Request reports whether data may begin with a request line of HTTP/1.1. Where
// it has the whole line, the line is one.
func IsHTTP1Request(data []byte) bool {
	if !requestLine.Match(data) || BeginsHTTP2(data) {
		return false
	}
	line, _, whole := bytes.Cut(data, []byte("\r\n"))
	return !whole || bytes.Contains(line, []byte(" HTTP/1."))
}

func isHTTP1Response(data []byte) bool { return bytes.HasPrefix(data, []byte("HTTP/1.")) }

// isTLS reports whether data begins with a record of TLS (RFC 8446, section 5.1).
func isTLS(data []byte) bool {
	return len(data) >= 5 && data[0] >= 20 && data[0] <= 23 && data[1] == 3 && data[2] <= 4
}

func isSSH(data []byte) bool { return bytes.HasPrefix(data, []byte("SSH-2.0-")) }

// isMQTTConnect reports whether data begins with CONNECT of MQTT: its type, a remaining
// length of one to four bytes, and the name of the protocol.
func isMQTTConnect(data []byte) bool {
	if len(data) < 2 || data[0] != 0x10 {
		return false
	}
	at := 1
	for at < min(4, len(data)) && data[at]&0x80 != 0 {
		at++
	}
	rest := data[min(at+1, len(data)):]
	return bytes.HasPrefix(rest, []byte("\x00\x04MQTT")) || bytes.HasPrefix(rest, []byte("\x00\x06MQIsdp"))
}

var (
	redisRequest = regexp.MustCompile(`^\*[1-9]\d{0,6}\r\n\$\d{1,9}\r\n`)
	redisAnswer  = regexp.MustCompile(`^(\+(OK|PONG|QUEUED)\r\n|-(ERR|NOAUTH|WRONGTYPE|MOVED|ASK) |:-?\d{1,19}\r\n|\$(-1|\d{1,9})\r\n|\*(-1|\d{1,7})\r\n|%\d{1,7}\r\n)`)

	memcacheRequest = regexp.MustCompile(`^((get|gets|gat|gats|delete|incr|decr|touch) [^ \r\n]+[^\r\n]*|(set|add|replace|append|prepend|cas) [^ \r\n]+ \d+ -?\d+ \d+[^\r\n]*|version|stats)\r\n`)
	memcacheAnswer  = regexp.MustCompile(`^(STORED|NOT_STORED|DELETED|NOT_FOUND|END|VERSION [^\r\n]+|VALUE [^ \r\n]+ \d+ \d+[^\r\n]*)\r\n`)
)

// isMongo reports whether data begins with a message of MongoDB: its length, two
// numbers, and what kind it is, little-endian.
func isMongo(data []byte) bool {
	if len(data) < 21 {
		return false
	}
	length, kind := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[12:])
	return length >= 21 && length <= 48_000_000 && (kind == 1 || kind == 2004 || kind >= 2010 && kind <= 2013)
}

// isMySQLGreeting reports whether data is the first packet of a MySQL server: its length
// of three bytes, little-endian, its number 0, the protocol's version 10, and the
// server's.
func isMySQLGreeting(data []byte) bool {
	if len(data) < 40 || data[3] != 0 || data[4] != 10 || mysqlLength(data)+4 != len(data) {
		return false
	}
	end := bytes.IndexByte(data[5:], 0)
	return end > 0 && isPrintable(data[5:5+end])
}

// isMySQLCommand reports whether data is a command of a MySQL client: a packet with the
// number 0, which begins with the command.
func isMySQLCommand(data []byte) bool {
	if len(data) < 5 || data[3] != 0 || mysqlLength(data)+4 != len(data) {
		return false
	}
	switch body := data[5:]; data[4] {
	case 0x03, 0x16: // COM_QUERY, COM_STMT_PREPARE
		return len(body) >= 3 && isPrintable(body[:3])
	case 0x01, 0x0e: // COM_QUIT, COM_PING
		return len(body) == 0
	case 0x17: // COM_STMT_EXECUTE
		return len(body) >= 9 && binary.LittleEndian.Uint32(body[5:]) == 1
	}
	return false
}

func mysqlLength(data []byte) int { return int(data[0]) | int(data[1])<<8 | int(data[2])<<16 }

// isPostgresRequest reports whether data is what a PostgreSQL client sends: a start-up
// message, which has no type, or messages.
func isPostgresRequest(data []byte) bool {
	if len(data) >= 8 && int64(binary.BigEndian.Uint32(data)) == int64(len(data)) {
		switch binary.BigEndian.Uint32(data[4:]) {
		case 3 << 16, 80877103, 80877104, 80877102: // version 3.0; requests for TLS, GSSAPI, a cancellation
			return true
		}
	}
	return isPostgresMessages(data, "QPBDESCXHFdcfp")
}

func isPostgresAnswer(data []byte) bool {
	return isPostgresMessages(data, "RSKZTDCE123nstINAGHWdcv")
}

// isPostgresMessages reports whether data is one message after the other, each a type,
// one of types, and its length.
func isPostgresMessages(data []byte, types string) bool {
	if len(data) < 5 {
		return false
	}
	for len(data) >= 5 {
		length := int64(binary.BigEndian.Uint32(data[1:]))
		if bytes.IndexByte([]byte(types), data[0]) < 0 || length < 4 || 1+length > int64(len(data)) {
			return false
		}
		data = data[1+length:]
	}
	return len(data) == 0
}

// isKafkaRequest reports whether data is a request of Kafka: its length, the request's
// number and version, a correlation identifier and the client's name.
func isKafkaRequest(data []byte) bool {
	if len(data) < 14 || int64(binary.BigEndian.Uint32(data))+4 != int64(len(data)) {
		return false
	}
	key, version, client := binary.BigEndian.Uint16(data[4:]), binary.BigEndian.Uint16(data[6:]), int(binary.BigEndian.Uint16(data[12:]))
	return key <= 100 && version <= 20 && client > 0 && 14+client <= len(data) && isPrintable(data[14:14+client])
}

func isPrintable(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return true
}
