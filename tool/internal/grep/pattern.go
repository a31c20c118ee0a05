package grep

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxMatch is how long a match is that is found for certain, in bytes. Longer ones are
// found where they are in one line of at most so many bytes; otherwise the expression
// sees twice as much at a time.
const MaxMatch = 64 << 10

// maxPattern bounds the text of a pattern, in bytes.
const maxPattern = 32 << 10

// Options say how the text of a pattern is read.
type Options struct {
	Fixed      bool // it is looked for as it is
	Hex        bool // it is bytes in hexadecimal
	IgnoreCase bool
	Multiline  bool // an expression goes across the ends of lines
}

// Pattern is what is looked for. It does not change; several goroutines may use it.
type Pattern struct {
	re       *regexp.Regexp // nil where required, a single one, is all there is to look for
	within   *regexp.Regexp // re after one byte that is context; nil where context does not matter
	longest  int            // of a match, in bytes; more than MaxMatch where nothing bounds it
	lines    bool           // a match is within a line
	required literals       // each match has one of them; none where none is known
	also     []literals     // each match has one of each of these, too
	prefix   []byte         // that begins each match; nil where none is known
}

// Compile reads a pattern. Its errors say what of the text is wrong.
func Compile(text string, o Options) (*Pattern, error) {
	switch {
	case text == "":
		return nil, errors.New("it is empty: there is nothing to look for")
	case len(text) > maxPattern:
		return nil, fmt.Errorf("it has %d bytes, valid: up to %d", len(text), maxPattern)
	case o.Hex:
		literal, err := parseHex(text)
		if err != nil {
			return nil, err
		}
		return &Pattern{required: literals{text: [][]byte{literal}}}, nil
	case o.Fixed && !o.IgnoreCase:
		return &Pattern{required: literals{text: [][]byte{[]byte(text)}}}, nil
	case o.Fixed:
		text = regexp.QuoteMeta(text)
		o.Multiline = true
	}
	return compileExpression(text, o)
}

func compileExpression(text string, o Options) (*Pattern, error) {
	flags := syntax.Perl &^ syntax.OneLine
	if o.IgnoreCase {
		flags |= syntax.FoldCase
	}
	tree, err := syntax.Parse(text, flags)
	if err != nil {
		return nil, expressionError(err)
	}
	if literal, ok := onlyLiteral(tree); ok {
		return &Pattern{required: literals{text: [][]byte{literal}}}, nil
	}
	p := &Pattern{lines: !o.Multiline && !namesLineEnd(text) && !hasLineEnd(tree)}
	adapt(tree, p.lines)
	if p.re, err = regexp.Compile(tree.String()); err != nil {
		return nil, expressionError(err)
	}
	p.longest = longest(tree)
	if looksAround(tree) {
		if p.within, err = regexp.Compile(`\A(?s:.)(?s:.*?)(` + tree.String() + `)`); err != nil {
			return nil, expressionError(err)
		}
	}
	if all := allRequired(tree, nil); len(all) > 0 {
		best := 0
		for i := range all {
			if all[i].worth() > all[best].worth() {
				best = i
			}
		}
		p.required = all[best]
		p.also = slices.Delete(all, best, best+1)
	}
	if prefix, _ := p.re.LiteralPrefix(); prefix != "" {
		p.prefix = []byte(prefix)
	}
	return p, nil
}

// expressionError returns what a package regexp says, without the package's name.
func expressionError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

// parseHex reads bytes of two hexadecimal digits each, which spaces, colons or dashes may
// part.
func parseHex(text string) (literal []byte, err error) {
	for rest := text; rest != ""; {
		if strings.IndexByte(" :-", rest[0]) >= 0 {
			rest = rest[1:]
			continue
		}
		digits := rest[:min(2, len(rest))]
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("%q is no byte in hexadecimal, valid: two digits each, such as 0d0a or 0d 0a", digits)
		}
		literal = append(literal, b...)
		rest = rest[len(digits):]
	}
	if len(literal) == 0 {
		return nil, errors.New("it has no bytes: there is nothing to look for")
	}
	return literal, nil
}

// namesLineEnd reports whether an expression says \n or \r, or has one of them, so that it
// is meant to go across lines.
func namesLineEnd(text string) bool {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\n' || text[i] == '\r':
			return true
		case text[i] != '\\':
			continue
		}
		i++
		rest := text[i:]
		for _, end := range []string{"n", "r", "x0a", "x0A", "x0d", "x0D", "x{a}", "x{A}", "x{0a}", "x{0A}", "x{d}", "x{D}", "x{0d}", "x{0D}", "012", "015"} {
			if strings.HasPrefix(rest, end) {
				return true
			}
		}
	}
	return false
}

// onlyLiteral returns the bytes of an expression that is nothing but them.
func onlyLiteral(re *syntax.Regexp) ([]byte, bool) {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpLiteral || re.Flags&syntax.FoldCase != 0 || slices.Contains(re.Rune, utf8.RuneError) {
		return nil, false // bytes that are not UTF-8 match utf8.RuneError too
	}
	return []byte(string(re.Rune)), true
}

// hasLineEnd reports whether an expression has \r or \n as they are.
func hasLineEnd(re *syntax.Regexp) bool {
	if re.Op == syntax.OpLiteral && (slices.Contains(re.Rune, '\n') || slices.Contains(re.Rune, '\r')) {
		return true
	}
	return slices.ContainsFunc(re.Sub, hasLineEnd)
}

