package mysql

import (
	"bytes"
	"encoding/binary"
	"sort"
	"strings"

	"mosn.io/tcpcopy/pkg/record"
)

// What is known of a packet that may begin at some bytes.
type checkState uint8

const (
	invalid checkState = iota // there is none
	partial                   // there may be one; more bytes are needed
	valid
)

// checked is what a check of a packet found.
type checked struct {
	state  checkState
	total  int // bytes of the packet with its head
	number byte
	// weight says how many bits of the packet are as they must be, roughly.
	weight int
}

// The weights from which on a chain of packets is certain: to go on behind a gap in a
// connection that is known to speak the protocol, and to recognise the protocol.
const (
	weightSync   = 64
	weightWithin = 110
)

// mayEnd is the least weight of a packet with which an answer may end.
const mayEnd = 15

// zlibFirst is what compressed data begin with.
const zlibFirst = 0x78

// maxChecked is the length of the longest packet that is looked for.
const maxChecked = 16 << 10

// find looks for a chain of packets. It returns the offset of the first one, and how many bytes of data it
// needed to be certain. If there is none, the bytes before at are no beginning of one.
func find(dir record.Direction, data []byte, weight int) (at, needed int, found bool) {
	check := checkAnswer
	if dir == record.In {
		check = checkCommand
	}
	for at = range data {
		if needed, state := chain(check, data[at:], weight); state == partial {
			return at, 0, false
		} else if state == valid {
			return at, at + needed, true
		}
	}
	return len(data), 0, false
}

// chain checks packets from the first byte of data on.
func chain(check func([]byte) checked, data []byte, weight int) (needed int, state checkState) {
	end, sum := 0, 0
	var before checked
	for {
		m := check(data[end:])
		if m.state != valid {
			return 0, m.state
		}
		if end > 0 {
			// The numbers count on, or another command or answer begins, where the one before it may have ended.
			switch {
			case m.number == before.number+1:
				sum += 8
			case m.number > 1 || before.weight < mayEnd:
				return 0, invalid
			}
		}
		before = m
		end += m.total
		if sum += m.weight; sum >= weight {
			return end, valid
		}
	}
}

func checkHead(b []byte) (body []byte, m checked) {
	if len(b) > 2 && b[2] != 0 {
		return nil, checked{}
	}
	if len(b) < header {
		return nil, checked{state: partial}
	}
	n := length(b)
	if n == 0 || n > maxChecked {
		return nil, checked{}
	}
	return b[header:min(len(b), header+n)], checked{state: partial, total: header + n, number: b[3]}
}

func (m checked) is(weight int) checked {
	m.state, m.weight = valid, weight
	return m
}

// checkCommand checks a command.
func checkCommand(b []byte) checked {
	body, m := checkHead(b)
	if m.total == 0 {
		return m
	}
	n := m.total - header
	if m.number != 0 {
		return checked{}
	}
	if len(body) == 0 {
		return m
	}
	cmd := command(body[0])
	if _, ok := names[cmd]; !ok {
		return checked{}
	}
	all := len(body) == n
	text := func(b []byte, least int) checked {
		if !sqlText(b) {
			return checked{}
		}
		if !all {
			return m
		}
		// Other protocols carry text too, so that its length says little.
		const most = 20
		return m.is(least + min(len(b)*5/4, most))
	}
	exact := func(size, weight int) checked {
		if n != size {
			return checked{}
		}
		if !all {
			return m
		}
		return m.is(weight)
	}
	switch cmd {
	case comPing, comQuit, comStatistics, comProcessInfo, comResetConnection, 0x0d:
		return exact(1, 30)
	case comQuery:
		rest := body[1:]
		if len(rest) > 1 && rest[0] == 0 && rest[1] == 1 {
			rest = rest[2:] // no attributes
		}
		if verb(rest) {
			return text(rest, 65)
		}
		return text(rest, 35)
	case comPrepare:
		if verb(body[1:]) {
			return text(body[1:], 65)
		}
		return text(body[1:], 35)
	case comInitDB, comCreateDB, comDropDB:
		return text(body[1:], 2*mayEnd)
	case comClose, comReset:
		if len(body) > 4 && body[4] != 0 {
			return checked{}
		}
		return exact(5, 40)
	case comFetch:
		return exact(9, 40)
	case comExecute:
		if n < 10 {
			return checked{}
		}
		if len(body) < 10 {
			return m
		}
		if body[4] != 0 && binary.LittleEndian.Uint32(body[1:]) != 0xffffffff || binary.LittleEndian.Uint32(body[6:]) != 1 || body[5] > 15 {
			return checked{}
		}
		if !all {
			return m
		}
		return m.is(70)
	case comLongData:
		if n < 7 || len(body) > 4 && body[4] != 0 {
			return checked{}
		}
		if !all {
			return m
		}
		return m.is(30)
	case 0x1b: // SET_OPTION
		return exact(3, 30)
	}
	return checked{}
}

// verb reports whether a statement begins with a word that statements begin with.
func verb(statement []byte) bool {
	const longest = 12
	statement = bytes.TrimLeft(statement[:min(len(statement), 64)], " \t\r\n(")
	word, _, _ := bytes.Cut(statement[:min(len(statement), longest)], []byte(" "))
	switch strings.ToUpper(string(bytes.TrimRight(word, ";\r\n\t"))) {
	case "ALTER", "ANALYZE", "BEGIN", "CALL", "CHECK", "COMMIT", "CREATE", "DEALLOCATE", "DELETE", "DESC", "DESCRIBE", "DO", "DROP", "EXECUTE",
		"EXPLAIN", "FLUSH", "GRANT", "HANDLER", "INSERT", "KILL", "LOAD", "LOCK", "OPTIMIZE", "PREPARE", "RELEASE", "RENAME", "REPLACE",
		"REVOKE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW", "START", "TRUNCATE", "UNLOCK", "UPDATE", "USE", "WITH", "XA":
		return true
	}
	return false
}

