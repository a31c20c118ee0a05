package query

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// functions are what an expression can call. compile gets the compiled arguments, which
// are of the kinds in takes; the last one may be left out if optional.
var functions = map[string]struct {
	takes    []kind
	optional bool
	compile  func(c *compiler, at ast.Node, args []*node) *node
}{
	"len":       {takes: []kind{kindNil}, compile: (*compiler).length},
	"lower":     {takes: []kind{kindText}, compile: mapText(strings.ToLower)},
	"upper":     {takes: []kind{kindText}, compile: mapText(strings.ToUpper)},
	"trim":      {takes: []kind{kindText}, compile: mapText(strings.TrimSpace)},
	"split":     {takes: []kind{kindText, kindText}, compile: split},
	"int":       {takes: []kind{kindNil}, compile: (*compiler).toInt},
	"float":     {takes: []kind{kindNil}, compile: (*compiler).toFloat},
	"string":    {takes: []kind{kindNil}, compile: (*compiler).toText},
	"abs":       {takes: []kind{kindNil}, compile: (*compiler).abs},
	"hasPrefix": {takes: []kind{kindText, kindText}, compile: testText(strings.HasPrefix)},
	"hasSuffix": {takes: []kind{kindText, kindText}, compile: testText(strings.HasSuffix)},
	"date":      {takes: []kind{kindText}, compile: (*compiler).date},
	"duration":  {takes: []kind{kindText}, compile: (*compiler).duration},
	"fromJSON":  {takes: []kind{kindText}, compile: fromJSON},
}

// predicates are the functions whose second argument is evaluated for each element of the
// first. Each says of the number of elements that met it whether the result is true; count is that number.
var predicates = map[string]func(met, of int) bool{
	"any":   func(met, _ int) bool { return met > 0 },
	"all":   func(met, of int) bool { return met == of },
	"none":  func(met, _ int) bool { return met == 0 },
	"one":   func(met, _ int) bool { return met == 1 },
	"count": nil,
}

func functionNames() []string {
	all := []string{"any", "all", "none", "one", "count", "abs", "date", "duration", "float", "fromJSON", "hasPrefix", "hasSuffix", "int", "len", "lower", "split", "string", "trim", "upper"}
	return all
}

// function compiles a call of a function.
func (c *compiler) function(at ast.Node, name string, arguments []ast.Node) *node {
	if holds, ok := predicates[name]; ok {
		return c.predicate(at, name, holds, arguments)
	}
	f, ok := functions[name]
	switch {
	case name == "now":
		c.fail(at, "now() is not available: the answer must not depend on when the question is asked; write date(\"2026-11-27T10:32:00Z\"), or use --since")
	case !ok:
		c.fail(at, "unknown function %q%s; the functions are %s", shorten(name), didYouMean(name, functionNames()), strings.Join(functionNames(), ", "))
	case len(arguments) != len(f.takes):
		c.fail(at, "%s has %d arguments, not %d", name, len(f.takes), len(arguments))
	}
	args := make([]*node, len(arguments))
	for i, argument := range arguments {
		args[i] = c.compile(argument)
		if args[i].kind == kindNil || args[i].kind == kindMessage || args[i].kind == kindHeaders {
			c.fail(argument, "%s, which %s does not read", args[i].as(), name)
		}
		if want := f.takes[i]; want != kindNil && args[i].kind != want {
			if want != kindText || args[i].kind != kindJSON {
				c.fail(argument, "%s, and %s needs %s", args[i].as(), name, want)
			}
			args[i] = (&node{kind: kindText, optional: true, text: args[i].asText()}).from(args[i])
		}
	}
	return f.compile(c, at, args).from(args...)
}

// mapText makes text of text.
func mapText(f func(string) string) func(*compiler, ast.Node, []*node) *node {
	return func(_ *compiler, _ ast.Node, args []*node) *node {
		x := args[0].text
		return &node{kind: kindText, text: func(e *Evaluator) (string, bool) {
			v, ok := x(e)
			if !ok || !e.spend(len(v)) {
				return "", false
			}
			return f(v), true
		}}
	}
}

