package mask

import (
	"strings"
)

// inPair reports whether a "value" in YAML or a list of properties stands beside a
// "name" or "key" that is a secret's, before or after it.
func (sc *scanner) inPair(a assigned) bool {
	if !a.start && sc.s[max(0, a.value-2)] != ':' && !a.colon {
		return false
	}
	const lines, bytes = 6, 1 << 10
	s := sc.s
	look := func(text string, at int) (more, found bool) {
		trimmed := strings.TrimLeft(text, " \t")
		column := len(text) - len(trimmed)
		item := strings.HasPrefix(trimmed, "- ")
		if item {
			trimmed = trimmed[2:]
			column += 2
		}
		if strings.TrimSpace(trimmed) == "" {
			return true, false
		}
		if column < a.column {
			return false, false
		}
		if column > a.column {
			return true, false
		}
		name, value, ok := strings.Cut(trimmed, ":")
		if ok && nameFields[strings.ToLower(strings.Trim(name, `"' `))] {
			c := sc.m.class(strings.Trim(strings.TrimSpace(value), `"',`))
			if c.isSecret() || c == weak {
				return false, true
			}
		}
		return !item || at > 0, false
	}
	first := s[sc.lineStart:min(len(s), sc.lineStart+a.column)]
	item := strings.HasSuffix(strings.TrimRight(first, `"'`), "- ")
	if !item {
		end := sc.lineStart - 1
		for n := 0; n < lines && end > 0; n++ {
			begin := strings.LastIndexByte(s[max(0, end-bytes):end], '\n')
			from := max(0, end-bytes) + begin + 1
			more, found := look(s[from:end], 0)
			if found {
				return true
			}
			if !more {
				break
			}
			end = from - 1
		}
	}
	at := lineEnd(s[:min(len(s), a.value+bytes)], a.value) + 1
	for n := 0; n < lines && at < len(s); n++ {
		end := lineEnd(s[:min(len(s), at+bytes)], at)
		text := s[at:end]
		if strings.HasPrefix(strings.TrimLeft(text, " \t"), "- ") && len(text)-len(strings.TrimLeft(text, " \t"))+2 <= a.column {
			break
		}
		more, found := look(text, 1)
		if found {
			return true
		}
		if !more {
			break
		}
		at = end + 1
	}
	return false
}

// besideName returns the class of the name that stands beside a quoted "value" in the
// same braces, as in JSON that is broken or escaped.
func (sc *scanner) besideName(i, value int) (of class) {
	const most = 256
	s := sc.s
	begin := max(0, i-most)
	if n := strings.LastIndexByte(s[begin:i], '{'); n >= 0 {
		begin += n + 1
	}
	end := min(len(s), value+most)
	if n := strings.IndexByte(s[value:end], '}'); n >= 0 {
		end = value + n
	}
	for _, field := range strings.Split(s[begin:end], ",") {
		name, text, ok := strings.Cut(field, ":")
		if ok && nameFields[strings.ToLower(strings.Trim(name, "\\\"' \t\r\n"))] {
			if c := sc.m.class(strings.Trim(text, "\\\"' \t\r\n")); c == weak || c.isSecret() {
				of = max(of, c)
			}
		}
	}
	return of
}
