package postgresql

import (
	"bytes"
	"encoding/binary"
	"sort"

	"mosn.io/tcpcopy/pkg/record"
)

// What is known of a message that may begin at some bytes.
type checkState uint8

const (
	invalid checkState = iota // there is none
	partial                   // there may be one; more bytes are needed
	valid
)

// checked is what a check of a message found.
type checked struct {
	state checkState
	total int // bytes of the message with its head
	// weight says how many bits of the message are as they must be, roughly.
	weight int
}

// The weights from which on a chain of messages is certain: to go on behind a gap in a
// connection that is known to speak the protocol, and to recognise the protocol.
const (
	weightSync   = 64
	weightWithin = 110
)

// maxChecked is the length of the longest message that is looked for.
const maxChecked = 16 << 10

const header = 5 // a type and a length, which counts itself

// checkHead returns the body of a message as far as it is there.
func checkHead(b []byte, known func(byte) bool) (body []byte, c checked) {
	if len(b) == 0 {
		return nil, checked{state: partial}
	}
	if !known(b[0]) || len(b) > 1 && b[1] != 0 || len(b) > 2 && b[2] != 0 {
		return nil, checked{}
	}
	if len(b) < header {
		return nil, checked{state: partial}
	}
	n := int(binary.BigEndian.Uint32(b[1:]))
	if n < 4 || n > maxChecked {
		return nil, checked{}
	}
	return b[header:min(len(b), 1+n)], checked{partial, 1 + n, 0}
}

func clientType(c byte) bool { return c < 128 && clientTypes[c] }
func serverType(c byte) bool { return c < 128 && serverTypes[c] }

var (
	clientTypes = typeSet("BCDEFHPQSXdcfp")
	serverTypes = typeSet("RKv123CdcGHWDIEVnNAtSsZT")
)

func typeSet(types string) (set [128]bool) {
	for _, c := range []byte(types) {
		set[c] = true
	}
	return set
}

// checker walks through the body of a message, which may be there in part.
type checker struct {
	b      []byte // what is there and not walked through
	left   int    // bytes of the body from b on
	failed bool   // it is not as it must be
	short  bool   // it goes on behind what is there
}

func (c *checker) next(n int) []byte {
	switch {
	case c.failed || c.short:
		return nil
	case n > c.left || n < 0:
		c.failed = true
		return nil
	case n > len(c.b):
		c.short = true
		return nil
	}
	b := c.b[:n]
	c.b, c.left = c.b[n:], c.left-n
	return b
}

