package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"
)

// Evaluator evaluates a query, or a list of fields, on one call after the other. It is
// for one goroutine.
type Evaluator struct {
	condition func(*Evaluator) bool
	values    []*node // of a list of fields

	call   *Call
	bodies [2]content[string]
	trees  [2]content[any]     // bodies as JSON
	items  [maxPredicates]item // what # stands for, of each predicate that is being evaluated

	touched   bool // something below or above is to be cleared
	used      int  // of the budget
	exhausted bool
	unknown   []error
}

// content is a part of the call's content that was fetched at most once.
type content[T any] struct {
	fetched, ok bool
	value       T
}

// item is what # stands for in a predicate.
type item struct {
	text string
	json any
}

// budget is how much an evaluation may do beyond looking at the call and its content: one
// for each byte of text that it makes, and for each time that a predicate is evaluated.
const budget = 8 << 20

var errBudget = errors.New("the expression needs too much memory or time")

// Evaluator returns a new evaluator of q.
func (q *Query) Evaluator() *Evaluator {
	return &Evaluator{condition: q.root.flag}
}

// Match reports whether c meets the condition. The error names what could not be known of
// c's content, joined from *ContentError values: comparisons with it were false. It is nil
// where the result does not depend on such a thing. c is not kept.
func (e *Evaluator) Match(c *Call) (bool, error) {
	e.call = c
	matched := e.condition(e)
	if !e.touched {
		e.call = nil
		return matched, nil
	}
	return e.finish(matched)
}

// finish forgets the call and reports what was not known.
func (e *Evaluator) finish(matched bool) (bool, error) {
	if e.exhausted {
		matched = false
		e.unknown = append(e.unknown, &ContentError{Call: e.call.ID(), Part: "expression", Err: errBudget})
	}
	err := errors.Join(e.unknown...)
	e.call, e.used, e.exhausted, e.touched = nil, 0, false, false
	e.bodies, e.trees = [2]content[string]{}, [2]content[any]{}
	clear(e.unknown)
	e.unknown = e.unknown[:0]
	e.items = [maxPredicates]item{}
	return matched, err
}

// ContentError says that a part of a call that an expression refers to could not be known.
type ContentError struct {
	Call string // <conn>#<n>
	Part string // as in the expression: response.body, request.headers["host"]
	Err  error
}

// Error implements error.
func (e *ContentError) Error() string { return fmt.Sprintf("call %s: %s: %v", e.Call, e.Part, e.Err) }

// Unwrap returns Err.
func (e *ContentError) Unwrap() error { return e.Err }

// spend uses n of the budget. It returns false when nothing is left.
func (e *Evaluator) spend(n int) bool {
	e.touched = true
	if e.used > budget-n {
		e.exhausted = true
		return false
	}
	e.used += n
	return true
}

var errNoContent = errors.New("the content of calls is not available here")

// body returns a body as text. It is valid until the evaluation ends.
func (e *Evaluator) body(side Side) (string, bool) {
	b := &e.bodies[side]
	if b.fetched {
		return b.value, b.ok
	}
	b.fetched = true
	e.touched = true
	if m := e.call.message(side); !m.Present || !m.HasBody {
		return "", false
	}
	if e.call.Content == nil {
		return "", e.fail(side.String()+".body", errNoContent)
	}
	data, err := e.call.Content.Body(side)
	if err != nil {
		return "", e.fail(side.String()+".body", err)
	}
	b.value, b.ok = unsafe.String(unsafe.SliceData(data), len(data)), true
	return b.value, true
}

// header returns the value of a header field. known is false where nobody knows whether
// the message has it.
func (e *Evaluator) header(side Side, name string) (value string, ok, known bool) {
	if !e.call.message(side).Present {
		return "", false, false
	}
	err := errNoContent
	if e.call.Content != nil {
		value, ok, err = e.call.Content.Header(side, name)
	}
	if err != nil {
		return "", false, e.fail(fmt.Sprintf("%s.headers[%q]", side, name), err)
	}
	return value, ok, true
}

// fail reports that a part of the call is not known, and returns false.
func (e *Evaluator) fail(part string, err error) bool {
	e.touched = true
	e.unknown = append(e.unknown, &ContentError{Call: e.call.ID(), Part: part, Err: err})
	return false
}

// maxJSON bounds the bytes that are decoded as JSON: the tree is several times as large.
const maxJSON = 4 << 20

// bodyJSON returns a body as JSON. What is no JSON is missing.
func (e *Evaluator) bodyJSON(side Side) (any, bool) {
	t := &e.trees[side]
	if t.fetched {
		return t.value, t.ok
	}
	t.fetched = true
	text, ok := e.body(side)
	if !ok {
		return nil, false
	}
	if len(text) > maxJSON {
		return nil, e.fail(side.String()+".body", fmt.Errorf("it has %d bytes; at most %d are read as JSON", len(text), maxJSON))
	}
	t.value, t.ok = e.parseJSON(text)
	return t.value, t.ok
}

// parseJSON returns text as JSON. What is no JSON is missing.
func (e *Evaluator) parseJSON(text string) (any, bool) {
	if len(text) > maxJSON || !e.spend(len(text)+1) {
		return nil, false
	}
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return nil, false
	}
	return value, true
}
