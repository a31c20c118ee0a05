package query

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// at returns the function of a field of time.
func at(f *field) func(*Evaluator) (time.Time, bool) {
	return func(e *Evaluator) (time.Time, bool) { t := f.at(e.call); return t, !t.IsZero() }
}

// comparison compiles an operator that compares. With negated it is the one with not, as
// in "not in". Either is false where an operand is missing.
func (c *compiler) comparison(at *ast.BinaryNode, operator string, negated bool) *node {
	switch operator {
	case "in":
		return c.membership(at, negated)
	case "contains", "startsWith", "endsWith", "matches":
		return c.textMatch(at, operator, negated)
	}
	a, b := c.compile(at.Left), c.compile(at.Right)
	if a.kind == kindNil || b.kind == kindNil {
		return c.missing(at, operator, a, b)
	}
	c.comparable(a, b)
	n := &node{kind: kindBool}
	switch {
	case a.kind == kindBool && b.kind == kindBool:
		if operator != "==" && operator != "!=" {
			c.fail(at, "conditions have no order; write == or !=")
		}
		x, y, equal := a.flag, b.flag, operator == "=="
		n.flag = func(e *Evaluator) bool { return (x(e) == y(e)) == equal }
	case a.kind == kindJSON || b.kind == kindJSON:
		n.flag = compareJSON(operator, a.anyValue(), b.anyValue())
	case a.kind.numeric() && b.kind.numeric():
		n.flag = compareNumbers(operator, a, b)
	case a.kind == kindText:
		n.flag = compareTexts(operator, a, b)
	case a.kind == kindTime:
		x, y, holds := a.at, b.at, ordering(operator)
		n.flag = func(e *Evaluator) bool {
			v, ok := x(e)
			w, known := y(e)
			return ok && known && holds(v.Compare(w))
		}
	default:
		x, y, holds := a.asFloat().float, b.asFloat().float, floatOrdering(operator)
		n.flag = func(e *Evaluator) bool {
			v, ok := x(e)
			w, known := y(e)
			return ok && known && holds(v, w)
		}
	}
	return n.from(a, b)
}

// missing compiles a comparison with nil, which asks whether a value is missing.
func (c *compiler) missing(at *ast.BinaryNode, operator string, a, b *node) *node {
	if operator != "==" && operator != "!=" {
		c.fail(at, "nil has no order; write == nil or != nil")
	}
	if a.kind == kindNil {
		a, b = b, a
	}
	present := a.present()
	switch {
	case b.kind != kindNil || a.kind == kindNil:
		c.fail(at, "nil is compared with a value that may be missing, as in latency == nil")
	case present == nil:
		c.fail(at, "%s; ask for one of its fields, as in %s[\"host\"] == nil", a.as(), a.name)
	case !a.optional && a.kind != kindJSON:
		c.fail(at, "%s and never missing", a.as())
	}
	is := operator == "!="
	return (&node{kind: kindBool, flag: func(e *Evaluator) bool { return present(e) == is }}).from(a)
}

// comparable fails where values of a's and b's kinds cannot be compared. Its error says
// what to write.
func (c *compiler) comparable(a, b *node) {
	for _, n := range []*node{a, b} {
		if n.kind == kindMessage || n.kind == kindHeaders || n.kind == kindTexts {
			c.fail(n.source, "%s and cannot be compared; %s", n.as(), n.asCondition())
		}
	}
	number := func(k kind) bool { return k == kindInt || k == kindFloat }
	switch {
	case a.kind == kindJSON || b.kind == kindJSON, number(a.kind) && number(b.kind):
	case a.kind != b.kind && !sizes(a, b):
		field, other := a, b
		if a.constant && !b.constant {
			field, other = b, a
		}
		c.fail(other.source, "%s and %s%s", field.as(), other.as(), c.write(field, other))
	default:
		for _, pair := range [][2]*node{{a, b}, {b, a}} {
			c.known(pair[0], pair[1])
		}
	}
}

