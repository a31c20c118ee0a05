package mask

import (
	"strings"
)

// maskNested masks what is below a secret's name in YAML: a map, a list or a text. at is
// the end of the name's line.
func (sc *scanner) maskNested(a assigned, at int) int {
	s := sc.s
	if a.class == weak {
		return 0
	}
	at = lineEnd(s, at)
	deeper := -1 // column of a block whose text is all masked
	for next := at + 1; next < len(s); {
		end := lineEnd(s, next)
		text := s[next:end]
		trimmed := strings.TrimLeft(text, " ")
		column := len(text) - len(trimmed)
		trimmed = strings.TrimRight(trimmed, " \t\r")
		if trimmed == "" {
			next = end + 1
			continue
		}
		if column < a.column || column == a.column && !strings.HasPrefix(trimmed, "- ") {
			break
		}
		from := next + column
		stop := from + len(trimmed)
		if deeper >= 0 && column > deeper {
			sc.ahead = append(sc.ahead, span{from, stop})
			next = end + 1
			continue
		}
		deeper = -1
		for strings.HasPrefix(s[from:stop], "- ") {
			from += 2
			column += 2
		}
		if key, value, ok := strings.Cut(s[from:stop], ":"); ok && (value == "" || value[0] == ' ') {
			from += len(key) + 1
			for from < stop && s[from] == ' ' {
				from++
			}
			value = strings.TrimSpace(value)
			if _, block := blockIndicator(s, from); block && value != "" {
				deeper = column
			} else if !below(key, strings.Trim(value, `"'`)) {
				from, stop = unquote(s, from, stop)
				if !shown(s[from:stop]) {
					sc.ahead = append(sc.ahead, span{from, stop})
				}
			}
		} else if !strings.HasPrefix(trimmed, "#") {
			from, stop = unquote(s, from, stop)
			if from < stop && !shown(s[from:stop]) {
				sc.ahead = append(sc.ahead, span{from, stop})
			}
		}
		next = end + 1
	}
	return at
}

// unquote returns s[from:to] without the quotes around it.
func unquote(s string, from, to int) (int, int) {
	if to-from >= 2 && (s[from] == '"' || s[from] == '\'') && s[to-1] == s[from] {
		return from + 1, to - 1
	}
	return from, to
}

// maskIndented masks the lines behind the one that ends at at and that are further in
// than column. In a block scalar all of them belong to the value; behind a plain scalar
// those that are no names of their own.
func (sc *scanner) maskIndented(at, column int, block bool) int {
	s := sc.s
	begin, last, indent := -1, at, 0
	for next := at + 1; at < len(s) && next < len(s); {
		end := lineEnd(s, next)
		text := s[next:end]
		trimmed := strings.TrimLeft(text, " \t")
		in := len(text) - len(trimmed)
		if strings.TrimSpace(trimmed) == "" {
			next = end + 1
			continue
		}
		if in <= column || !block && isEntry(trimmed) {
			break
		}
		if begin < 0 {
			begin, indent = next, in
		}
		last, next = end, end+1
	}
	if begin < 0 {
		if block {
			return at
		}
		return at
	}
	if strings.HasSuffix(s[:last], "\r") {
		last--
	}
	if s[begin+indent:last] == placeholder {
		return last
	}
	return sc.emit(begin+indent, last, placeholder)
}

// isEntry reports whether a line of YAML begins an entry of its own.
func isEntry(text string) bool {
	if strings.HasPrefix(text, "- ") || strings.HasPrefix(text, "#") {
		return true
	}
	name, rest, ok := strings.Cut(text, ":")
	if !ok || rest != "" && rest[0] > ' ' {
		name, _, ok = strings.Cut(text, "=")
	}
	return ok && name != "" && strings.IndexFunc(strings.Trim(name, " \"'"), func(r rune) bool { return !(r < 0x80 && isDotted(byte(r))) }) < 0
}

// blockIndicator reports whether a YAML block scalar begins at i: | or >, perhaps with
// digits and signs, at the end of its line. It returns that end.
func blockIndicator(s string, i int) (end int, ok bool) {
	if i >= len(s) || s[i] != '|' && s[i] != '>' {
		return 0, false
	}
	end = lineEnd(s, i)
	text := s[i+1 : end]
	if at := strings.Index(text, " #"); at >= 0 {
		text = text[:at]
	}
	return end, strings.Trim(text, "+-0123456789 \t\r") == ""
}

func lineEnd(s string, from int) int {
	if from >= len(s) {
		return len(s)
	}
	if n := strings.IndexByte(s[from:], '\n'); n >= 0 {
		return from + n
	}
	return len(s)
}
