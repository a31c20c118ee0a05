package http1

import (
	"bytes"
	"strconv"
)

// headEnd returns how many bytes of data the head has that begins it, its empty line
// included; 0 if its end has not come. looked is how many of the bytes were looked at
// before.
func headEnd(data []byte, looked int) int {
	for at := max(looked-3, 0); ; {
		line := bytes.IndexByte(data[at:], '\n')
		if line < 0 {
			return 0
		}
		at += line + 1
		switch rest := data[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2
		}
	}
}

// cutLine returns the first line of data without its end, and what follows.
func cutLine(data []byte) (line, rest []byte) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return data, nil
	}
	line, rest = data[:end], data[end+1:]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, rest
}

// requestLine is the first line of a request (RFC 9112, section 3). What servers accept
// is accepted: any token as method, spaces in the target, tabs between the parts, white space behind
// them, a version in lower case.
type requestLine struct {
	method, target, version []byte
}

// isToken has the bytes of a token (RFC 9110, section 5.6.2).
var isToken = func() (is [256]bool) {
	for c := '0'; c <= '9'; c++ {
		is[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		is[c], is[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		is[c] = true
	}
	return is
}()

const maxMethod = 32

// parseRequestLine returns the parts of a request line; ok is false if line is none.
func parseRequestLine(line []byte) (r requestLine, ok bool) {
	end := 0
	for end < len(line) && isToken[line[end]] {
		end++
	}
	if end == 0 || end > maxMethod || end == len(line) || !isSpace(line[end]) {
		return r, false
	}
	rest := line[end:]
	for isSpace(rest[len(rest)-1]) {
		if rest = rest[:len(rest)-1]; len(rest) == 0 {
			return r, false
		}
	}
	version := len(rest) - versionLength
	if version < 1 || !isSpace(rest[version-1]) || !isVersion(rest[version:]) && !isRefused(rest[version:], line[:end]) {
		return r, false
	}
	r.method, r.target, r.version = line[:end], bytes.Trim(rest[:version], " \t"), rest[version:]
	return r, len(r.target) > 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isRefused reports whether v is a version that servers of HTTP/1 answer with an error. The first line of HTTP/2 is
// none (RFC 9113, section 3.4).
func isRefused(v, method []byte) bool {
	return string(v[:5]) == "HTTP/" && v[5] >= '0' && v[5] <= '9' && v[6] == '.' && v[7] >= '0' && v[7] <= '9' && string(method) != "PRI"
}

const versionLength = len("HTTP/1.1")

// isVersion reports whether v is a version of HTTP that this package parses: 1.0, 1.1,
// and what is like them.
func isVersion(v []byte) bool {
	return len(v) == versionLength && (string(v[:7]) == "HTTP/1." || string(v[:7]) == "http/1.") && v[7] >= '0' && v[7] <= '9'
}

// parseStatusLine returns the status of a response's first line (RFC 9112, section 4),
// whose reason may be missing; ok is false if line is none.
func parseStatusLine(line []byte) (code int, ok bool) {
	if len(line) < 12 || !isVersion(line[:8]) || line[8] != ' ' || len(line) > 12 && !isSpace(line[12]) {
		return 0, false
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = 10*code + int(c-'0')
	}
	return code, code >= 100
}

// statusText has the text of each status, so that calls need no memory for theirs.
var statusText = func() (text [1000]string) {
	for code := range text {
		text[code] = strconv.Itoa(code)
	}
	return text
}()

// field is a header field. Its bytes are those of the head.
type field struct {
	name, value []byte
}

// nextField returns the first field of a head after its first line, and what follows.
// Lines that continue the field (obsolete line folding, RFC 9112, section 5.2) are part
// of its value. ok is false at the head's end. A line that is no field has an empty name.
func nextField(data []byte) (f field, rest []byte, ok bool) {
	line, rest := cutLine(data)
	if len(line) == 0 {
		return f, rest, false
	}
	for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		_, after := cutLine(rest)
		line = bytes.TrimRight(data[:len(data)-len(after)], "\r\n")
		rest = after
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return field{value: line}, rest, true
	}
	return field{bytes.TrimRight(line[:colon], " \t"), trim(line[colon+1:])}, rest, true
}

// trim removes white space at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r' || b[len(b)-1] == '\n') {
		b = b[:len(b)-1]
	}
	return b
}

// is reports whether a field's name is name, which is in lower case.
func (f *field) is(name string) bool {
	if len(f.name) != len(name) {
		return false
	}
	for i, c := range f.name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// hasToken reports whether a comma-separated list has a token, which is in lower case.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		item, _, _ = bytes.Cut(item, []byte(";"))
		f := field{name: trim(item)}
		if f.is(token) {
			return true
		}
	}
	return false
}

// parseLength returns the value of Content-Length. A list of equal values counts as one
// (RFC 9112, section 6.3).
func parseLength(value []byte) (n uint64, ok bool) {
	first, rest, list := bytes.Cut(value, []byte(","))
	first = bytes.TrimPrefix(trim(first), []byte("+")) // which Python's server accepts
	for len(first) > 1 && first[0] == '0' {
		first = first[1:]
	}
	if len(first) == 0 || len(first) > 18 {
		return 0, false
	}
	for _, c := range first {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	if list {
		other, ok := parseLength(rest)
		return n, ok && other == n
	}
	return n, true
}
