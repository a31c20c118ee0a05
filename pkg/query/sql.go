package query

import "strings"

// statementRoute returns an SQL statement with ? for its literals, without comments, and
// with one space between its words. Lists of literals become one ?. In MySQL text may be
// in double quotes too; elsewhere those are names.
func statementRoute(statement string, mysql bool) string {
	s := &statementScanner{text: statement, mysql: mysql}
	for s.at < len(s.text) && s.out.Len() <= maxRoute {
		s.next()
	}
	route := strings.TrimRight(s.out.String(), "; ")
	return route
}

// statementScanner writes the route of a statement.
type statementScanner struct {
	text  string
	mysql bool
	at    int
	out   strings.Builder
	space bool // one is due before the next token
}

// write writes a token.
func (s *statementScanner) write(token string) {
	if s.space && s.out.Len() > 0 {
		s.out.WriteByte(' ')
	}
	s.space = false
	s.out.WriteString(token)
}

// literal writes ?, unless it is one more of a list. "(?, ?)" and "(?), (?)" become "(?)".
func (s *statementScanner) literal() {
	written := s.out.String()
	if before, ok := strings.CutSuffix(strings.TrimRight(written, " "), ","); ok && strings.HasSuffix(before, "?") && inParentheses(before) {
		s.reset(before)
		return
	}
	if before, ok := strings.CutSuffix(written, "("); ok {
		if before, ok = strings.CutSuffix(strings.TrimRight(before, " "), ","); ok && strings.HasSuffix(before, "(?)") {
			s.reset(strings.TrimSuffix(before, ")")) // the next ) closes it again
			return
		}
	}
	if strings.HasSuffix(written, "-") && signed(written) { // the sign belongs to the literal
		s.reset(strings.TrimSuffix(written, "-"))
	}
	s.write("?")
}

func (s *statementScanner) reset(written string) {
	s.out.Reset()
	s.out.WriteString(written)
	s.space = false
}

// inParentheses reports whether the literals at the end of s follow an opening parenthesis.
func inParentheses(s string) bool { return strings.HasSuffix(s, "(?") }

// signed reports whether the minus at the end of s is a sign and no subtraction.
func signed(s string) bool {
	before := strings.TrimRight(strings.TrimSuffix(s, "-"), " ")
	return before == "" || strings.ContainsAny(before[len(before)-1:], "(,=<>+-*/%")
}

// next reads a token.
func (s *statementScanner) next() {
	rest := s.text[s.at:]
	switch b := rest[0]; {
	case b == ' ' || b == '\t' || b == '\n' || b == '\r' || b == '\f' || b == 0:
		s.at++
		s.space = true
	case strings.HasPrefix(rest, "--") || b == '#' && s.mysql:
		s.skip("\n")
	case strings.HasPrefix(rest, "/*"):
		s.at += 2
		s.skip("*/")
	case b == '\'' || b == '"' && s.mysql:
		s.quoted(b, s.mysql)
		s.literal()
	case b == '"' || b == '`':
		from := s.at
		s.quoted(b, false)
		s.write(s.text[from:s.at])
	case b == '$' && !s.mysql:
		s.dollar()
	case isDigit(rune(b)) || b == '.' && len(rest) > 1 && isDigit(rune(rest[1])):
		s.number()
		s.literal()
	case wordByte(b):
		s.word()
	case b == '?':
		s.at++
		s.literal()
	case b == ',':
		s.at++
		s.space = false
		s.write(",")
		s.space = true
	case b == ')':
		s.at++
		s.space = false
		s.write(")")
	default:
		s.at++
		s.write(rest[:1])
		if b == '(' {
			s.skipSpace()
		}
	}
}

func (s *statementScanner) skipSpace() {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

// skip passes over a comment.
func (s *statementScanner) skip(end string) {
	s.space = true
	if n := strings.Index(s.text[s.at:], end); n >= 0 {
		s.at += n + len(end)
		return
	}
	s.at = len(s.text)
}

// quoted passes over a text or a name in quotes. A doubled quote stands for one, and with
// escapes a backslash for the character after it.
func (s *statementScanner) quoted(quote byte, escapes bool) {
	for s.at++; s.at < len(s.text); s.at++ {
		switch b := s.text[s.at]; {
		case b == '\\' && escapes:
			s.at++
		case b == quote && s.at+1 < len(s.text) && s.text[s.at+1] == quote:
			s.at++
		case b == quote:
			s.at++
			return
		}
	}
	s.at = len(s.text)
}

// dollar passes over $1, which is a parameter, or over $tag$text$tag$.
func (s *statementScanner) dollar() {
	rest := s.text[s.at+1:]
	if n := len(rest) - len(strings.TrimLeft(rest, digits)); n > 0 {
		s.at += 1 + n
		s.literal()
		return
	}
	n := strings.IndexByte(rest, '$')
	if n < 0 || strings.ContainsAny(rest[:n], " '\"();,\n") {
		s.at++
		s.write("$")
		return
	}
	tag := s.text[s.at : s.at+n+2]
	s.at += len(tag)
	space := s.space
	s.skip(tag)
	s.space = space
	s.literal()
}

// number passes over a number.
func (s *statementScanner) number() {
	for s.at < len(s.text) {
		b := s.text[s.at]
		sign := (b == '+' || b == '-') && (s.text[s.at-1] == 'e' || s.text[s.at-1] == 'E') && isDigit(rune(s.text[max(s.at-2, 0)]))
		if !wordByte(b) && b != '.' && !sign {
			return
		}
		s.at++
	}
}

// word writes a word. E'…', X'…' and the like are literals.
func (s *statementScanner) word() {
	from := s.at
	for s.at < len(s.text) && (wordByte(s.text[s.at]) || s.text[s.at] == '$') {
		s.at++
	}
	word := s.text[from:s.at]
	if s.at < len(s.text) && s.text[s.at] == '\'' {
		switch strings.ToLower(word) {
		case "e", "x", "b", "n", "u", "_utf8", "_utf8mb4", "_binary", "_latin1":
			s.quoted('\'', s.mysql || strings.EqualFold(word, "e"))
			s.literal()
			return
		}
	}
	s.write(word)
}

func wordByte(b byte) bool {
	return b == '_' || isDigit(rune(b)) || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b >= 0x80
}
