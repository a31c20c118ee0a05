package hexlog

import (
	"bytes"
	"time"
)

// secondLayout is the part of a line's prefix that linePrefix keeps as text.
const secondLayout = "2006-01-02 15:04:05,"

// prefixParser reads the prefixes that linePrefix and MOSN's logger write, of any level.
// It keeps the last second that it parsed.
type prefixParser struct {
	text   [len(secondLayout)]byte
	second time.Time
}

// parse returns the local time in line's prefix, as if it were UTC, and how long the
// prefix is.
func (p *prefixParser) parse(line []byte) (wall time.Time, n int, ok bool) {
	const seconds = len(secondLayout)
	if len(line) < seconds {
		return wall, 0, false
	}
	if !bytes.Equal(line[:seconds], p.text[:]) {
		second, err := time.Parse(secondLayout, string(line[:seconds]))
		if err != nil {
			return wall, 0, false
		}
		p.second = second
		copy(p.text[:], line)
	}
	fraction, digits := parseFraction(line[seconds:])
	rest := line[seconds+digits:]
	// The level: a space, a word in brackets, a space.
	if digits == 0 || len(rest) < 2 || rest[0] != ' ' || rest[1] != '[' {
		return wall, 0, false
	}
	end := bytes.IndexByte(rest[:min(len(rest), 16)], ']')
	if end < 0 || end+1 >= len(rest) || rest[end+1] != ' ' {
		return wall, 0, false
	}
	rest = rest[end+2:]
	return p.second.Add(fraction), len(line) - len(rest), true
}

// parseFraction reads the number after the comma: milliseconds, microseconds from four
// digits on, nanoseconds from seven on. It is a count. MOSN's logger does not pad it
// (mosn.io/pkg utils/time_cache.go), so that "7" is seven milliseconds.
func parseFraction(text []byte) (fraction time.Duration, digits int) {
	count := int64(0)
	for digits < min(len(text), 9) && text[digits] >= '0' && text[digits] <= '9' {
		count = count*10 + int64(text[digits]-'0')
		digits++
	}
	switch {
	case digits <= int(millis):
		count *= 1e6
	case digits <= int(micros):
		count *= 1e3
	}
	return time.Duration(count), digits
}
