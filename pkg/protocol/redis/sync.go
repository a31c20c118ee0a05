package redis

import (
	"bytes"

	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/record"
)

// Sync implements parse.Parser. A message begins behind the end of a line. Values may
// have such lines too; so what is found is in doubt.
func (p *parser) Sync(s *parse.Stream) (n int, found bool) {
	dir := s.Dir()
	if !p.searching[dir] {
		p.searching[dir], p.lostAt[dir] = true, s.Offset()
	}
	match := matchAnswer
	if dir == record.In {
		match = matchCommand
	}
	n, found = search(s.Bytes(), s.Offset() == p.lostAt[dir], match)
	if found {
		p.searching[dir] = false
	} else if dir == record.Out {
		p.out.waiting = n < len(s.Bytes())
	}
	return n, found
}

// search returns where the first message of data is; if there is none, how much of data
// is in front of what may be the beginning of one. begins says that data begin behind a gap.
func search(data []byte, begins bool, match func([]byte) (int, parse.Verdict)) (n int, found bool) {
	at := 0
	if !begins {
		if at = lineEnd(data); at < 0 {
			return max(len(data)-2, 0), false
		}
	}
	for at < len(data) {
		switch _, verdict := match(data[at:]); verdict {
		case parse.Yes:
			return at, true
		case parse.Maybe:
			return max(at-2, 0), false
		}
		next := lineEnd(data[at:])
		if next < 0 {
			break
		}
		at += next
	}
	return max(len(data)-2, 0), false
}

// lineEnd returns the offset behind the first end of a line; -1 if there is none.
func lineEnd(data []byte) int {
	at := bytes.Index(data, []byte("\r\n"))
	if at < 0 {
		return -1
	}
	return at + 2
}

// matchCommand says whether data begin with a command: the number of arguments, and the
// name. It returns how many bytes these are.
func matchCommand(data []byte) (n int, v parse.Verdict) {
	args, n, ok := number(data, '*')
	if !ok || n > 0 && (args < 1 || args > 1<<20) {
		return 0, parse.No
	}
	if n == 0 || n == len(data) {
		return 0, parse.Maybe
	}
	length, header, ok := number(data[n:], '$')
	if !ok || header > 0 && (length < 1 || length > maxName) {
		return 0, parse.No
	}
	if header == 0 {
		return 0, parse.Maybe
	}
	name := data[n+header:]
	if there := name[:min(len(name), int(length))]; len(there) > 0 && !isWord(there) {
		return 0, parse.No
	}
	end := n + header + int(length)
	if tail := data[min(end, len(data)):]; len(tail) < 2 {
		if len(tail) == 1 && tail[0] != '\r' {
			return 0, parse.No
		}
		return 0, parse.Maybe
	}
	if data[end] != '\r' || data[end+1] != '\n' {
		return 0, parse.No
	}
	return end + 2, parse.Yes
}

// matchAnswer says whether data begin with an answer.
func matchAnswer(data []byte) (n int, v parse.Verdict) {
	u, n, err := nextUnit(data)
	switch {
	case err != nil, u.kind == ';', u.kind == '.', u.snapshot, u.count > 1<<20:
		return 0, parse.No
	case n == 0 && (u.kind == '+' || u.kind == '-' || u.kind == '('):
		if len(data) > 1 && !isLine(u.kind, data[1:]) {
			return 0, parse.No
		}
		return 0, parse.Maybe
	case n == 0 && u.scalar && !u.line && u.length == 0 && len(data) < maxNumber+2:
		return 0, parse.Maybe
	case n == 0:
		return 0, parse.Maybe
	case u.line && (u.kind == '+' || u.kind == '-' || u.kind == '('):
		if !isLine(u.kind, data[1:1+u.known]) {
			return 0, parse.No
		}
	case u.scalar && u.length > maxSynced:
		return 0, parse.No
	}
	return n, parse.Yes
}

// isLine reports whether text may be what follows + or - or ( in an answer, as
// servers send them.
func isLine(kind byte, text []byte) bool {
	text = bytes.TrimSuffix(text, []byte("\r"))
	if len(text) == 0 {
		return false
	}
	for i, c := range text {
		switch {
		case c < ' ' || c == 0x7f:
			return false
		case kind == '(' && (c < '0' || c > '9') && (i > 0 || c != '-'):
			return false
		case i == 0 && kind == '+' && !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'):
			return false
		case i < 2 && kind == '-' && (c < 'A' || c > 'Z'):
			return false
		}
	}
	return true
}

// begins implements parse.Protocol.
func begins(dir record.Direction, data []byte) parse.Verdict {
	if dir == record.In {
		return beginsIn(data)
	}
	return beginsOut(data)
}

