package query

import (
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// A node is a compiled expression. Exactly one of its functions is not nil, by its kind.
// Each function returns false as its last result where the value is missing. A condition
// is never missing: where it depends on a missing value, it is false.
type node struct {
	kind kind

	flag   func(*Evaluator) bool              // kindBool
	number func(*Evaluator) (int64, bool)     // kindInt, kindDuration, kindSize
	float  func(*Evaluator) (float64, bool)   // kindFloat
	text   func(*Evaluator) (string, bool)    // kindText
	at     func(*Evaluator) (time.Time, bool) // kindTime
	texts  func(*Evaluator) ([]string, bool)  // kindTexts
	json   func(*Evaluator) (any, bool)       // kindJSON
	there  func(*Evaluator) bool              // kindMessage
	side   Side                               // of kindMessage and kindHeaders

	needs    Needs
	optional bool   // the value may be missing
	constant bool   // the value is the same for all calls
	number64 int64  // the value of a constant of the kinds with number
	string   string // the value of a constant text
	name     string // of a field, else ""
	typed    string // a literal with a unit
	source   ast.Node
}

// as returns what n is in an error: its name and kind.
func (n *node) as() string {
	switch {
	case n.name != "":
		return n.name + " is " + n.kind.String()
	case n.typed != "":
		return n.typed + " is " + n.kind.String()
	case n.constant && n.kind == kindText:
		return strconv.Quote(shorten(n.string)) + " is text"
	case n.constant && n.kind == kindInt:
		return strconv.FormatInt(n.number64, 10) + " is a number"
	}
	return "this is " + n.kind.String()
}

// asCondition returns how to make a condition of n.
func (n *node) asCondition() string {
	name := n.name
	if name == "" {
		name = "it"
	}
	switch n.kind {
	case kindText:
		switch name {
		case "status", "method", "protocol":
			return "compare " + name + `, as in ` + name + ` == "` + map[string]string{"status": "503", "method": "POST", "protocol": "grpc"}[name] + `"`
		}
		return "compare " + name + `, as in ` + name + ` contains "timeout"`
	case kindInt, kindFloat:
		return "compare " + name + ", as in " + name + " >= 500"
	case kindDuration:
		return "compare " + name + ", as in " + name + " > 200ms"
	case kindSize:
		return "compare " + name + ", as in " + name + " > 10KiB"
	case kindTime:
		return "compare " + name + ", as in " + name + ` > date("2026-11-27T10:32:00Z")`
	case kindTexts:
		return `ask whether something is in it, as in "gap" in incomplete`
	case kindHeaders:
		return "ask for one of them, as in " + name + `["x-request-id"] == "77"`
	case kindMessage:
		return "ask whether it is there, as in " + name + " != nil, or for one of its members: " + strings.Join(names(name+"."), ", ")
	case kindJSON:
		return "compare a part of it, as in fromJSON(response.body).code == 1"
	default:
		return "compare it"
	}
}

// shorten cuts a text for an error.
func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:39]) + "…"
	}
	return s
}

// numeric reports whether the values of k are whole numbers in node.number.
func (k kind) numeric() bool { return k == kindInt || k == kindDuration || k == kindSize }

func constantNumber(k kind, value int64) *node {
	return &node{kind: k, constant: true, number64: value, number: func(*Evaluator) (int64, bool) { return value, true }}
}

func constantText(value string) *node {
	return &node{kind: kindText, constant: true, string: value, text: func(*Evaluator) (string, bool) { return value, true }}
}

func constantFlag(value bool) *node {
	return &node{kind: kindBool, constant: true, flag: func(*Evaluator) bool { return value }}
}

// from sets what n inherits from its parts. The part's value is missing where n's is, so n is optional if one is.
func (n *node) from(parts ...*node) *node {
	n.constant = true
	for _, part := range parts {
		n.needs |= part.needs
		n.optional = n.optional || part.optional
		n.constant = n.constant && part.constant
	}
	if n.constant {
		n.fold()
	}
	return n
}

// fold evaluates a constant once. A constant that is missing, such as 1/0, is none.
func (n *node) fold() {
	e := &Evaluator{}
	ok := true
	switch {
	case n.kind == kindBool:
		value := n.flag(e)
		n.flag = func(*Evaluator) bool { return value }
	case n.kind.numeric():
		if n.number64, ok = n.number(e); ok {
			value := n.number64
			n.number = func(*Evaluator) (int64, bool) { return value, true }
		}
	case n.kind == kindText:
		if n.string, ok = n.text(e); ok {
			value := n.string
			n.text = func(*Evaluator) (string, bool) { return value, true }
		}
	case n.kind == kindTime:
		var value time.Time
		if value, ok = n.at(e); ok {
			n.at = func(*Evaluator) (time.Time, bool) { return value, true }
		}
	default:
		n.constant = false
	}
	if !ok || e.exhausted {
		n.constant = false
	}
	n.optional = n.optional && !n.constant
}
