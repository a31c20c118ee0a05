package dubbo

// text is where a string is in a body.
type text struct{ from, to int }

// of returns the string's bytes; data begin with the frame.
func (t text) of(data []byte) []byte { return data[headerSize+t.from : headerSize+t.to] }

// maxChars is how long a string may be that is read.
const maxChars = 1 << 10

// hessianString reads the string of Hessian 2 at body[at:]
// (http://hessian.caucho.com/doc/hessian-serialization.html#anchor22). next is the offset
// behind it, or how many bytes body must have at least; 0 says that there is no such string. Strings in chunks, which
// are long, are not read.
func hessianString(body []byte, at int) (t text, next int) {
	if at >= len(body) {
		return t, at + 1
	}
	chars, size := 0, 1
	switch b := body[at]; {
	case b < 0x20:
		chars = int(b)
	case b >= 0x30 && b <= 0x33:
		if size = 2; at+size > len(body) {
			return t, at + size
		}
		chars = int(b-0x30)<<8 | int(body[at+1])
	case b == 'S':
		if size = 3; at+size > len(body) {
			return t, at + size
		}
		chars = int(body[at+1])<<8 | int(body[at+2])
	case b == 'N':
	default:
		return t, 0
	}
	if chars > maxChars {
		return t, 0
	}
	t.from = at + size
	t.to = t.from
	// The length is in units of UTF-16, the characters are UTF-8, or halves of surrogates with three bytes each.
	for chars > 0 {
		if t.to >= len(body) {
			return t, t.to + chars
		}
		units, n := 1, 1
		switch c := body[t.to]; {
		case c < 0xc0:
		case c < 0xe0:
			n = 2
		case c < 0xf0:
			n = 3
		default:
			units, n = 2, 4
		}
		chars -= units
		t.to += n
	}
	if chars < 0 {
		return t, 0
	}
	return t, t.to
}

// jsonString reads the string in JSON at body[at:], with the end of its line. It is as
// hessianString.
func jsonString(body []byte, at int) (t text, next int) {
	if at >= len(body) {
		return t, at + 1
	}
	if body[at] == 'n' { // null
		t.from, t.to = at, at
		return t, jsonLine(body, at+len("null"))
	}
	if body[at] != '"' {
		return t, 0
	}
	t.from = at + 1
	for t.to = t.from; t.to < len(body); t.to++ {
		switch c := body[t.to]; {
		case c == '\\' || c < ' ' || t.to-t.from > maxChars:
			return t, 0
		case c == '"':
			return t, jsonLine(body, t.to+1)
		}
	}
	return t, len(body) + 1
}

// jsonLine returns the offset behind the end of the line at body[at:].
func jsonLine(body []byte, at int) int {
	if at < len(body) && body[at] == '\r' {
		at++
	}
	if at < len(body) && body[at] != '\n' {
		return 0
	}
	return at + 1
}
