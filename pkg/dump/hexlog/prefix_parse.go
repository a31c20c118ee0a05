package hexlog

import (
	"bytes"
	"time"
)

// secondLayout is the part of a line's prefix that linePrefix keeps as text.
const secondLayout = "2006-01-02 15:04:05,"

// prefixParser reads the prefixes that linePrefix writes, of any precision and
// level. It keeps the last second that it parsed.
type prefixParser struct {
	zone   *time.Location
	text   [len(secondLayout)]byte
	second time.Time
}

// parse returns the time in line's prefix and how long the prefix is.
func (p *prefixParser) parse(line []byte) (t time.Time, n int, ok bool) {
	const seconds = len(secondLayout)
	if len(line) < seconds {
		return t, 0, false
	}
	if !bytes.Equal(line[:seconds], p.text[:]) {
		second, err := time.ParseInLocation(secondLayout, string(line[:seconds]), p.zone)
		if err != nil {
			return t, 0, false
		}
		p.second = second
		copy(p.text[:], line)
	}
	rest := line[seconds:]
	unit := time.Second
	var fraction time.Duration
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' && unit > 1 {
		unit /= 10
		fraction += time.Duration(rest[0]-'0') * unit
		rest = rest[1:]
	}
	// The level: a space, a word in brackets, a space.
	if unit == time.Second || len(rest) < 2 || rest[0] != ' ' || rest[1] != '[' {
		return t, 0, false
	}
	end := bytes.IndexByte(rest[:min(len(rest), 16)], ']')
	if end < 0 || end+1 >= len(rest) || rest[end+1] != ' ' {
		return t, 0, false
	}
	rest = rest[end+2:]
	return p.second.Add(fraction), len(line) - len(rest), true
}
