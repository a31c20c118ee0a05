package query

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Query is a condition over calls. It is safe for concurrent use.
type Query struct {
	root *node
}

// Compile reads a condition. Its error is an *Error.
func Compile(text string) (*Query, error) {
	root, err := compile(text)
	if err != nil {
		return nil, err
	}
	if root = root.fromJSON(); root.kind != kindBool {
		return nil, newError(text, 0, "the expression is %s, not a condition; %s", root.kind, root.asCondition())
	}
	return &Query{root: root}, nil
}

// Needs returns which parts of a call's content q may ask for.
func (q *Query) Needs() Needs { return q.root.needs }

// maxNodes bounds an expression: the parts that the parser makes of it, and those that
// are evaluated, which are more where a variable is used several times.
const maxNodes = 10_000

// compile reads any expression.
func compile(text string) (root *node, err error) {
	src, failed := newSource(text)
	if failed != nil {
		return nil, failed
	}
	tree, failed := parse(src)
	if failed != nil {
		return nil, failed
	}
	c := &compiler{source: src}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case compileError:
			root, err = nil, r.Error
		default:
			panic(r)
		}
	}()
	return c.compile(tree), nil
}

// parse returns the tree of an expression. The parser is another project's: a panic in it
// is an error of the expression.
func parse(src *source) (tree ast.Node, failed *Error) {
	defer func() {
		if r := recover(); r != nil {
			failed = newError(src.text, 0, "the expression cannot be read: %v", r)
		}
	}()
	config := conf.CreateNew()
	config.MaxNodes = maxNodes
	parsed, err := parser.ParseWithConfig(src.plain, config)
	var at *file.Error
	switch {
	case errors.As(err, &at):
		return nil, src.parserError(at)
	case err != nil:
		return nil, newError(src.text, 0, "%v", err)
	}
	return parsed.Node, nil
}

// quotedToken finds what the parser says of a token: its kind and, in Go's syntax, its text.
var quotedToken = regexp.MustCompile(`unexpected token \w+\((".*")\)`)

// parserError returns the parser's error in the words of this package.
func (s *source) parserError(e *file.Error) *Error {
	message := e.Message
	offset := min(e.From, len([]rune(s.text)))
	lit, isLiteral := s.literals[offset]
	switch found := quotedToken.FindStringSubmatch(message); {
	case strings.Contains(message, "maximum allowed nodes"):
		return newError(s.text, 0, "the expression has too many parts; at most %d are read", maxNodes)
	case strings.Contains(message, "token EOF"):
		message = "unexpected end of the expression"
	case isLiteral && strings.Contains(message, "unexpected token"):
		message = "unexpected " + lit.text
	case strings.Contains(message, "coalesce"):
		operator, _, _ := strings.Cut(strings.TrimPrefix(message, "Operator ("), ")")
		message = "?? and " + operator + " cannot be mixed; write parentheses, as in (latency ?? 0s) > 1s"
	case found != nil:
		token := strings.Trim(found[1], `"`)
		message = "unexpected " + found[1]
		if unit, ok := units[token]; ok && strings.Contains(e.Message, "Identifier") {
			message = fmt.Sprintf("unexpected %s; write %s without a space between number and unit", token, unit.kind)
		}
		if token == "=" {
			message += "; write == to compare"
		}
		if token == "&" {
			message += "; write and, or &&"
		}
	case strings.HasPrefix(message, "bad number syntax"):
		message += "; " + unitList
	}
	return newError(s.text, offset, "%s", message)
}

// compileError is what the compiler panics with, for compile.
type compileError struct{ *Error }
