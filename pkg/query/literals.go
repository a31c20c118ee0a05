package query

import (
	"math/big"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// literal is a duration or a size in an expression, such as 1h30m or 10KiB.
type literal struct {
	text  string // as typed
	kind  kind
	value int64 // nanoseconds or bytes
}

// source is an expression in two forms.
type source struct {
	text string // as typed

	// plain is text with each literal replaced by as many zeros as it has characters. So
	// the positions in both are the same, and literals says which numbers were literals.
	plain    string
	literals map[int]literal // by their first character, counted from 0
}

const (
	maxText  = 64 << 10 // bytes of an expression
	maxDepth = 250      // how deep brackets and prefixes may be nested: the parser recurses
)

// units are the units of literals. "KB" is 1000 bytes and "KiB" 1024.
var units = map[string]struct {
	kind  kind
	value int64
}{
	"ns": {kindDuration, 1}, "us": {kindDuration, 1e3}, "µs": {kindDuration, 1e3}, "μs": {kindDuration, 1e3}, "ms": {kindDuration, 1e6},
	"s": {kindDuration, 1e9}, "m": {kindDuration, 60e9}, "h": {kindDuration, 3600e9}, "d": {kindDuration, 24 * 3600e9},
	"B": {kindSize, 1}, "KB": {kindSize, 1e3}, "kB": {kindSize, 1e3}, "MB": {kindSize, 1e6}, "GB": {kindSize, 1e9}, "TB": {kindSize, 1e12},
	"KiB": {kindSize, 1 << 10}, "MiB": {kindSize, 1 << 20}, "GiB": {kindSize, 1 << 30}, "TiB": {kindSize, 1 << 40},
}

// unitNames are the units in the order that errors list them.
var unitNames = []string{"ns", "us", "ms", "s", "m", "h", "d", "B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"}

const unitList = "durations have ns, us, ms, s, m, h or d, sizes B, KB, MB, GB, TB, KiB, MiB, GiB or TiB"

// newSource finds the literals of text. It also refuses what is too long or too deep for
// the parser.
func newSource(text string) (*source, *Error) {
	switch {
	case len(text) > maxText:
		return nil, newError("", 0, "the expression has %d bytes; at most %d are read", len(text), maxText)
	case !utf8.ValidString(text):
		return nil, newError("", 0, "the expression is not valid UTF-8")
	case strings.TrimSpace(text) == "":
		return nil, newError("", 0, "the expression is empty; write a condition such as failed and latency > 200ms")
	}
	s := &scanner{source: source{text: text, literals: map[int]literal{}}, runes: []rune(text)}
	s.out = slices.Clone(s.runes)
	if err := s.scan(); err != nil {
		return nil, err
	}
	s.plain = string(s.out)
	return &s.source, nil
}

// scanner finds the literals of an expression. It knows as much of the grammar as that needs.
type scanner struct {
	source
	runes, out []rune
	at         int
	brackets   int // how many are open
	prefixes   int // how many operators that nest without a bracket there have been
}

// peek returns the character n after the next one, or 0.
func (s *scanner) peek(n int) rune {
	if s.at+n < len(s.runes) {
		return s.runes[s.at+n]
	}
	return 0
}

func (s *scanner) scan() *Error {
	for s.at < len(s.runes) {
		switch r, next := s.runes[s.at], s.peek(1); {
		case r == '"' || r == '\'':
			s.quoted(r)
		case r == '`':
			s.raw()
		case r == '/' && next == '/':
			s.skipTo("\n")
		case r == '/' && next == '*':
			s.at += 2
			s.skipTo("*/")
		case r == '#':
			s.at++
			s.skipWhile(isWord)
		case r == '.' && next == '.':
			s.at += 2
		case isDigit(r) || r == '.' && isDigit(next):
			if err := s.number(); err != nil {
				return err
			}
		case isWord(r):
			s.word()
		default:
			s.operator(r, next)
			s.at++
		}
		if s.brackets+s.prefixes > maxDepth {
			return newError(s.text, s.at-1, "the expression is nested too deep; at most %d brackets and prefixes are read", maxDepth)
		}
	}
	return nil
}

// operator counts what makes the parser recurse.
func (s *scanner) operator(r, next rune) {
	switch {
	case strings.ContainsRune("([{", r):
		s.brackets++
	case strings.ContainsRune(")]}", r):
		s.brackets--
	case r == '!' && next != '=', r == '-', r == '+', r == '*' && next == '*', r == '^', r == '?' && next != '.':
		s.prefixes++
	}
}

// word passes over a name or an operator that is a word.
func (s *scanner) word() {
	from := s.at
	s.at++
	s.skipWhile(isWord)
	switch string(s.runes[from:s.at]) {
	case "not", "let", "if", "else":
		s.prefixes++
	}
}

// quoted passes over a string in quotes with escapes.
func (s *scanner) quoted(quote rune) {
	for s.at++; s.at < len(s.runes); s.at++ {
		switch s.runes[s.at] {
		case '\\':
			s.at++
		case quote, '\n':
			s.at++
			return
		}
	}
	s.at = len(s.runes)
}

// raw passes over a string in back quotes; two of them stand for one.
func (s *scanner) raw() {
	for s.at++; s.at < len(s.runes); s.at++ {
		if s.runes[s.at] == '`' {
			if s.peek(1) != '`' {
				s.at++
				return
			}
			s.at++
		}
	}
}

func (s *scanner) skipTo(end string) {
	for want := []rune(end); s.at < len(s.runes); s.at++ {
		if s.runes[s.at] == want[0] && (len(want) == 1 || s.peek(1) == want[1]) {
			s.at += len(want)
			return
		}
	}
}

// number passes over a number. If units belong to it, it is a literal.
func (s *scanner) number() *Error {
	from := s.at
	if s.radix() {
		return nil
	}
	var sum big.Rat
	kindOf := kindNil
	for {
		start := s.at
		s.digits()
		digits := strings.ReplaceAll(string(s.runes[start:s.at]), "_", "")
		unitAt := s.at
		s.skipWhile(func(r rune) bool { return isWord(r) && !isDigit(r) })
		unit := string(s.runes[unitAt:s.at])
		if unit == "" || exponent(unit) && kindOf == kindNil && s.exponentFollows(unitAt) {
			if kindOf == kindNil { // a number without a unit: the parser's
				for isWord(s.peek(0)) || s.peek(0) == '.' && isDigit(s.peek(1)) {
					s.at++
				}
				if text := strings.ReplaceAll(s.typed(from), "_", ""); len(text) > 18 && strings.Trim(text, "0123456789") == "" {
					return newError(s.text, from, "%s is too large", shorten(s.typed(from)))
				}
				return nil
			}
			return newError(s.text, start, "%s has no unit after %s; %s", s.typed(from), digits, unitList)
		}
		u, ok := units[unit]
		switch {
		case !ok:
			s.skipWhile(isWord)
			return newError(s.text, unitAt, "unknown unit %q in %s%s; %s", unit, s.typed(from), didYouMean(unit, unitNames), unitList)
		case kindOf != kindNil && kindOf != u.kind:
			return newError(s.text, unitAt, "%s mixes a duration and a size", s.typed(from))
		}
		kindOf = u.kind
		value, ok := new(big.Rat).SetString(digits)
		if !ok || len(digits) > 40 {
			return newError(s.text, start, "%s is not a number that can be read", s.typed(from))
		}
		sum.Add(&sum, value.Mul(value, new(big.Rat).SetInt64(u.value)))
		if !isDigit(s.peek(0)) {
			break
		}
	}
	return s.literal(from, kindOf, &sum)
}

// literal keeps the literal that begins at from and ends here.
func (s *scanner) literal(from int, k kind, value *big.Rat) *Error {
	switch text := s.typed(from); {
	case text[0] == '.':
		return newError(s.text, from, "write 0%s", text)
	case s.peek(0) == '.' && s.peek(1) != '.':
		return newError(s.text, s.at, "unexpected . after %s", text)
	case !value.IsInt() && k == kindSize:
		return newError(s.text, from, "%s is no whole number of bytes", text)
	case !value.IsInt():
		return newError(s.text, from, "%s is no whole number of nanoseconds", text)
	case !value.Num().IsInt64():
		return newError(s.text, from, "%s is too large", text)
	default:
		s.literals[from] = literal{text: text, kind: k, value: value.Num().Int64()}
		for i := from; i < s.at; i++ {
			s.out[i] = '0'
		}
		return nil
	}
}

func (s *scanner) typed(from int) string { return string(s.runes[from:s.at]) }

// radix passes over a number such as 0xFF. "0B" is none: it is a size.
func (s *scanner) radix() bool {
	if s.peek(0) != '0' {
		return false
	}
	var digits string
	switch s.peek(1) {
	case 'x', 'X':
		digits = "0123456789abcdefABCDEF"
	case 'o', 'O':
		digits = "01234567"
	case 'b', 'B':
		digits = "01"
	default:
		return false
	}
	if !strings.ContainsRune(digits, s.peek(2)) {
		return false
	}
	s.at += 2
	s.skipWhile(isWord)
	return true
}

// digits passes over decimal digits with at most one point, which is not that of a range.
func (s *scanner) digits() {
	s.skipWhile(isNumeral)
	if s.peek(0) == '.' && isDigit(s.peek(1)) {
		s.at++
		s.skipWhile(isNumeral)
	}
}

func exponent(unit string) bool { return unit == "e" || unit == "E" }

// exponentFollows reports whether the letter at i is that of a number's exponent, and passes over it.
func (s *scanner) exponentFollows(i int) bool {
	next := i + 1
	if next < len(s.runes) && (s.runes[next] == '+' || s.runes[next] == '-') {
		next++
	}
	if next < len(s.runes) && isDigit(s.runes[next]) {
		s.at = next
		return true
	}
	return false
}

// skipWhile passes over characters of a kind.
func (s *scanner) skipWhile(is func(rune) bool) {
	for s.at < len(s.runes) && is(s.runes[s.at]) {
		s.at++
	}
}

// isNumeral reports whether r may be in a number; _ is there to be read more easily.
func isNumeral(r rune) bool { return isDigit(r) || r == '_' }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// isWord reports whether the parser has r as a part of names.
func isWord(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}
