package query

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// compiler makes nodes of the parser's tree. Its methods panic with a compileError.
type compiler struct {
	source    *source
	steps     int // nodes made so far
	variables []variable
	items     []kind // what # is in each predicate around
}

// variable is one of a let. It is compiled at each place where it is used.
type variable struct {
	name   string
	value  ast.Node
	before []variable // those that its value may use
	items  []kind
}

const maxPredicates = 4 // that are nested

// fail reports an error at a node.
func (c *compiler) fail(at ast.Node, format string, args ...any) {
	panic(compileError{newError(c.source.text, at.Location().From, format, args...)})
}

// compile returns the node for any expression.
func (c *compiler) compile(at ast.Node) *node {
	if c.steps++; c.steps > maxNodes {
		c.fail(at, "the expression has too many parts; at most %d are evaluated", maxNodes)
	}
	n := c.node(at)
	n.source = at
	return n
}

func (c *compiler) node(at ast.Node) *node {
	switch at := at.(type) {
	case *ast.NilNode:
		return &node{kind: kindNil, constant: true}
	case *ast.BoolNode:
		return constantFlag(at.Value)
	case *ast.IntegerNode:
		if lit, ok := c.source.literals[at.Location().From]; ok {
			n := constantNumber(lit.kind, lit.value)
			n.typed = lit.text
			return n
		}
		return constantNumber(kindInt, int64(at.Value))
	case *ast.FloatNode:
		value := at.Value
		return &node{kind: kindFloat, constant: true, float: func(*Evaluator) (float64, bool) { return value, true }}
	case *ast.StringNode:
		return constantText(at.Value)
	case *ast.BytesNode:
		return constantText(string(at.Value))
	case *ast.IdentifierNode:
		return c.name(at)
	case *ast.PointerNode:
		return c.pointer(at)
	case *ast.ChainNode:
		return c.compile(at.Node)
	case *ast.MemberNode:
		return c.member(at)
	case *ast.UnaryNode:
		return c.unary(at)
	case *ast.BinaryNode:
		return c.binary(at)
	case *ast.ConditionalNode:
		return c.conditional(at)
	case *ast.VariableDeclaratorNode:
		return c.let(at)
	case *ast.ArrayNode:
		return c.array(at)
	case *ast.BuiltinNode:
		return c.function(at, at.Name, at.Arguments)
	case *ast.CallNode:
		if callee, ok := at.Callee.(*ast.IdentifierNode); ok {
			return c.function(at, callee.Value, at.Arguments)
		}
		c.fail(at, "there are no methods; the functions are %s", strings.Join(functionNames(), ", "))
	case *ast.SliceNode:
		c.fail(at, "parts such as [1:3] are not available; write startsWith, endsWith or matches")
	case *ast.MapNode:
		c.fail(at, "maps are not available")
	case *ast.SequenceNode:
		c.fail(at.Nodes[len(at.Nodes)-1], "one condition is expected; join two with and or or")
	}
	c.fail(at, "this is not available in a condition")
	return nil
}

// condition compiles an expression that must be a condition. why says what needs it.
func (c *compiler) condition(at ast.Node, why string) *node {
	return c.asCondition(at, c.compile(at), why)
}

// asCondition returns n as a condition.
func (c *compiler) asCondition(at ast.Node, n *node, why string) *node {
	if n = n.fromJSON(); n.kind == kindBool {
		return n
	}
	c.fail(at, "%s, and %s needs a condition; %s", n.as(), why, n.asCondition())
	return nil
}

// fromJSON returns the condition that a part of a JSON value is true. Other nodes, and
// whole JSON values, are returned as they are.
func (n *node) fromJSON() *node {
	if _, whole := n.source.(*ast.BuiltinNode); n.kind != kindJSON || whole {
		return n
	}
	value := n.json
	flag := (&node{kind: kindBool, flag: func(e *Evaluator) bool { v, _ := value(e); is, _ := v.(bool); return is }}).from(n)
	flag.source = n.source
	return flag
}