// adapt changes an expression for streams, which have no beginning and no end of their
// own: \A and \z are those of a line. Where a match is to be within a line, no part of
// the expression matches \r and \n, but for the \r of a line's end before a $.
func adapt(re *syntax.Regexp, lines bool) {
	for _, sub := range re.Sub {
		adapt(sub, lines)
	}
	switch re.Op {
	case syntax.OpBeginText:
		re.Op = syntax.OpBeginLine
	case syntax.OpEndText:
		re.Op = syntax.OpEndLine
		re.Flags &^= syntax.WasDollar
	}
	if !lines {
		return
	}
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		*re = syntax.Regexp{Op: syntax.OpCharClass, Rune: without(without([]rune{0, utf8.MaxRune}, '\n'), '\r')}
	case syntax.OpCharClass:
		if re.Rune = without(without(re.Rune, '\n'), '\r'); len(re.Rune) == 0 {
			*re = syntax.Regexp{Op: syntax.OpNoMatch}
		}
	case syntax.OpEndLine:
		carriage := &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{'\r'}}
		end := *re
		*re = syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{{Op: syntax.OpQuest, Sub: []*syntax.Regexp{carriage}}, &end}}
	}
}

// without returns the pairs of a character class without a character.
func without(class []rune, r rune) (rest []rune) {
	for i := 0; i+1 < len(class); i += 2 {
		low, high := class[i], class[i+1]
		if low > r || high < r {
			rest = append(rest, low, high)
			continue
		}
		if low < r {
			rest = append(rest, low, r-1)
		}
		if high > r {
			rest = append(rest, r+1, high)
		}
	}
	return rest
}

// looksAround reports whether an expression asks what is before a match.
func looksAround(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(re.Sub, looksAround)
}

// longest returns how long a match can be, in bytes; more than MaxMatch where nothing
// bounds it.
func longest(re *syntax.Regexp) (n int) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return bounded(len(re.Rune) * utf8.UTFMax)
		}
		return bounded(len(string(re.Rune)))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return utf8.UTFMax
	case syntax.OpStar, syntax.OpPlus:
		if longest(re.Sub[0]) == 0 {
			return 0
		}
		return MaxMatch + 1
	case syntax.OpRepeat:
		if re.Max < 0 && longest(re.Sub[0]) > 0 {
			return MaxMatch + 1
		}
		return bounded(max(re.Max, 0) * longest(re.Sub[0]))
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			n = max(n, longest(sub))
		}
		return n
	}
	for _, sub := range re.Sub { // a sequence, a group, or something that may be missing
		n = bounded(n + longest(sub))
	}
	return n
}

func bounded(n int) int { return min(n, MaxMatch+1) }

// literals are bytes of which a text must have one.
type literals struct {
	fold bool     // of either case; the texts are in lower case
	text [][]byte // none where nothing is known
}

// maxLiterals bounds them: each is looked for on its own.
const maxLiterals = 8

// requiredLiterals returns what each match of an expression must have.
func requiredLiterals(re *syntax.Regexp) literals {
	switch re.Op {
	case syntax.OpLiteral:
		return literalsOf(re)
	case syntax.OpCapture, syntax.OpPlus:
		return requiredLiterals(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return requiredLiterals(re.Sub[0])
		}
	case syntax.OpConcat:
		var best literals
		for _, sub := range re.Sub {
			if l := requiredLiterals(sub); l.worth() > best.worth() {
				best = l
			}
		}
		return best
	case syntax.OpAlternate:
		var all literals
		for i, sub := range re.Sub {
			l := requiredLiterals(sub)
			if len(l.text) == 0 || i > 0 && l.fold != all.fold || len(all.text)+len(l.text) > maxLiterals {
				return literals{}
			}
			all.fold, all.text = l.fold, append(all.text, l.text...)
		}
		return all
	}
	return literals{}
}

// allRequired appends what each match of an expression must have, one by one, to all.
func allRequired(re *syntax.Regexp, all []literals) []literals {
	switch re.Op {
	case syntax.OpCapture:
		return allRequired(re.Sub[0], all)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			all = allRequired(sub, all)
		}
		return all
	}
	if l := requiredLiterals(re); len(l.text) > 0 {
		all = append(all, l)
	}
	return all
}

// worth orders literals by how seldom they are.
func (l *literals) worth() int {
	if len(l.text) == 0 {
		return 0
	}
	shortest := len(l.text[0])
	for _, text := range l.text[1:] {
		shortest = min(shortest, len(text))
	}
	return shortest*maxLiterals - len(l.text) + 1
}

// literalsOf returns the bytes of a literal. Of one that matches either case, it returns
// the longest part of which the two cases of ASCII are all that matches: the letters k
// and s have a third form.
func literalsOf(re *syntax.Regexp) literals {
	if slices.Contains(re.Rune, utf8.RuneError) {
		return literals{} // see onlyLiteral
	}
	if re.Flags&syntax.FoldCase == 0 {
		return literals{text: [][]byte{[]byte(string(re.Rune))}}
	}
	var best, part []byte
	for _, r := range re.Rune {
		if 'A' <= r && r <= 'Z' {
			r |= 0x20
		}
		if r >= utf8.RuneSelf || r == 'k' || r == 's' {
			part = nil
			continue
		}
		if part = append(part, byte(r)); len(part) > len(best) {
			best = part
		}
	}
	if len(best) == 0 {
		return literals{}
	}
	return literals{fold: true, text: [][]byte{slices.Clone(best)}}
}
