package query

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// Fields is a list of fields to group calls by, such as method,route. It is safe for
// concurrent use.
type Fields struct {
	names []string
	nodes []*node
}

// ParseFields reads a list of fields that are separated by commas. Each is a field as
// expressions have it, also request.headers["name"].
func ParseFields(list string) (*Fields, error) {
	f := &Fields{}
	rest, from := list, 0
	for {
		part, after, more := cutList(rest)
		name := strings.TrimSpace(part)
		if name == "" {
			return nil, newError(list, utf8.RuneCountInString(list[:from]), "a field is expected; the fields are %s", strings.Join(Names(), ", "))
		}
		n, err := compile(part)
		if err != nil {
			if e, ok := err.(*Error); ok { //nolint:errorlint // compile returns nothing else
				err = newError(list, utf8.RuneCountInString(list[:from])+e.Column-1, "%s", e.Message)
			}
			return nil, err
		}
		if n.name == "" || n.kind == kindMessage || n.kind == kindHeaders || !isField(n) {
			return nil, newError(list, utf8.RuneCountInString(list[:from]), "%q is no field; the fields are %s", shorten(name), strings.Join(Names(), ", "))
		}
		f.names, f.nodes = append(f.names, name), append(f.nodes, n)
		if !more {
			return f, nil
		}
		from += len(rest) - len(after)
		rest = after
	}
}

// isField reports whether n is a field itself, not a value that is made of it.
func isField(n *node) bool {
	switch n.source.(type) {
	case *ast.IdentifierNode, *ast.MemberNode:
		return true
	default:
		return false
	}
}

// cutList cuts s at its first comma outside of quotes.
func cutList(s string) (before, after string, found bool) {
	var quote byte
	for i := range len(s) {
		switch b := s[i]; {
		case quote != 0 && b == quote:
			quote = 0
		case quote == 0 && (b == '"' || b == '\'' || b == '`'):
			quote = b
		case quote == 0 && b == ',':
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// Names returns the fields as they were typed.
func (f *Fields) Names() []string { return f.names }

// Needs returns which parts of a call's content the fields are in.
func (f *Fields) Needs() Needs {
	var needs Needs
	for _, n := range f.nodes {
		needs |= n.needs
	}
	return needs
}

// Evaluator returns a new evaluator of f, for Values.
func (f *Fields) Evaluator() *Evaluator {
	return &Evaluator{condition: func(*Evaluator) bool { return true }, values: f.nodes}
}

// Value is the value of a field as text. OK is false where it is missing.
type Value struct {
	Text string
	OK   bool
}

// Values appends the values of the fields of c to dst. The error is that of Match. The
// texts are dst's to keep.
func (e *Evaluator) Values(dst []Value, c *Call) ([]Value, error) {
	e.call = c
	for _, n := range e.values {
		text, ok := n.asField()(e)
		if n.needs.Bodies() {
			text = strings.Clone(text)
		}
		dst = append(dst, Value{Text: text, OK: ok})
	}
	_, err := e.finish(true)
	return dst, err
}

// asField returns a function for the value of n as text.
func (n *node) asField() func(*Evaluator) (string, bool) {
	switch {
	case n.text != nil:
		return n.text
	case n.flag != nil:
		return func(e *Evaluator) (string, bool) { return strconv.FormatBool(n.flag(e)), true }
	case n.kind == kindDuration:
		return func(e *Evaluator) (string, bool) { v, ok := n.number(e); return time.Duration(v).String(), ok }
	case n.number != nil:
		return func(e *Evaluator) (string, bool) { v, ok := n.number(e); return strconv.FormatInt(v, 10), ok }
	case n.float != nil:
		return func(e *Evaluator) (string, bool) { v, ok := n.float(e); return strconv.FormatFloat(v, 'f', -1, 64), ok }
	case n.at != nil:
		return func(e *Evaluator) (string, bool) { v, ok := n.at(e); return v.UTC().Format(time.RFC3339Nano), ok }
	case n.texts != nil:
		return func(e *Evaluator) (string, bool) { v, ok := n.texts(e); return strings.Join(v, ","), ok }
	default:
		value := n.anyValue()
		return func(e *Evaluator) (string, bool) {
			v, ok := value(e)
			switch v := v.(type) {
			case string:
				return v, ok
			case float64:
				return strconv.FormatFloat(v, 'f', -1, 64), ok
			case bool:
				return strconv.FormatBool(v), ok
			}
			return "", false
		}
	}
}