// name compiles a name: a variable or a field.
func (c *compiler) name(at *ast.IdentifierNode) *node {
	for i := len(c.variables) - 1; i >= 0; i-- {
		if v := c.variables[i]; v.name == at.Value {
			outer, items := c.variables, c.items
			c.variables, c.items = v.before, v.items
			n := c.compile(v.value)
			c.variables, c.items = outer, items
			return n
		}
	}
	if n := c.path([]string{at.Value}); n != nil {
		return n
	}
	if slices.Contains(names(""), at.Value) { // the first part of others
		c.fail(at, "%s alone is no value; its members are %s", at.Value, strings.Join(names(at.Value+"."), ", "))
	}
	hint := didYouMean(at.Value, names(""))
	if slices.Contains(functionNames(), at.Value) {
		hint = "; it is a function: write " + at.Value + "(…)"
	}
	c.fail(at, "unknown name %q%s; the fields are %s", shorten(at.Value), hint, strings.Join(names(""), ", "))
	return nil
}

// path returns the node of a field, a body or a message, or nil.
func (c *compiler) path(parts []string) *node {
	name := strings.Join(parts, ".")
	if f := findField(name); f != nil {
		return f.node()
	}
	for _, side := range []Side{Request, Response} {
		switch name {
		case side.String():
			return &node{kind: kindMessage, side: side, name: name, optional: true, there: func(e *Evaluator) bool { return e.call.message(side).Present }}
		case side.String() + ".headers":
			return &node{kind: kindHeaders, side: side, name: name}
		case side.String() + ".body":
			return &node{kind: kindText, side: side, name: name, optional: true, needs: bodyOf(side), text: func(e *Evaluator) (string, bool) { return e.body(side) }}
		}
	}
	return nil
}

// node returns the node of a field.
func (f *field) node() *node {
	n := &node{kind: f.kind, name: f.name, optional: f.optional}
	switch {
	case f.name == incomplete:
		n.texts = func(e *Evaluator) ([]string, bool) { return e.call.Incomplete.Words(), true }
	case f.text != nil && f.optional:
		n.text = func(e *Evaluator) (string, bool) { s := f.text(e.call); return s, s != "" }
	case f.text != nil:
		n.text = func(e *Evaluator) (string, bool) { return f.text(e.call), true }
	case f.number != nil:
		n.number = func(e *Evaluator) (int64, bool) { return f.number(e.call) }
	case f.flag != nil:
		n.flag = func(e *Evaluator) bool { return f.flag(e.call) }
	case f.at != nil:
		n.at = at(f)
	}
	return n
}

// dotted returns the parts of a chain of names such as request.body.length, or nil.
func dotted(at ast.Node) []string {
	switch at := at.(type) {
	case *ast.ChainNode:
		return dotted(at.Node)
	case *ast.IdentifierNode:
		return []string{at.Value}
	case *ast.MemberNode:
		property, ok := at.Property.(*ast.StringNode)
		if parts := dotted(at.Node); ok && parts != nil {
			return append(parts, property.Value)
		}
	}
	return nil
}