// testText makes a condition of two texts.
func testText(f func(a, b string) bool) func(*compiler, ast.Node, []*node) *node {
	return func(_ *compiler, _ ast.Node, args []*node) *node {
		x, y := args[0].text, args[1].text
		return &node{kind: kindBool, flag: func(e *Evaluator) bool {
			v, ok := x(e)
			w, known := y(e)
			return ok && known && f(v, w)
		}}
	}
}

// length compiles len. Of text it is in bytes.
func (c *compiler) length(at ast.Node, args []*node) *node {
	switch n := args[0]; n.kind {
	case kindText:
		return &node{kind: kindSize, number: func(e *Evaluator) (int64, bool) { v, ok := n.text(e); return int64(len(v)), ok }}
	case kindTexts:
		return &node{kind: kindInt, number: func(e *Evaluator) (int64, bool) { v, ok := n.texts(e); return int64(len(v)), ok }}
	case kindJSON:
		return &node{kind: kindInt, optional: true, number: func(e *Evaluator) (int64, bool) {
			v, ok := n.json(e)
			switch v := v.(type) {
			case string:
				return int64(len(v)), ok
			case []any:
				return int64(len(v)), ok
			case map[string]any:
				return int64(len(v)), ok
			}
			return 0, false
		}}
	}
	c.fail(at, "%s and has no length", args[0].as())
	return nil
}

// split compiles split(text, separator).
func split(_ *compiler, _ ast.Node, args []*node) *node {
	x, y := args[0].text, args[1].text
	return &node{kind: kindTexts, texts: func(e *Evaluator) ([]string, bool) {
		v, ok := x(e)
		w, known := y(e)
		if !ok || !known || !e.spend(1+16*(1+strings.Count(v, w))) {
			return nil, false
		}
		return strings.Split(v, w), true
	}}
}

func (c *compiler) toInt(at ast.Node, args []*node) *node {
	n := &node{kind: kindInt, optional: true}
	switch a := args[0]; a.kind {
	case kindInt, kindSize:
		n.number = a.number
	case kindFloat, kindJSON, kindText:
		value := a.anyValue()
		n.number = func(e *Evaluator) (int64, bool) {
			v, ok := value(e)
			switch v := v.(type) {
			case float64:
				return int64(v), ok && math.Abs(v) < math.MaxInt64
			case string:
				i, err := strconv.ParseInt(v, 10, 64)
				return i, ok && err == nil
			}
			return 0, false
		}
	default:
		c.fail(at, "%s; int reads text and numbers", a.as())
	}
	return n
}

func (c *compiler) toFloat(at ast.Node, args []*node) *node {
	n := &node{kind: kindFloat, optional: true}
	switch a := args[0]; a.kind {
	case kindInt, kindSize, kindFloat:
		n.float = a.asFloat().float
	case kindJSON, kindText:
		value := a.anyValue()
		n.float = func(e *Evaluator) (float64, bool) {
			v, ok := value(e)
			switch v := v.(type) {
			case float64:
				return v, ok
			case string:
				f, err := strconv.ParseFloat(v, 64)
				return f, ok && err == nil && !math.IsNaN(f)
			}
			return 0, false
		}
	default:
		c.fail(at, "%s; float reads text and numbers", a.as())
	}
	return n
}

// toText compiles string(x). A value has the text that it has in a list of fields.
func (c *compiler) toText(_ ast.Node, args []*node) *node {
	value := args[0].asField()
	return &node{kind: kindText, text: func(e *Evaluator) (string, bool) {
		s, ok := value(e)
		return s, ok && e.spend(len(s))
	}}
}