func (c *checker) int16() int {
	if b := c.next(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *checker) int32() int {
	if b := c.next(4); b != nil {
		return int(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

func (c *checker) byte() byte {
	if b := c.next(1); b != nil {
		return b[0]
	}
	return 0
}

// string returns the bytes up to a NUL. Those that are there must be text.
func (c *checker) string() []byte {
	if c.failed || c.short {
		return nil
	}
	n := bytes.IndexByte(c.b, 0)
	if n < 0 {
		if len(c.b) == c.left || !text(c.b) {
			c.failed = true
		}
		c.short = true
		return nil
	}
	b := c.next(n + 1)
	if !text(b[:n]) {
		c.failed = true
	}
	return b[:n]
}

// text reports whether b has no control characters but those of text.
func text(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' || c == 0x7f {
			return false
		}
	}
	return true
}

// values walks through a count and so many values with lengths.
func (c *checker) values() {
	for n := c.int16(); n > 0 && !c.failed && !c.short; n-- {
		if size := c.int32(); size >= 0 {
			c.next(size)
		} else if size != -1 {
			c.failed = true
		}
	}
}

func (c *checker) want(ok bool) {
	if !ok && !c.short {
		c.failed = true
	}
}

// end returns what was found of a message with a weight.
func (c *checker) end(m checked, weight int) checked {
	switch {
	case c.failed:
		return checked{}
	case c.short:
		return m
	case c.left != 0:
		return checked{}
	}
	m.state, m.weight = valid, weight
	return m
}

// checkServer checks a message of the server.
func checkServer(b []byte) checked {
	body, m := checkHead(b, serverType)
	if m.total == 0 {
		return m
	}
	c := &checker{b: body, left: m.total - header}
	switch b[0] {
	case '1', '2', '3', 'n', 's', 'I', 'c':
		return c.end(m, 20)
	case 'Z':
		status := c.byte()
		c.want(status == 'I' || status == 'T' || status == 'E')
		return c.end(m, 30)
	case 'C':
		c.want(tag(c.string()))
		return c.end(m, 64)
	case 'E', 'N':
		c.fields()
		return c.end(m, 110)
	case 'D':
		c.values()
		return c.end(m, 40)
	case 'T':
		for n := c.int16(); n > 0 && !c.failed && !c.short; n-- {
			c.string()
			c.next(16)
			format := c.int16()
			c.want(format <= 1)
		}
		return c.end(m, 64)
	case 't':
		n := c.int16()
		c.next(4 * n)
		return c.end(m, 40)
	case 'S':
		name := c.string()
		c.want(len(name) > 1)
		c.string()
		return c.end(m, 50)
	case 'A':
		c.int32()
		name := c.string()
		c.want(len(name) > 0)
		c.string()
		return c.end(m, 50)
	case 'G', 'H', 'W':
		format := c.byte()
		c.want(format <= 1)
		for n := c.int16(); n > 0 && !c.failed && !c.short; n-- {
			column := c.int16()
			c.want(column <= 1)
		}
		return c.end(m, 50)
	case 'd':
		c.next(c.left)
		return c.end(m, 16)
	case 'R':
		code := c.int32()
		c.want(code >= 0 && code <= 12 && c.left <= 2048)
		switch code {
		case 0, 2, 7, 9:
			c.want(c.left == 0)
		case 5:
			c.want(c.left == 4)
		case 10:
			mechanism := c.string()
			c.want(len(mechanism) > 3)
		}
		if !c.short {
			c.next(c.left)
		}
		return c.end(m, 50)
	case 'K':
		c.want(c.left >= 8 && c.left <= 4+256)
		c.next(c.left)
		return c.end(m, 30)
	case 'v':
		version := c.int32()
		c.want(version >= 0 && version>>16 <= major3)
		for n := c.int32(); n > 0 && !c.failed && !c.short; n-- {
			c.string()
		}
		return c.end(m, 50)
	case 'V':
		if n := c.int32(); n >= 0 {
			c.next(n)
		} else {
			c.want(n == -1)
		}
		return c.end(m, 30)
	}
	return checked{}
}

// fields walks through the fields of an error or a notice.
func (c *checker) fields() {
	first := c.byte()
	c.want(first == 'S' || first == 'M' || first == 'C')
	for code := first; code != 0 && !c.failed && !c.short; code = c.byte() {
		c.want(code >= 'A' && code <= 'z')
		c.string()
	}
}

// tag reports whether b is the tag of a command that has ended, such as "INSERT 0 1".
func tag(b []byte) bool {
	words := bytes.Split(b, []byte(" "))
	for i, word := range words {
		if len(word) == 0 {
			return false
		}
		number := i > 0
		for _, c := range word {
			number = number && c >= '0' && c <= '9'
		}
		if number {
			continue
		}
		for _, c := range word {
			if !(c >= 'A' && c <= 'Z' || c == '_') {
				return false
			}
		}
	}
	return len(words) > 1 || len(b) > 1
}

// checkClient checks a message of the client.
func checkClient(b []byte) checked {
	body, m := checkHead(b, clientType)
	if m.total == 0 {
		return m
	}
	c := &checker{b: body, left: m.total - header}
	switch b[0] {
	case 'S', 'H', 'X':
		return c.end(m, 25)
	case 'c':
		return c.end(m, 20)
	case 'Q':
		n := c.left
		c.string()
		return c.end(m, 50+min(2*n, 40))
	case 'P':
		c.string()
		n := c.left
		c.string()
		n -= c.left
		c.next(4 * c.int16())
		return c.end(m, 50+min(2*n, 40))
	case 'B':
		c.string()
		c.string()
		c.formats()
		c.values()
		c.formats()
		return c.end(m, 64)
	case 'D', 'C':
		kind := c.byte()
		c.want(kind == 'S' || kind == 'P')
		c.string()
		return c.end(m, 40)
	case 'E':
		c.string()
		rows := c.int32()
		c.want(rows >= 0)
		return c.end(m, 50)
	case 'F':
		c.int32()
		c.formats()
		c.values()
		format := c.int16()
		c.want(format <= 1)
		return c.end(m, 50)
	case 'f':
		c.string()
		return c.end(m, 40)
	case 'd':
		c.next(c.left)
		return c.end(m, 16)
	case 'p':
		c.next(c.left)
		return c.end(m, 20)
	}
	return checked{}
}

// formats walks through a count and so many formats.
func (c *checker) formats() {
	for n := c.int16(); n > 0 && !c.failed && !c.short; n-- {
		format := c.int16()
		c.want(format <= 1)
	}
}

// find looks for a chain of messages. It returns the offset of the first one, and how many bytes of data it
// needed to be certain. If there is none, the bytes before at are no beginning of one.
func find(dir record.Direction, data []byte, weight int) (at, needed int, found bool) {
	check := checkServer
	if dir == record.In {
		check = checkClient
	}
	for at = range data {
		end, sum := at, 0
		for {
			m := check(data[end:])
			if m.state == partial {
				return at, 0, false
			}
			if m.state == invalid {
				break
			}
			end += m.total
			if sum += m.weight; sum >= weight {
				return at, end, true
			}
		}
	}
	return len(data), 0, false
}

// within looks for messages in the middle of a connection.
func within(dir record.Direction, data []byte) (at, needed int, found bool) {
	at, needed, found = find(dir, data, weightWithin)
	if !found {
		return at, 0, false
	}
	// More bytes may be needed to see that there is none before it.
	needed += sort.Search(len(data)-needed, func(more int) bool {
		_, _, found := find(dir, data[:needed+more], weightWithin)
		return found
	})
	return at, needed, true
}
