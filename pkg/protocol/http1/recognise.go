package http1

import (
	"bytes"
	"slices"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// certain is how many bytes of a target are certain to be one, although its line has
// not ended.
const certain = 1 << 10

// begins implements parse.Protocol.Begins.
func begins(dir record.Direction, data []byte) parse.Verdict {
	for len(data) > 0 && (data[0] == '\r' || data[0] == '\n') {
		data = data[1:]
	}
	if len(data) == 0 {
		return parse.Maybe
	}
	if dir == record.Out {
		return beginsAnswer(data)
	}
	end := bytes.IndexByte(data, '\n')
	if end >= 0 {
		if line, _ := cutLine(data[:end+1]); isRequestLine(line) {
			return parse.Yes
		}
		return parse.No
	}
	space := bytes.IndexByte(data, ' ')
	method := data
	if space >= 0 {
		method = data[:space]
	}
	if space == 0 || len(method) > maxMethod {
		return parse.No
	}
	for _, c := range method {
		if !isToken[c] {
			return parse.No
		}
	}
	if space < 0 {
		return parse.Maybe
	}
	if target := data[space+1:]; len(target) > 0 && target[0] == '/' && len(target) > certain {
		return parse.Yes
	}
	return parse.Maybe
}

func beginsAnswer(data []byte) parse.Verdict {
	const form = "HTTP/1.# ###"
	for i := range min(len(form), len(data)) {
		c := data[i]
		if form[i] == '#' && (c < '0' || c > '9') || form[i] != '#' && c != form[i] {
			return parse.No
		}
	}
	if len(data) < len(form) {
		return parse.Maybe
	}
	return parse.Yes
}

// within implements parse.Protocol.Within.
func within(dir record.Direction, data []byte) (at, needed int, found bool) {
	at, needed, _ = find(dir, data)
	return at, needed, needed > 0
}

// find looks for the first line of a message that is followed by the beginning of a
// field, or an empty line. It returns where the line is, and how many bytes it needed to
// see that, 0 if there is none; then at is where a line may be that has not ended.
func find(dir record.Direction, data []byte) (at, needed int, ok bool) {
	valid := isRequestLine
	if dir == record.Out {
		valid = isStatusLine
	}
	for at < len(data) {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			break
		}
		next := at + end + 1
		line, _ := cutLine(data[at:next])
		if valid(line) && (at > 0 || dir == record.Out || isUsual(line)) {
			if n, known := fieldBegins(data[next:]); n > 0 {
				return at, next + n, true
			} else if !known {
				return at, 0, false
			}
		}
		at = next
	}
	if len(data)-at > maxHead {
		return len(data), 0, false // no first line is that long
	}
	return at, 0, false
}

// isUsual reports whether a request line has a usual method, so that it is not one of
// which the beginning is missing.
func isUsual(line []byte) bool {
	r, _ := parseRequestLine(line)
	return slices.Contains(methods[:], string(r.method))
}

// fieldBegins reports whether data begins with a field's name and its colon, or with an
// empty line, and how many bytes tell that. known is false if there are too few.
func fieldBegins(data []byte) (n int, known bool) {
	for i, c := range data {
		switch {
		case i == 0 && c == '\n':
			return 1, true
		case i == 0 && c == '\r':
			if len(data) == 1 {
				return 0, false
			}
			if data[1] == '\n' {
				return 2, true
			}
			return 0, true
		case i > 0 && c == ':':
			return i + 1, true
		case !isToken[c]:
			return 0, true
		}
	}
	return 0, len(data) > maxLine
}

// Sync implements parse.Parser.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	at, _, found := find(s.Dir(), s.Bytes())
	if at > 0 && p.late && p.unsure == 0 {
		p.unsure = call.BeganBefore
	}
	return at, found
}
