package query

import (
	"math"
	"time"

	"github.com/expr-lang/expr/ast"
)

// arithmetic compiles + - * / % ** and ^. The result is missing where it is no number.
func (c *compiler) arithmetic(at *ast.BinaryNode) *node {
	a, b := c.compile(at.Left), c.compile(at.Right)
	operator := at.Operator
	if operator == "^" {
		operator = "**"
	}
	if n := c.moments(operator, a, b); n != nil {
		return n.from(a, b)
	}
	if n := c.concatenation(operator, a, b); n != nil {
		return n.from(a, b)
	}
	result, ok := resultKind(operator, a.kind, b.kind)
	if !ok {
		c.fail(at, "%s and %s; %s does not join them", a.as(), b.as(), operator)
	}
	if result == kindFloat || a.kind == kindFloat || b.kind == kindFloat {
		x, y, f := a.asFloat().float, b.asFloat().float, floatOperator(operator)
		value := func(e *Evaluator) (float64, bool) {
			v, ok := x(e)
			w, known := y(e)
			if !ok || !known {
				return 0, false
			}
			v = f(v, w)
			return v, !math.IsNaN(v) && !math.IsInf(v, 0)
		}
		if result == kindFloat {
			return (&node{kind: kindFloat, optional: true, float: value}).from(a, b)
		}
		return (&node{kind: result, optional: true, number: func(e *Evaluator) (int64, bool) {
			v, ok := value(e)
			return int64(v), ok && math.Abs(v) < math.MaxInt64
		}}).from(a, b)
	}
	x, y, f := a.number, b.number, intOperator(operator)
	return (&node{kind: result, optional: operator == "/" || operator == "%", number: func(e *Evaluator) (int64, bool) {
		v, ok := x(e)
		w, known := y(e)
		if !ok || !known || w == 0 && (operator == "/" || operator == "%") {
			return 0, false
		}
		return f(v, w), true
	}}).from(a, b)
}

// resultKind returns the kind of a operator b. As in expr, the quotient of two numbers
// has a fraction.
func resultKind(operator string, a, b kind) (kind, bool) {
	plain := func(k kind) bool { return k == kindInt || k == kindFloat }
	unit := func(k kind) bool { return k == kindDuration || k == kindSize }
	switch {
	case plain(a) && plain(b):
		switch {
		case operator == "%":
			return kindInt, a == kindInt && b == kindInt
		case operator == "/" || operator == "**" || a == kindFloat || b == kindFloat:
			return kindFloat, true
		}
		return kindInt, true
	case unit(a) && a == b:
		switch operator {
		case "+", "-", "%":
			return a, true
		case "/":
			return kindFloat, true
		}
	case unit(a) && plain(b):
		if a == kindSize && b == kindInt && (operator == "+" || operator == "-") {
			return kindSize, true
		}
		return a, operator == "*" || operator == "/"
	case plain(a) && unit(b):
		if b == kindSize && a == kindInt && (operator == "+" || operator == "-") {
			return kindSize, true
		}
		return b, operator == "*"
	}
	return kindNil, false
}

// moments compiles time - time, time + duration and time - duration. It returns nil for other operands.
func (c *compiler) moments(operator string, a, b *node) *node {
	switch {
	case a.kind == kindTime && b.kind == kindTime && operator == "-":
		x, y := a.at, b.at
		return &node{kind: kindDuration, number: func(e *Evaluator) (int64, bool) {
			v, ok := x(e)
			w, known := y(e)
			return int64(v.Sub(w)), ok && known
		}}
	case a.kind == kindTime && b.kind == kindDuration && (operator == "+" || operator == "-"):
		x, y, sign := a.at, b.number, time.Duration(1)
		if operator == "-" {
			sign = -1
		}
		return &node{kind: kindTime, at: func(e *Evaluator) (time.Time, bool) {
			v, ok := x(e)
			w, known := y(e)
			return v.Add(sign * time.Duration(w)), ok && known
		}}
	}
	return nil
}

// concatenation compiles text + text. It returns nil for other operands.
func (c *compiler) concatenation(operator string, a, b *node) *node {
	if a.kind != kindText || b.kind != kindText || operator != "+" {
		return nil
	}
	x, y := a.text, b.text
	return &node{kind: kindText, text: func(e *Evaluator) (string, bool) {
		v, ok := x(e)
		if !ok {
			return "", false
		}
		w, ok := y(e)
		if !ok || !e.spend(len(v)+len(w)) {
			return "", false
		}
		return v + w, true
	}}
}

func intOperator(operator string) func(a, b int64) int64 {
	switch operator {
	case "+":
		return func(a, b int64) int64 { return a + b }
	case "-":
		return func(a, b int64) int64 { return a - b }
	case "*":
		return func(a, b int64) int64 { return a * b }
	case "/":
		return func(a, b int64) int64 { return a / b }
	default:
		return func(a, b int64) int64 { return a % b }
	}
}

func floatOperator(operator string) func(a, b float64) float64 {
	switch operator {
	case "+":
		return func(a, b float64) float64 { return a + b }
	case "-":
		return func(a, b float64) float64 { return a - b }
	case "*":
		return func(a, b float64) float64 { return a * b }
	case "/":
		return func(a, b float64) float64 { return a / b }
	case "%":
		return math.Mod
	default:
		return math.Pow
	}
}