// member compiles a.b and a["b"] and a[1].
func (c *compiler) member(at *ast.MemberNode) *node {
	if parts := dotted(at); parts != nil && !c.isVariable(parts[0]) {
		if n := c.path(parts); n != nil {
			return n
		}
		if slices.Contains(Names(), parts[0]) && len(parts) == 2 && findField(parts[0]) != nil {
			c.fail(at, "%s is %s and has no members", parts[0], findField(parts[0]).kind)
		}
		if prefix := strings.Join(parts[:len(parts)-1], ".") + "."; !strings.HasSuffix(prefix, ".headers.") && len(names(prefix)) > 0 {
			last := parts[len(parts)-1]
			known := names(prefix)
			c.fail(at, "%s has no member %q%s; its members are %s", strings.TrimSuffix(prefix, "."), shorten(last), didYouMean(last, known), strings.Join(known, ", "))
		}
	}
	whole := c.compile(at.Node)
	switch whole.kind {
	case kindHeaders:
		name, ok := at.Property.(*ast.StringNode)
		if !ok || name.Value == "" {
			c.fail(at, `the name of a header field is text in quotes, as in %s["x-request-id"]`, whole.name)
		}
		side, header := whole.side, name.Value
		return &node{kind: kindText, side: side, name: fmt.Sprintf("%s[%q]", whole.name, shorten(header)), optional: true, needs: headersOf(side),
			text: func(e *Evaluator) (string, bool) { value, ok, _ := e.header(side, header); return value, ok }}
	case kindTexts:
		index := c.index(at)
		list := whole.texts
		return (&node{kind: kindText, optional: true, text: func(e *Evaluator) (string, bool) {
			l, ok := list(e)
			i, known := index.number(e)
			if i < 0 {
				i += int64(len(l))
			}
			if !ok || !known || i < 0 || i >= int64(len(l)) {
				return "", false
			}
			return l[i], true
		}}).from(whole, index)
	case kindJSON:
		return c.jsonMember(at, whole)
	}
	c.fail(at, "%s and has no members", whole.as())
	return nil
}

// index compiles what is in the brackets of list[…].
func (c *compiler) index(at *ast.MemberNode) *node {
	n := c.compile(at.Property)
	if n.kind != kindInt {
		c.fail(at.Property, "the place in a list is a number, from 0")
	}
	return n
}

func (c *compiler) isVariable(name string) bool {
	return slices.ContainsFunc(c.variables, func(v variable) bool { return v.name == name })
}

// let compiles let name = value; expression.
func (c *compiler) let(at *ast.VariableDeclaratorNode) *node {
	if c.isVariable(at.Name) || slices.Contains(names(""), at.Name) {
		c.fail(at, "the name %s is in use; choose another one", at.Name)
	}
	c.compile(at.Value) // it must be right even where it is not used
	outer := c.variables
	c.variables = append(slices.Clip(outer), variable{name: at.Name, value: at.Value, before: outer, items: slices.Clone(c.items)})
	n := c.compile(at.Expr)
	c.variables = outer
	return n
}

// pointer compiles # in a predicate.
func (c *compiler) pointer(at *ast.PointerNode) *node {
	if len(c.items) == 0 || at.Name != "" {
		c.fail(at, "# stands for an element of the list, as in any(incomplete, # == \"gap\")")
	}
	slot := len(c.items) - 1
	if c.items[slot] == kindJSON {
		return &node{kind: kindJSON, name: "#", optional: true, json: func(e *Evaluator) (any, bool) { return e.items[slot].json, e.items[slot].json != nil }}
	}
	return &node{kind: kindText, name: "#", text: func(e *Evaluator) (string, bool) { return e.items[slot].text, true }}
}

// array compiles a list of text. Lists of others are only what in looks for.
func (c *compiler) array(at *ast.ArrayNode) *node {
	elements := make([]*node, len(at.Nodes))
	for i, element := range at.Nodes {
		if elements[i] = c.compile(element); elements[i].kind != kindText {
			c.fail(element, "%s; a list has text, as in [\"GET\", \"HEAD\"], or is what in looks for, as in code in [502, 503]", elements[i].as())
		}
	}
	return (&node{kind: kindTexts, texts: func(e *Evaluator) ([]string, bool) {
		list := make([]string, 0, len(elements))
		for _, element := range elements {
			if s, ok := element.text(e); ok {
				list = append(list, s)
			}
		}
		return list, e.spend(16 * len(elements))
	}}).from(elements...)
}