// sizes reports whether a and b are a size and a plain number, which is one of bytes.
func sizes(a, b *node) bool {
	return a.kind == kindSize && b.kind == kindInt || a.kind == kindInt && b.kind == kindSize && a.name != "code"
}

// known fails where field is one with a list of values, and value is none of them.
func (c *compiler) known(field, value *node) {
	words := vocabulary(field.name)
	if words == nil || !value.constant || value.kind != kindText || slices.Contains(words, value.string) {
		return
	}
	c.fail(value.source, "%s is never %q%s; it is one of %s", field.name, shorten(value.string), didYouMean(value.string, words), strings.Join(words, ", "))
}

// write returns what to write instead of other, so that it can be compared with field.
func (c *compiler) write(field, other *node) string {
	typed := func() string { return c.typed(other.source) }
	switch {
	case field.kind == kindText && other.constant && (other.kind == kindInt || other.kind == kindFloat):
		return `; write "` + typed() + `"`
	case field.kind == kindInt && other.constant && other.kind == kindText && number.MatchString(other.string):
		return "; write " + other.string
	case field.kind == kindInt:
		return "; write a number such as 503"
	case field.kind == kindDuration && other.constant && (other.kind == kindInt || other.kind == kindFloat):
		return "; write " + typed() + "ms or " + typed() + "s"
	case field.kind == kindDuration:
		return "; write a duration such as 200ms, 1.5s or 2m"
	case field.kind == kindSize:
		return "; write a size such as 512B, 10KiB or 1MiB"
	case field.kind == kindTime:
		return `; write a time such as date("2026-11-27T10:32:00Z")`
	case field.kind == kindBool && field.name != "":
		return "; write " + field.name + " or not " + field.name
	case field.kind == kindText:
		return `; write text such as "503"`
	}
	return ""
}

var number = regexp.MustCompile(`^[0-9]{1,18}$`)

// typed returns the number at a node as it was typed.
func (c *compiler) typed(at ast.Node) string {
	runes := []rune(c.source.text)
	from := at.Location().From
	to := from
	for to < len(runes) && (isWord(runes[to]) || runes[to] == '.') {
		to++
	}
	return string(runes[from:to])
}

// ordering returns which results of a comparison meet the operator.
func ordering(operator string) func(int) bool {
	switch operator {
	case "==":
		return func(c int) bool { return c == 0 }
	case "!=":
		return func(c int) bool { return c != 0 }
	case "<":
		return func(c int) bool { return c < 0 }
	case "<=":
		return func(c int) bool { return c <= 0 }
	case ">":
		return func(c int) bool { return c > 0 }
	default:
		return func(c int) bool { return c >= 0 }
	}
}

// floatOrdering is ordering for numbers with a fraction.
func floatOrdering(operator string) func(a, b float64) bool {
	holds := ordering(operator)
	return func(a, b float64) bool { return holds(cmp.Compare(a, b)) }
}

// compareNumbers returns the comparison of two whole numbers. The usual one, with a
// constant, calls one function only.
func compareNumbers(operator string, a, b *node) func(*Evaluator) bool {
	x, y := a.number, b.number
	if b.constant {
		w := b.number64
		switch operator {
		case "==":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v == w }
		case "!=":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v != w }
		case "<":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v < w }
		case "<=":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v <= w }
		case ">":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v > w }
		case ">=":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v >= w }
		}
	}
	holds := ordering(operator)
	return func(e *Evaluator) bool {
		v, ok := x(e)
		w, known := y(e)
		return ok && known && holds(cmp.Compare(v, w))
	}
}

func compareTexts(operator string, a, b *node) func(*Evaluator) bool {
	x, y := a.text, b.text
	if b.constant {
		w := b.string
		switch operator {
		case "==":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v == w }
		case "!=":
			return func(e *Evaluator) bool { v, ok := x(e); return ok && v != w }
		}
	}
	holds := ordering(operator)
	return func(e *Evaluator) bool {
		v, ok := x(e)
		if !ok {
			return false
		}
		w, ok := y(e)
		return ok && holds(strings.Compare(v, w))
	}
}

