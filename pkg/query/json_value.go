package query

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// anyValue returns a function for the value of n as JSON has it: a duration is in
// milliseconds, a size in bytes, a time is text.
func (n *node) anyValue() func(*Evaluator) (any, bool) {
	switch {
	case n.json != nil:
		return n.json
	case n.flag != nil:
		return func(e *Evaluator) (any, bool) { return n.flag(e), true }
	case n.kind == kindDuration:
		return func(e *Evaluator) (any, bool) { v, ok := n.number(e); return float64(v) / 1e6, ok }
	case n.number != nil:
		return func(e *Evaluator) (any, bool) { v, ok := n.number(e); return float64(v), ok }
	case n.float != nil:
		return func(e *Evaluator) (any, bool) { v, ok := n.float(e); return v, ok }
	case n.text != nil:
		return func(e *Evaluator) (any, bool) { v, ok := n.text(e); return v, ok }
	case n.at != nil:
		return func(e *Evaluator) (any, bool) { v, ok := n.at(e); return v.UTC().Format(time.RFC3339Nano), ok }
	default:
		return func(*Evaluator) (any, bool) { return nil, false }
	}
}

// asText returns a function for the text of n. A JSON value that is no text is missing.
func (n *node) asText() func(*Evaluator) (string, bool) {
	if n.kind == kindText {
		return n.text
	}
	value := n.anyValue()
	return func(e *Evaluator) (string, bool) {
		v, ok := value(e)
		s, isText := v.(string)
		return s, ok && isText
	}
}

func asNumber(v any) (float64, bool) { f, ok := v.(float64); return f, ok }

// compareJSON returns the comparison of two values of which one is JSON. Values of
// different types are neither equal nor in an order, and != is true for them.
func compareJSON(operator string, x, y func(*Evaluator) (any, bool)) func(*Evaluator) bool {
	holds := ordering(operator)
	return func(e *Evaluator) bool {
		v, ok := x(e)
		w, known := y(e)
		if !ok || !known || v == nil || w == nil {
			return false
		}
		order, ok := compareValues(v, w)
		if !ok {
			return operator == "!="
		}
		return holds(order)
	}
}

// compareValues returns the order of two values of JSON. ok is false where they have none.
func compareValues(v, w any) (order int, ok bool) {
	switch v := v.(type) {
	case float64:
		w, ok := w.(float64)
		return cmp.Compare(v, w), ok
	case string:
		w, ok := w.(string)
		return strings.Compare(v, w), ok
	case bool:
		if w, ok := w.(bool); ok {
			return cmp.Compare(asInt(v), asInt(w)), true
		}
	}
	return 0, false
}

func asInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// inJSON reports whether v is an element of a list, or the name of a member of an object.
func inJSON(v, list any) bool {
	switch list := list.(type) {
	case []any:
		return slices.ContainsFunc(list, func(w any) bool { order, ok := compareValues(v, w); return ok && order == 0 })
	case map[string]any:
		name, ok := v.(string)
		if ok {
			_, ok = list[name]
		}
		return ok
	}
	return false
}

// jsonMember compiles the member or element of a JSON value. null is missing.
func (c *compiler) jsonMember(at *ast.MemberNode, whole *node) *node {
	value := whole.json
	property := c.compile(at.Property)
	n := &node{kind: kindJSON, optional: true}
	switch property.kind {
	case kindText:
		n.json = func(e *Evaluator) (any, bool) {
			v, ok := value(e)
			object, isObject := v.(map[string]any)
			name, known := property.text(e)
			if !ok || !isObject || !known {
				return nil, false
			}
			v = object[name]
			return v, v != nil
		}
	case kindInt:
		n.json = func(e *Evaluator) (any, bool) {
			v, ok := value(e)
			list, isList := v.([]any)
			i, known := property.number(e)
			if i < 0 {
				i += int64(len(list))
			}
			if !ok || !isList || !known || i < 0 || i >= int64(len(list)) || list[i] == nil {
				return nil, false
			}
			return list[i], true
		}
	default:
		c.fail(at.Property, "a member of a JSON value is a name or a number")
	}
	return n.from(whole, property)
}