// unary compiles not, - and +.
func (c *compiler) unary(at *ast.UnaryNode) *node {
	switch at.Operator {
	case "not", "!":
		// "a not in b" is a comparison of its own: it is false where a is missing. The
		// parser gives both parts the same position.
		if inner, ok := at.Node.(*ast.BinaryNode); ok && at.Operator == "not" && at.Location() == inner.Location() {
			return c.comparison(inner, inner.Operator, true)
		}
		n := c.compile(at.Node)
		if n.kind != kindBool && n.kind != kindJSON {
			c.fail(at, "%s, and %s needs a condition; write %s (…) around the whole comparison", n.as(), at.Operator, at.Operator)
		}
		flag := c.asCondition(at.Node, n, at.Operator).flag
		return (&node{kind: kindBool, flag: func(e *Evaluator) bool { return !flag(e) }}).from(n)
	default:
		n := c.compile(at.Node)
		switch {
		case n.kind.numeric() && at.Operator == "-":
			value := n.number
			return (&node{kind: n.kind, number: func(e *Evaluator) (int64, bool) { v, ok := value(e); return -v, ok }}).from(n)
		case n.kind == kindFloat && at.Operator == "-":
			value := n.float
			return (&node{kind: n.kind, float: func(e *Evaluator) (float64, bool) { v, ok := value(e); return -v, ok }}).from(n)
		case n.kind.numeric() || n.kind == kindFloat:
			return n
		}
		c.fail(at, "%s; %s needs a number, a duration or a size", n.as(), at.Operator)
		return nil
	}
}

// binary compiles an operator with two operands.
func (c *compiler) binary(at *ast.BinaryNode) *node {
	switch at.Operator {
	case "and", "&&", "or", "||":
		return c.junction(at)
	case "==", "!=", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches":
		return c.comparison(at, at.Operator, false)
	case "??":
		return c.coalesce(at)
	case "..":
		c.fail(at, "a range is only what in looks for, as in code in 500..599")
	case "+", "-", "*", "/", "%", "**", "^":
		return c.arithmetic(at)
	}
	c.fail(at, "%s is not available", strconv.Quote(at.Operator))
	return nil
}

// junction compiles a chain of and, or of or. Conditions that need the content of the
// call are evaluated last. That changes no result: conditions have no effects and cannot fail.
func (c *compiler) junction(at *ast.BinaryNode) *node {
	isOr := at.Operator == "or" || at.Operator == "||"
	var parts []*node
	var collect func(ast.Node)
	collect = func(operand ast.Node) {
		if b, ok := operand.(*ast.BinaryNode); ok {
			if alike := b.Operator == "or" || b.Operator == "||"; alike == isOr && (alike || b.Operator == "and" || b.Operator == "&&") {
				collect(b.Left)
				collect(b.Right)
				return
			}
		}
		parts = append(parts, c.condition(operand, at.Operator))
	}
	collect(at)
	slices.SortStableFunc(parts, func(a, b *node) int { return cost(a.needs) - cost(b.needs) })
	flags := make([]func(*Evaluator) bool, len(parts))
	for i, part := range parts {
		flags[i] = part.flag
	}
	n := &node{kind: kindBool}
	switch first, second := flags[0], flags[1]; {
	case len(flags) > 2:
		n.flag = func(e *Evaluator) bool {
			for _, flag := range flags {
				if flag(e) == isOr {
					return isOr
				}
			}
			return !isOr
		}
	case isOr:
		n.flag = func(e *Evaluator) bool { return first(e) || second(e) }
	default:
		n.flag = func(e *Evaluator) bool { return first(e) && second(e) }
	}
	return n.from(parts...)
}

// cost returns in which order conditions with these needs are evaluated.
func cost(n Needs) int {
	switch {
	case n.Bodies():
		return 2
	case n.Headers():
		return 1
	default:
		return 0
	}
}