// textMatch compiles contains, startsWith, endsWith and matches.
func (c *compiler) textMatch(at *ast.BinaryNode, operator string, negated bool) *node {
	a, b := c.compile(at.Left), c.compile(at.Right)
	switch {
	case a.kind == kindTexts:
		c.fail(at.Left, "%s; write %s in %s", a.as(), c.shown(b), a.shown())
	case a.kind == kindHeaders:
		c.fail(at.Left, "%s; ask for one of them, as in %s[\"host\"] %s \"…\"", a.as(), a.name, operator)
	case a.kind != kindText && a.kind != kindJSON:
		c.fail(at.Left, "%s, and %s needs text", a.as(), operator)
	case b.kind != kindText && b.kind != kindJSON:
		c.fail(at.Right, "%s, and %s needs text%s", b.as(), operator, c.write(constantText(""), b))
	}
	x := a.asText()
	if operator == "matches" {
		if !b.constant {
			c.fail(at.Right, "matches needs a pattern in quotes")
		}
		pattern, err := regexp.Compile(b.string)
		if err != nil {
			c.fail(at.Right, "%q is no regular expression: %s", shorten(b.string), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		return (&node{kind: kindBool, flag: func(e *Evaluator) bool {
			v, ok := x(e)
			return ok && pattern.MatchString(v) != negated
		}}).from(a)
	}
	test := map[string]func(string, string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[operator]
	y := b.asText()
	return (&node{kind: kindBool, flag: func(e *Evaluator) bool {
		v, ok := x(e)
		if !ok {
			return false
		}
		w, ok := y(e)
		return ok && test(v, w) != negated
	}}).from(a, b)
}

// shown returns what n is called in an example.
func (n *node) shown() string {
	if n.name != "" {
		return n.name
	}
	return "the list"
}

func (c *compiler) shown(n *node) string {
	if n.constant && n.kind == kindText {
		return `"` + shorten(n.string) + `"`
	}
	return n.shown()
}

// membership compiles in.
func (c *compiler) membership(at *ast.BinaryNode, negated bool) *node {
	a := c.compile(at.Left)
	switch right := at.Right.(type) {
	case *ast.ArrayNode:
		return c.inArray(right, a, negated)
	case *ast.BinaryNode:
		if right.Operator == ".." {
			return c.inRange(right, a, negated)
		}
	}
	b := c.compile(at.Right)
	switch b.kind {
	case kindTexts:
		if a.kind != kindText && a.kind != kindJSON {
			c.fail(at.Left, "%s, and %s has text", a.as(), b.shown())
		}
		c.known(b, a)
		if b.name == incomplete && a.constant {
			return inIncomplete(a.string, negated)
		}
		x, list := a.asText(), b.texts
		return (&node{kind: kindBool, flag: func(e *Evaluator) bool {
			v, ok := x(e)
			l, known := list(e)
			return ok && known && slices.Contains(l, v) != negated
		}}).from(a, b)
	case kindHeaders:
		if a.kind != kindText || !a.constant {
			c.fail(at.Left, `the name of a header field is text in quotes, as in "x-request-id" in %s`, b.name)
		}
		side, name := b.side, a.string
		return &node{kind: kindBool, needs: headersOf(side), flag: func(e *Evaluator) bool {
			_, ok, known := e.header(side, name)
			return known && ok != negated
		}}
	case kindJSON:
		x, list := a.anyValue(), b.json
		return (&node{kind: kindBool, flag: func(e *Evaluator) bool {
			v, ok := x(e)
			l, known := list(e)
			return ok && known && inJSON(v, l) != negated
		}}).from(a, b)
	case kindText:
		c.fail(at.Right, "%s; write %s contains %s", b.as(), b.shown(), c.shown(a))
	}
	c.fail(at.Right, "%s; in needs a list such as [502, 503] or a range such as 500..599", b.as())
	return nil
}

// inIncomplete returns whether a reason is in the field incomplete, without making its list.
func inIncomplete(word string, negated bool) *node {
	mask := call.Incomplete(1) << slices.Index(call.IncompleteWords(), word)
	return &node{kind: kindBool, flag: func(e *Evaluator) bool { return e.call.Incomplete&mask != 0 != negated }}
}

// inArray compiles a in [b, c].
func (c *compiler) inArray(list *ast.ArrayNode, a *node, negated bool) *node {
	elements := make([]*node, len(list.Nodes))
	words := map[string]bool{}
	plain := a.kind == kindText
	for i, element := range list.Nodes {
		b := c.compile(element)
		if b.kind == kindNil {
			c.fail(element, "nil is in no list; write == nil")
		}
		c.comparable(a, b)
		if a.kind == kindBool {
			c.fail(element, "%s; write == or !=", a.as())
		}
		elements[i] = b
		words[b.string] = true
		plain = plain && b.constant && b.kind == kindText
	}
	n := &node{kind: kindBool}
	if plain {
		x := a.text
		n.flag = func(e *Evaluator) bool { v, ok := x(e); return ok && words[v] != negated }
		return n.from(slices.Concat(elements, []*node{a})...)
	}
	present := a.present()
	if present == nil {
		c.fail(list, "%s and cannot be in a list", a.as())
	}
	equal := make([]func(*Evaluator) bool, len(elements))
	for i, b := range elements {
		equal[i] = c.equality(a, b)
	}
	n.flag = func(e *Evaluator) bool {
		if !present(e) {
			return false
		}
		return slices.ContainsFunc(equal, func(f func(*Evaluator) bool) bool { return f(e) }) != negated
	}
	return n.from(slices.Concat(elements, []*node{a})...)
}

// equality returns a == b for kinds that comparable lets pass.
func (c *compiler) equality(a, b *node) func(*Evaluator) bool {
	switch {
	case a.kind == kindJSON || b.kind == kindJSON:
		return compareJSON("==", a.anyValue(), b.anyValue())
	case a.kind.numeric() && b.kind.numeric():
		return compareNumbers("==", a, b)
	case a.kind == kindText:
		return compareTexts("==", a, b)
	case a.kind == kindTime:
		x, y := a.at, b.at
		return func(e *Evaluator) bool { v, ok := x(e); w, known := y(e); return ok && known && v.Equal(w) }
	default:
		x, y := a.asFloat().float, b.asFloat().float
		return func(e *Evaluator) bool { v, ok := x(e); w, known := y(e); return ok && known && v == w }
	}
}

// inRange compiles a in b..c. The range includes both ends, and no list is made of it.
func (c *compiler) inRange(at *ast.BinaryNode, a *node, negated bool) *node {
	low, high := c.compile(at.Left), c.compile(at.Right)
	for _, end := range []*node{low, high} {
		if !end.kind.numeric() {
			c.fail(end.source, "%s; the ends of a range are whole numbers, as in code in 500..599", end.as())
		}
		if a.kind != kindJSON {
			c.comparable(a, end)
		}
	}
	first, last := low.number, high.number
	n := &node{kind: kindBool}
	switch {
	case a.kind.numeric():
		x := a.number
		n.flag = func(e *Evaluator) bool {
			v, ok := x(e)
			from, known := first(e)
			to, too := last(e)
			return ok && known && too && (from <= v && v <= to) != negated
		}
	case a.kind == kindFloat || a.kind == kindJSON:
		x := a.anyValue()
		n.flag = func(e *Evaluator) bool {
			v, ok := x(e)
			f, isNumber := asNumber(v)
			from, known := first(e)
			to, too := last(e)
			return ok && isNumber && known && too && (float64(from) <= f && f <= float64(to)) != negated
		}
	default:
		c.fail(at, "%s and in no range", a.as())
	}
	return n.from(a, low, high)
}