// sqlText reports whether b looks like a statement.
func sqlText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return true
}

// checkAnswer checks a packet of the server.
func checkAnswer(b []byte) checked {
	body, m := checkHead(b)
	if m.total == 0 {
		return m
	}
	n := m.total - header
	if len(body) == 0 {
		return m
	}
	all := len(body) == n
	if body[0] == packetError {
		if n < 9 {
			return checked{}
		}
		code, ok := errorCode(body)
		if !ok {
			return m
		}
		rest := body[3:]
		if code < 1000 || code > 5000 || !sqlText(rest) || len(rest) > 0 && rest[0] != '#' {
			return checked{}
		}
		if !all {
			return m
		}
		return m.is(90)
	}
	if isColumn(body) {
		state := columnState(body, n)
		switch {
		case state == invalid:
			return checked{}
		case !all:
			return m
		}
		return m.is(80)
	}
	if !all {
		// All of it is needed to see whether it is one of these.
		return m
	}
	switch {
	case body[0] == packetEnd && n == 5:
		return m.is(flagWeight(status(body)))
	case body[0] == packetEnd && n >= 7:
		if status(body) == 0 {
			return checked{}
		}
		return m.is(flagWeight(status(body)))
	case body[0] == packetOK && m.number == 1 && n == 7 && status(body) != 0:
		return m.is(flagWeight(status(body)))
	case body[0] == packetOK && m.number == 1 && n > 7 && n < 512 && status(body) != 0:
		return m.is(mayEnd)
	case m.number == 1 && n <= 2:
		return m.is(mayEnd - 1) // a number of columns
	case isRow(body):
		return m.is(mayEnd - 1)
	case body[0] == packetOK && n >= 2:
		return m.is(8) // a row in the binary form
	}
	return checked{}
}

// flagWeight returns the weight of a packet that has flags of a server's status: a low one if they are unlikely.
func flagWeight(flags int) int {
	if flags&^0x403f != 0 || flags == 0 {
		return mayEnd
	}
	return 2 * mayEnd
}

// isRow reports whether body is a row in the text form.
func isRow(body []byte) bool {
	for at := 0; at < len(body); {
		if body[at] == packetFile { // NULL
			at++
			continue
		}
		size, k := lenEnc(body[at:])
		if k == 0 || size > uint64(len(body)-at-k) {
			return false
		}
		at += k + int(size)
	}
	return true
}

// columnState checks the description of a column of n bytes.
func columnState(body []byte, n int) checkState {
	at := 0
	for range 6 {
		size, k := lenEnc(body[at:])
		if k == 0 {
			if len(body)-at < 9 && len(body) < n {
				return partial
			}
			return invalid
		}
		at += k + int(min(size, maxChecked))
		if at > len(body) {
			if at > n || len(body) == n {
				return invalid
			}
			return partial
		}
	}
	return valid
}

// within looks for packets in the middle of a connection, compressed ones too.
func within(dir record.Direction, data []byte) (at, needed int, found bool) {
	at, needed, found = findEither(dir, data)
	if !found {
		return at, 0, false
	}
	// More bytes may be needed to see that there is none before it.
	needed += sort.Search(len(data)-needed, func(more int) bool {
		_, _, found := findEither(dir, data[:needed+more])
		return found
	})
	return at, needed, true
}

// findEither looks for a chain of packets, and for a packet that can be decompressed.
func findEither(dir record.Direction, data []byte) (at, needed int, found bool) {
	at, needed, found = find(dir, data, weightWithin)
	for before := range at {
		b := data[before:]
		if len(b) <= compressedHeader || b[compressedHeader] != zlibFirst || length(b[4:]) == 0 {
			continue
		}
		switch compressedState(dir, b) {
		case partial:
			return before, 0, false
		case valid:
			return before, before + compressedHeader + length(b), true
		}
	}
	return at, needed, found
}

// findCompressed looks for a compressed packet.
func findCompressed(dir record.Direction, data []byte) (at int, found bool) {
	for at = range data {
		switch compressedState(dir, data[at:]) {
		case partial:
			return at, false
		case valid:
			return at, true
		}
	}
	return len(data), false
}

func compressedState(dir record.Direction, b []byte) checkState {
	if len(b) > 2 && b[2] != 0 || len(b) > 6 && b[6] != 0 {
		return invalid
	}
	if len(b) < compressedHeader {
		return partial
	}
	n, size := length(b), length(b[4:])
	if n == 0 || n > maxChecked || size != 0 && size < n/2 {
		return invalid
	}
	body := b[compressedHeader:min(len(b), compressedHeader+n)]
	if size == 0 {
		check := checkAnswer
		if dir == record.In {
			check = checkCommand
		}
		const enough = 20
		m := check(body)
		switch {
		case m.state == partial && len(body) == n, m.state == valid && (m.weight < enough || m.total > n):
			return invalid
		}
		return m.state
	}
	if len(body) > 0 && body[0] != zlibFirst {
		return invalid
	}
	if len(body) < n {
		return partial
	}
	if decompress(body, size, func([]byte) error { return nil }) != nil {
		return invalid
	}
	return valid
}