// conditional compiles a ? b : c, and if a { b } else { c }.
func (c *compiler) conditional(at *ast.ConditionalNode) *node {
	flag := c.condition(at.Cond, "?")
	yes, no := c.compile(at.Exp1), c.compile(at.Exp2)
	return c.choose(at.Exp2, flag, flag.flag, yes, no)
}

// choose returns the node that is yes where flag is true, else no.
func (c *compiler) choose(at ast.Node, condition *node, flag func(*Evaluator) bool, yes, no *node) *node {
	yes, no = c.unify(at, yes, no)
	n := &node{kind: yes.kind}
	switch {
	case n.kind == kindBool:
		n.flag = func(e *Evaluator) bool {
			if flag(e) {
				return yes.flag(e)
			}
			return no.flag(e)
		}
	case n.kind.numeric():
		n.number = choice(flag, yes.number, no.number)
	case n.kind == kindFloat:
		n.float = choice(flag, yes.float, no.float)
	case n.kind == kindText:
		n.text = choice(flag, yes.text, no.text)
	case n.kind == kindTime:
		n.at = choice(flag, yes.at, no.at)
	case n.kind == kindTexts:
		n.texts = choice(flag, yes.texts, no.texts)
	case n.kind == kindJSON:
		n.json = choice(flag, yes.json, no.json)
	default:
		c.fail(at, "%s and cannot be chosen", yes.as())
	}
	return n.from(condition, yes, no)
}

func choice[T any](flag func(*Evaluator) bool, yes, no func(*Evaluator) (T, bool)) func(*Evaluator) (T, bool) {
	return func(e *Evaluator) (T, bool) {
		if flag(e) {
			return yes(e)
		}
		return no(e)
	}
}

// unify makes two nodes of the same kind, or fails.
func (c *compiler) unify(at ast.Node, a, b *node) (*node, *node) {
	switch {
	case a.kind == b.kind:
		return a, b
	case a.kind == kindSize && b.kind == kindInt:
		return a, b.withKind(kindSize)
	case a.kind == kindInt && b.kind == kindSize:
		return a.withKind(kindSize), b
	case a.kind == kindFloat && b.kind == kindInt:
		return a, b.asFloat()
	case a.kind == kindInt && b.kind == kindFloat:
		return a.asFloat(), b
	}
	c.fail(at, "%s and %s; both must be of one type", a.as(), b.as())
	return nil, nil
}

func (n *node) withKind(k kind) *node {
	other := *n
	other.kind = k
	return &other
}

func (n *node) asFloat() *node {
	if n.kind == kindFloat {
		return n
	}
	value := n.number
	return (&node{kind: kindFloat, name: n.name, float: func(e *Evaluator) (float64, bool) { v, ok := value(e); return float64(v), ok }}).from(n)
}

// coalesce compiles a ?? b, which is b where a is missing.
func (c *compiler) coalesce(at *ast.BinaryNode) *node {
	a, b := c.compile(at.Left), c.compile(at.Right)
	if !a.optional {
		c.fail(at.Left, "%s and never missing, so that ?? has no use", a.as())
	}
	n := c.choose(at.Right, a, a.present(), a, b)
	n.optional = b.optional
	return n
}

// present returns a function that reports whether the value of n is there, or nil where n
// is of a kind that is never missing.
func (n *node) present() func(*Evaluator) bool {
	switch {
	case n.kind == kindBool:
		return func(*Evaluator) bool { return true }
	case n.kind == kindMessage:
		return n.there
	case n.kind.numeric():
		return there(n.number)
	case n.kind == kindFloat:
		return there(n.float)
	case n.kind == kindText:
		return there(n.text)
	case n.kind == kindTime:
		return there(n.at)
	case n.kind == kindTexts:
		return there(n.texts)
	case n.kind == kindJSON:
		return there(n.json)
	default:
		return nil
	}
}

func there[T any](value func(*Evaluator) (T, bool)) func(*Evaluator) bool {
	return func(e *Evaluator) bool { _, ok := value(e); return ok }
}
