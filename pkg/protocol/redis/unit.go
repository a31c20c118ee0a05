package redis

import "bytes"

// unit is a value or the first line of an aggregate.
type unit struct {
	kind     byte
	scalar   bool
	line     bool // the value is on the line
	null     bool
	stream   bool  // of unknown length
	snapshot bool  // of unknown length, as SYNC has it
	count    int64 // of an aggregate
	from     int   // where the value begins
	length   int   // of the value
	known    int   // bytes of it that are there; of a line that has not ended, length is more
}

// nextUnit returns the unit that data begins with, and its length with its end if it is
// all there; else n is 0 or, where a value has begun, what there is of it.
func nextUnit(data []byte) (u unit, n int, err error) {
	u.kind = data[0]
	switch u.kind {
	case '$', '=', '!', ';':
		u.scalar = true
		if u.kind != '!' && u.kind != ';' && len(data) > 1 && data[1] == '?' {
			u.stream, u.scalar = true, false
			return fixedLine(u, data, "?\r\n")
		}
		if u.kind == '$' && len(data) > 1 && data[1] == 'E' {
			return snapshot(u, data)
		}
		length, header, ok := number(data, u.kind)
		if !ok || length < -1 || length > maxBulk || length < 0 && u.kind != '$' {
			return u, 0, errUnit
		}
		if header == 0 {
			return u, 0, nil
		}
		if length < 0 {
			u.null, u.from = true, header
			return u, header, nil
		}
		u.from, u.length = header, int(length)
		u.known = min(u.length, len(data)-header)
		if u.kind == ';' && u.length == 0 {
			return u, header, nil
		}
		if u.known == u.length && len(data) < header+u.length+2 {
			if u.length > 0 {
				u.known-- // its end has to come too
			} else {
				return u, 0, nil
			}
		}
		return u, header + u.length + 2, nil
	case '*', '%', '~', '>', '|':
		if len(data) > 1 && data[1] == '?' {
			if u.kind == '>' || u.kind == '|' {
				return u, 0, errUnit
			}
			u.stream = true
			return fixedLine(u, data, "?\r\n")
		}
		count, header, ok := number(data, u.kind)
		if !ok || count < -1 || count > maxArgs || count < 0 && u.kind != '*' {
			return u, 0, errUnit
		}
		u.count = count
		if count < 0 {
			u.scalar, u.null, u.from, u.line = true, true, header, true
		}
		if u.kind == '%' || u.kind == '|' {
			u.count *= 2
		}
		return u, header, nil
	case '.':
		return fixedLine(u, data, "\r\n")
	case '+', '-', '(':
		u.scalar, u.line, u.from = true, true, 1
		end := bytes.IndexByte(data, '\r')
		for end >= 0 && end+1 < len(data) && data[end+1] != '\n' {
			next := bytes.IndexByte(data[end+1:], '\r')
			if next < 0 {
				end = -1
				break
			}
			end += 1 + next
		}
		if end >= 0 && end+1 < len(data) && end <= maxLine {
			u.length = end - 1
			u.known = u.length
			return u, end + 2, nil
		}
		if len(data) < maxLine+2 {
			return u, 0, nil
		}
		u.known, u.length = maxLine-1, maxLine
		return u, maxLine, nil
	case ':', ',', '#', '_':
		u.scalar, u.line, u.from = true, true, 1
		end := bytes.IndexByte(data[:min(len(data), maxShort)], '\r')
		if end < 0 {
			if len(data) >= maxShort {
				return u, 0, errUnit
			}
			end = len(data)
		}
		for _, c := range data[1:end] {
			if !isShort(u.kind, c) {
				return u, 0, errUnit
			}
		}
		if end+1 >= len(data) {
			return u, 0, nil
		}
		u.length = end - 1
		u.known = u.length
		u.null = u.kind == '_'
		if data[end+1] != '\n' || u.null != (u.length == 0) || u.kind == '#' && u.length != 1 {
			return u, 0, errUnit
		}
		return u, end + 2, nil
	}
	return u, 0, errUnit
}

// isShort reports whether a number, a double, a boolean may have c.
func isShort(kind, c byte) bool {
	switch {
	case '0' <= c && c <= '9', c == '-', c == '+':
		return kind != '#' && kind != '_'
	case kind == ',':
		return c == '.' || c == 'e' || c == 'E' || c == 'i' || c == 'n' || c == 'f' || c == 'a'
	}
	return kind == '#' && (c == 't' || c == 'f')
}

// fixedLine returns u if data is its kind and the rest of a line.
func fixedLine(u unit, data []byte, line string) (unit, int, error) {
	n := min(len(data)-1, len(line))
	if string(data[1:1+n]) != line[:n] {
		return u, 0, errUnit
	}
	if n < len(line) {
		return u, 0, nil
	}
	return u, 1 + n, nil
}

// snapshot returns the first line of a snapshot whose length is not known: "$EOF:" and
// forty bytes.
func snapshot(u unit, data []byte) (unit, int, error) {
	const line = len("$EOF:") + 40 + 2
	if len(data) < line {
		return u, 0, nil
	}
	if !bytes.HasPrefix(data, []byte("$EOF:")) {
		return u, 0, errUnit
	}
	u.from, u.snapshot = line, true
	return u, line, nil
}

type unitError string

func (e unitError) Error() string { return string(e) }

const errUnit = unitError("redis: no answer begins here")