// beginsIn says whether data are the first bytes of a client.
func beginsIn(data []byte) parse.Verdict {
	if data[0] == '*' {
		_, v := matchCommand(data)
		return v
	}
	// People type commands on a line. So do those who speak other protocols of text: what the
	// server answers decides.
	const most = 1 << 10
	line, n, ok := inlineLine(data)
	if !ok || n == 0 && len(data) > most || bytes.Contains(line, []byte(" HTTP/")) {
		return parse.No
	}
	if n == 0 {
		name, _, complete := bytes.Cut(data, []byte(" "))
		if _, _, known := lookup(bytes.TrimSuffix(name, []byte("\r"))); complete && !known || !isWord(bytes.TrimSuffix(name, []byte("\r"))) {
			return parse.No
		}
		return parse.Maybe
	}
	all, ok := words(line)
	if !ok || len(all) == 0 {
		return parse.No
	}
	if _, _, known := lookup(line[all[0].at:all[0].end]); !known {
		return parse.No
	}
	return parse.Maybe
}

// errorsOfServers are how errors begin that no other protocol has.
var errorsOfServers = []string{
	"ERR unknown command", "ERR wrong number of arguments", "ERR Protocol error", "ERR max number of clients", "ERR syntax error", "ERR value is not",
	"NOAUTH ", "WRONGPASS ", "NOPERM ", "DENIED Redis", "WRONGTYPE ", "LOADING ", "MISCONF ", "READONLY ", "NOSCRIPT ", "MOVED ", "ASK ", "CLUSTERDOWN ", "OOM ", "NOPROTO ",
}

// beginsOut says whether data are the first bytes of a server.
func beginsOut(data []byte) parse.Verdict {
	n, v := matchAnswer(data)
	if v != parse.Yes {
		if v == parse.Maybe && len(data) > maxLine {
			return parse.No
		}
		return v
	}
	u, _, _ := nextUnit(data)
	switch u.kind {
	case '+':
		switch string(data[:n]) {
		case "+OK\r\n", "+PONG\r\n", "+QUEUED\r\n":
			return parse.Yes
		}
		return parse.Maybe
	case '-':
		for _, text := range errorsOfServers {
			if bytes.HasPrefix(data[1:], []byte(text)) {
				return parse.Yes
			}
		}
		return parse.Maybe
	case ':', '_', '#', ',', '(':
		return parse.Yes
	case '$', '=', '!':
		if u.null {
			return parse.Yes
		}
		if u.length > maxLine || u.stream {
			return parse.Maybe
		}
		if u.known < u.length || len(data) < n {
			return parse.Maybe
		}
		if data[n-2] != '\r' || data[n-1] != '\n' {
			return parse.No
		}
		return parse.Yes
	}
	// An aggregate: its first element counts.
	if u.null {
		return parse.Yes
	}
	if u.count == 0 && !u.stream {
		return parse.Maybe
	}
	if len(data) == n {
		return parse.Maybe
	}
	_, v = matchAnswer(data[n:])
	return v
}

// within implements parse.Protocol.
func within(dir record.Direction, data []byte) (at, needed int, found bool) {
	match := certainAnswers
	if dir == record.In {
		match = certainCommand
	}
	for at = 0; at < len(data); {
		if n, ok := match(data[at:]); ok {
			return at, at + n, true
		}
		next := lineEnd(data[at:])
		if next < 0 {
			break
		}
		at += next
	}
	return 0, 0, false
}

// certainCommand returns how many bytes of data make it certain that they begin with a
// command.
func certainCommand(data []byte) (n int, ok bool) {
	n, v := matchCommand(data)
	if v != parse.Yes {
		return 0, false
	}
	args, header, _ := number(data, '*')
	length, more, _ := number(data[header:], '$')
	name := data[header+more : header+more+int(length)]
	if _, _, known := lookup(name); !known {
		return 0, false
	}
	if args == 1 {
		return n, true
	}
	_, next, ok := number(data[n:], '$')
	return n + next, ok && next > 0
}

// certainAnswers returns how many bytes of data make it certain that they begin with
// answers: three units with a string among them, or six.
func certainAnswers(data []byte) (n int, ok bool) {
	text := false
	for units := 1; n < len(data); units++ {
		m, v := matchAnswer(data[n:])
		if v != parse.Yes || n+m > len(data) {
			return 0, false
		}
		u, _, _ := nextUnit(data[n:])
		if u.scalar && !u.line && !u.null {
			if data[n+m-2] != '\r' || data[n+m-1] != '\n' {
				return 0, false
			}
			text = text || u.length > 0
		}
		if n += m; units >= 6 || units >= 3 && text {
			return n, true
		}
	}
	return 0, false
}