func (c *compiler) abs(at ast.Node, args []*node) *node {
	switch a := args[0]; {
	case a.kind.numeric():
		return &node{kind: a.kind, number: func(e *Evaluator) (int64, bool) { v, ok := a.number(e); return max(v, -v), ok }}
	case a.kind == kindFloat:
		return &node{kind: a.kind, float: func(e *Evaluator) (float64, bool) { v, ok := a.float(e); return math.Abs(v), ok }}
	}
	c.fail(at, "%s; abs reads numbers, durations and sizes", args[0].as())
	return nil
}

// timeLayouts are what date reads. Each has a zone: a query means the same wherever it is evaluated.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00"}

func (c *compiler) date(at ast.Node, args []*node) *node {
	if !args[0].constant {
		c.fail(at, "date needs a time in quotes")
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, args[0].string); err == nil {
			return &node{kind: kindTime, at: func(*Evaluator) (time.Time, bool) { return t, true }}
		}
	}
	c.fail(at, "%q is no time with a zone; write one such as 2026-11-27T10:32:00Z or 2026-11-27T18:32:00+08:00", shorten(args[0].string))
	return nil
}

func (c *compiler) duration(at ast.Node, args []*node) *node {
	if !args[0].constant {
		c.fail(at, "duration needs a duration in quotes")
	}
	inner, err := newSource(args[0].string)
	if err == nil {
		if lit, ok := inner.literals[0]; ok && lit.text == args[0].string && lit.kind == kindDuration {
			return constantNumber(kindDuration, lit.value)
		}
	}
	c.fail(at, "%q is no duration; write one such as 200ms", shorten(args[0].string))
	return nil
}

// fromJSON compiles fromJSON(text). A body is decoded once.
func fromJSON(_ *compiler, _ ast.Node, args []*node) *node {
	a := args[0]
	if a.name != "" && a.needs.Bodies() {
		return &node{kind: kindJSON, optional: true, json: func(e *Evaluator) (any, bool) { return e.bodyJSON(a.side) }}
	}
	return &node{kind: kindJSON, optional: true, json: func(e *Evaluator) (any, bool) {
		v, ok := a.text(e)
		if !ok {
			return nil, false
		}
		return e.parseJSON(v)
	}}
}

// predicate compiles any(list, condition) and the like. They are false, and count is
// missing, where the list is missing.
func (c *compiler) predicate(at ast.Node, name string, holds func(met, of int) bool, arguments []ast.Node) *node {
	if len(arguments) != 2 {
		c.fail(at, "%s has 2 arguments, a list and a condition, as in %s(incomplete, # == \"gap\")", name, name)
	}
	list := c.compile(arguments[0])
	if list.kind != kindTexts && list.kind != kindJSON {
		c.fail(arguments[0], "%s, and %s needs a list", list.as(), name)
	}
	if len(c.items) == maxPredicates {
		c.fail(at, "the expression is nested too deep; at most %d lists are read within one another", maxPredicates)
	}
	slot := len(c.items)
	c.items = append(slices.Clip(c.items), list.kind)
	body := arguments[1]
	if p, ok := body.(*ast.PredicateNode); ok {
		body = p.Node
	}
	condition := c.condition(body, name)
	c.items = c.items[:slot]

	met := func(e *Evaluator) (met, of int, ok bool) {
		try := func(i item) {
			of++
			if e.items[slot] = i; e.spend(1) && condition.flag(e) {
				met++
			}
		}
		if list.kind == kindTexts {
			texts, ok := list.texts(e)
			for _, text := range texts {
				try(item{text: text})
			}
			return met, of, ok && !e.exhausted
		}
		value, ok := list.json(e)
		elements, isList := value.([]any)
		for _, element := range elements {
			try(item{json: element})
		}
		return met, of, ok && isList && !e.exhausted
	}
	if holds == nil {
		return (&node{kind: kindInt, optional: true, number: func(e *Evaluator) (int64, bool) { n, _, ok := met(e); return int64(n), ok }}).from(list, condition)
	}
	return (&node{kind: kindBool, flag: func(e *Evaluator) bool { n, of, ok := met(e); return ok && holds(n, of) }}).from(list, condition)
}
