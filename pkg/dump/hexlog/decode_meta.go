package hexlog

import (
	"bytes"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/internal/statetext"
	"mosn.io/tcpcopy/pkg/record"
)

// networkOf guesses a network from a port: the lines do not distinguish UDP from TCP.
func networkOf(port string) string {
	if len(port) > 0 && (port[0] == '/' || port[0] == '@') {
		return "unix"
	}
	return "tcp"
}

// parseClose reads "<reason> > <bytes> < <bytes>".
func parseClose(tail string) (reason string, totals record.PerDirection, ok bool) {
	reason, counts, ok := strings.Cut(tail, " > ")
	in, out, ok2 := strings.Cut(counts, " < ")
	var okIn, okOut bool
	totals.In, okIn = parseUint([]byte(in))
	totals.Out, okOut = parseUint([]byte(out))
	return reason, totals, ok && ok2 && okIn && okOut
}

// parseState reads "> <offset> < <offset> <checkpoint>".
func parseState(tail []byte) (base record.PerDirection, checkpoint []byte, ok bool) {
	tail, ok = bytes.CutPrefix(tail, []byte("> "))
	in, tail, ok2 := bytes.Cut(tail, []byte(" < "))
	out, word, ok3 := bytes.Cut(tail, []byte(" "))
	var okIn, okOut, whole bool
	base.In, okIn = parseUint(in)
	base.Out, okOut = parseUint(out)
	checkpoint, whole = statetext.Parse(word)
	return base, checkpoint, ok && ok2 && ok3 && okIn && okOut && whole
}

// lineMeta is the third field of a line.
type lineMeta struct {
	kind           record.Kind
	conn           []byte
	connEnd        int // index in the line after conn
	dir            record.Direction
	offset, length uint64
	end            int // index in the line after the field
}

// parseMeta reads the field that begins at text[at].
func parseMeta(text []byte, at int) (m lineMeta, ok bool) {
	value, end, ok := field(text, at)
	if !ok {
		return m, false
	}
	m.end = end
	space := bytes.IndexByte(value, ' ')
	if space <= 0 {
		return m, false
	}
	m.conn, value = value[:space], value[space+1:]
	m.connEnd = at + 1 + space
	switch {
	case string(value) == "open":
		m.kind = record.KindOpen
		return m, true
	case string(value) == "state":
		m.kind = record.KindState
		return m, true
	case string(value) == "close":
		m.kind = record.KindClose
		return m, true
	}
	m.kind = record.KindData
	if rest, gap := bytes.CutPrefix(value, []byte("gap ")); gap {
		m.kind, value = record.KindGap, rest
	}
	if len(value) < 3 || value[1] != ' ' {
		return m, false
	}
	if m.dir, ok = record.ParseArrow(value[0]); !ok {
		return m, false
	}
	numbers := value[2:]
	if m.kind == record.KindGap {
		first, second, _ := bytes.Cut(numbers, []byte(" "))
		if m.length, ok = parseUint(second); !ok || m.length == 0 {
			return m, false
		}
		numbers = first
	}
	m.offset, ok = parseUint(numbers)
	return m, ok && m.offset+m.length >= m.offset
}

// parseUint reads a decimal number without signs.
func parseUint(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	if len(b) < 19 {
		for _, c := range b {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = n*10 + uint64(c-'0')
		}
		return n, true
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil && b[0] != '+'
}
