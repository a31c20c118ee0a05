package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"golang.org/x/net/http/httpguts"
)

// Rules say what of answers is not compared. The zero value compares all of it.
type Rules struct {
	// Ignore matches bytes of answers. Where an expression has groups in
	// parentheses, what the groups match is ignored, otherwise all of the match.
	Ignore []*regexp.Regexp
	// Headers are names of header fields, of HTTP.
	Headers []string
	// JSON are paths of values in JSON bodies, of HTTP: names joined by dots, from
	// the top on, an index or * in brackets for an array's values, * for any name,
	// such as "items[*].id".
	JSON []string
}

// rules are Rules made ready.
type rules struct {
	ignore  []*regexp.Regexp
	headers map[string]bool
	paths   []jsonPath
}

func (r Rules) compile() (*rules, error) {
	c := &rules{ignore: r.Ignore, headers: map[string]bool{}}
	var errs []error
	for _, name := range r.Headers {
		if !httpguts.ValidHeaderFieldName(name) {
			errs = append(errs, fmt.Errorf("header field %q to ignore: not a name", name))
			continue
		}
		c.headers[http.CanonicalHeaderKey(name)] = true
	}
	for _, text := range r.JSON {
		path, err := parseJSONPath(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("JSON path %q to ignore: %w", text, err))
			continue
		}
		c.paths = append(c.paths, path)
	}
	return c, errors.Join(errs...)
}

// ignored stands for what a rule ignores.
const ignored = "«ignored»"

// view returns the bytes of a that are compared. They may be a's own.
func (r *rules) view(a *answer) []byte {
	b := a.head
	if a.json && len(r.paths) > 0 && a.whole() {
		if body, ok := r.viewJSON(b[a.body:]); ok {
			b = append(bytes.Clone(b[:a.body]), body...)
		}
	}
	for _, expression := range r.ignore {
		b = cutOut(b, expression)
	}
	return b
}

// cutOut replaces what an expression ignores.
func cutOut(b []byte, expression *regexp.Regexp) []byte {
	matches := expression.FindAllSubmatchIndex(b, -1)
	if len(matches) == 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	at := 0
	for _, match := range matches {
		groups := match[2:]
		if len(groups) == 0 {
			groups = match
		}
		for i := 0; i < len(groups); i += 2 {
			from, to := groups[i], groups[i+1]
			if from < at { // a group that took no part, or is within another
				continue
			}
			out = append(out, b[at:from]...)
			out = append(out, ignored...)
			at = to
		}
	}
	return append(out, b[at:]...)
}

// viewJSON returns a body without the values that are ignored, in a form that does
// not depend on the order of names.
func (r *rules) viewJSON(body []byte) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return nil, false
	}
	for _, path := range r.paths {
		v = path.cutOut(v)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ") // one line per value, so that a difference shows where it is
	if err := e.Encode(v); err != nil {
		return nil, false
	}
	return out.Bytes(), true
}

// Validate returns an error that names every rule that makes no sense.
func (r Rules) Validate() error {
	_, err := r.compile()
	return err
}
