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
const certain = 512

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
	space := bytes.IndexAny(data[:min(len(data), maxMethod+1)], " \t")
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
	target := bytes.TrimLeft(data[space:], " \t")
	if len(target) > certain && (target[0] == '/' || slices.Contains(methods[:], string(method))) {
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
	return find(dir, data, 0)
}

// find looks for the first line of a message that is followed by the beginning of a
// field, or an empty line. Before it may be the end of a body, without an end of line. It
// returns where the line is, and how many bytes it needed to see that; needed is 0 if there is
// none, then at is where a line may be that has not ended. There is no end of a line in the first looked bytes.
func find(dir record.Direction, data []byte, looked int) (at, needed int, ok bool) {
	for at < len(data) {
		var begin, end int
		var whole bool
		if dir == record.In {
			begin, end, whole = firstRequestLine(data[at:], looked)
			looked = 0
		} else {
			begin, end, whole = firstStatusLine(data[at:])
		}
		at += begin
		if !whole {
			break
		}
		next := at + end - begin
		if n, known := fieldBegins(data[next:]); n > 0 {
			return at, next + n, true
		} else if !known {
			return at, 0, false
		}
		at = next
	}
	return at, 0, false
}

// How many bytes of a line are kept that may become a first line, and those of a field's name behind it.
const (
	maxRequestLine = 64 << 10
	maxStatusLine  = 4 << 10
	maxName        = 256
)

// firstStatusLine returns where a status line begins and ends in data. whole is false if
// there is none; begin is then where one may begin that has not ended.
func firstStatusLine(data []byte) (begin, end int, whole bool) {
	const version = "HTTP/1."
	for {
		n := bytes.Index(data[begin:], []byte(version))
		if n < 0 {
			return max(begin, len(data)-len(version)+1), 0, false
		}
		begin += n
		if n = bytes.IndexByte(data[begin:], '\n') + 1; n == 0 {
			if beginsAnswer(data[begin:]) != parse.No && len(data)-begin <= maxStatusLine {
				return begin, 0, false
			}
		} else if line, _ := cutLine(data[begin : begin+n]); isStatusLine(line) {
			return begin, begin + n, true
		}
		begin++
	}
}

// firstRequestLine does for request lines what firstStatusLine does for status lines.
// Where the line does not begin with one, one of a usual method may begin in it.
func firstRequestLine(data []byte, looked int) (begin, end int, whole bool) {
	for begin < len(data) {
		n := bytes.IndexByte(data[max(begin, looked):], '\n') + 1
		if n == 0 {
			return max(begin, len(data)-maxRequestLine), 0, false
		}
		n += max(begin, looked) - begin
		line, _ := cutLine(data[begin : begin+n])
		if at := bytes.LastIndex(line, []byte(" HTTP/1.")); at > 0 {
			if begin > 0 && isRequestLine(line) {
				return begin, begin + n, true
			}
			last := -1
			for _, m := range methods {
				last = max(last, bytes.LastIndex(line[:at], []byte(m+" ")))
			}
			if last >= 0 && isRequestLine(line[last:]) {
				return begin + last, begin + n, true
			}
		}
		begin += n
	}
	return begin, 0, false
}

// fieldBegins reports whether data begins with a field's name and its colon, or with an
// empty line, and how many bytes decide that. known is false if there are too few.
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
	return 0, len(data) > maxName
}

// Sync implements parse.Parser.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	side := &p.sides[s.Dir()]
	side.Looked = min(side.Looked, len(s.Bytes()))
	at, _, found := find(s.Dir(), s.Bytes(), side.Looked)
	rest, looked := s.Bytes()[at:], max(side.Looked-at, 0)
	if side.Looked = 0; !found && bytes.IndexByte(rest[looked:], '\n') < 0 {
		side.Looked = len(rest)
	}
	if at > 0 && p.late && p.unsure == 0 {
		p.unsure = call.BeganBefore
	}
	return at, found
}
