package mask

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// node is a value of a JSON document. Scalars keep the text that they are written in,
// so that what has no secret stays as it is. An object keeps its fields' order, and
// fields that occur twice.
type node struct {
	kind  byte   // '{', '[', '"', '0' for numbers, or the first letter of true, false and null
	raw   string // of a scalar
	names []node // of an object's fields; strings
	items []node // of an object or array
}

var (
	errTooDeep = errors.New("nested too deep")
	errSyntax  = errors.New("not valid JSON")
)

// text returns the content of a string.
func (v *node) text() string {
	if inner := v.raw[1 : len(v.raw)-1]; strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	if json.Unmarshal([]byte(v.raw), &s) != nil {
		return v.raw[1 : len(v.raw)-1]
	}
	return s
}

// setText makes v a string.
func (v *node) setText(s string) { *v = node{kind: '"', raw: quoted(s)} }

// quoted returns s as a JSON string.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string and a buffer do not fail
	return strings.TrimSuffix(b.String(), "\n")
}

// parser reads trees. The nodes of its trees are good until reset.
type parser struct {
	open  []node // of the objects and arrays that are being read, innermost last
	nodes []node // of those that are read; what is behind its length is free

	// A parser with m makes no tree: it only looks whether there is a document, and
	// pauses meanwhile.
	m  *masker
	at int // the last pause
}

// leastNodes is how many nodes a parser gets at a time, at least.
const leastNodes = 256

// reset gives back the nodes of all trees.
func (p *parser) reset() {
	clear(p.nodes)
	p.nodes = p.nodes[:0]
}

// take returns n nodes.
func (p *parser) take(n int) []node {
	if cap(p.nodes)-len(p.nodes) < n {
		// The nodes before stay with the trees that they are of.
		p.nodes = make([]node, 0, max(leastNodes, n, min(2*cap(p.nodes), unitBytes)))
	}
	begin := len(p.nodes)
	p.nodes = p.nodes[:begin+n]
	return p.nodes[begin : begin+n : begin+n]
}

// parse returns the tree of the one JSON document in doc.
func parse(doc string, depth int) (*node, error) { return new(parser).parse(doc, depth) }

func (p *parser) parse(doc string, depth int) (*node, error) {
	v, n, err := p.prefix(doc, depth)
	if err != nil {
		return nil, err
	}
	if skipSpace(doc, n) != len(doc) {
		return nil, errSyntax
	}
	return v, nil
}

// prefix returns the tree of the JSON document that s begins with, and its length.
// With an error the length is how far s was read.
func (p *parser) prefix(s string, depth int) (v *node, n int, err error) {
	root, n, err := p.value(s, skipSpace(s, 0), depth)
	return &root, n, err
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// value reads the value that begins at i, and returns where it ends.
func (p *parser) value(s string, i, depth int) (v node, end int, err error) {
	if i >= len(s) {
		return v, i, errSyntax
	}
	v.kind = s[i]
	switch c := s[i]; {
	case c == '"':
		end, err = stringEnd(s, i)
		if err == nil {
			v.raw = s[i:end]
		}
		return v, end, err
	case c == '{' || c == '[':
		if depth <= 0 {
			return v, i, errTooDeep
		}
		v.names, v.items, end, err = p.items(c == '{', s, i+1, depth-1)
		return v, end, err
	case c == '-' || isDigit(c):
		v.kind = '0'
		if end = numberEnd(s, i); end == i {
			return v, i, errSyntax
		}
		v.raw = s[i:end]
		return v, end, nil
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(s[i:], word) {
			v.raw = word
			return v, i + len(word), nil
		}
	}
	return v, i, errSyntax
}

// items reads the items of an object or array, the first of which begins at i, and
// returns where it ends.
func (p *parser) items(object bool, s string, i, depth int) (names, items []node, end int, err error) {
	last := byte(']')
	if object {
		last = '}'
	}
	if i = skipSpace(s, i); i < len(s) && s[i] == last {
		return nil, nil, i + 1, nil
	}
	begin := len(p.open)
	defer func() { p.open = p.open[:begin] }()
	for {
		name := node{kind: '"'}
		if object {
			if i = skipSpace(s, i); i >= len(s) || s[i] != '"' {
				return nil, nil, i, errSyntax
			}
			from := i
			if i, err = stringEnd(s, i); err != nil {
				return nil, nil, i, err
			}
			name.raw = s[from:i]
			if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
				return nil, nil, i, errSyntax
			}
			i++
		}
		var item node
		if item, i, err = p.value(s, skipSpace(s, i), depth); err != nil {
			return nil, nil, i, err
		}
		switch {
		case p.m == nil && object:
			p.open = append(p.open, name, item)
		case p.m == nil:
			p.open = append(p.open, item)
		case i-p.at >= sliceBytes:
			if p.m.step(i - p.at) {
				return nil, nil, i, p.m.err
			}
			p.at = i
		}
		i = skipSpace(s, i)
		switch {
		case i < len(s) && s[i] == ',':
			i++
		case i < len(s) && s[i] == last:
			names, items = p.finish(object, p.open[begin:])
			return names, items, i + 1, nil
		default:
			return nil, nil, i, errSyntax
		}
	}
}

// finish moves what was read of an object or array from open to nodes.
func (p *parser) finish(object bool, all []node) (names, items []node) {
	if !object {
		items = p.take(len(all))
		copy(items, all)
		return nil, items
	}
	n := len(all) / 2
	names, items = p.take(n), p.take(n)
	for i := range n {
		names[i], items[i] = all[2*i], all[2*i+1]
	}
	return names, items
}

// stringEnd returns where the string ends that begins at i, behind its quote.
func stringEnd(s string, i int) (int, error) {
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ':
			return i, errSyntax
		case c == '\\':
			if i++; i == len(s) {
				return i, errSyntax
			}
			if s[i] == 'u' {
				for range 4 {
					if i++; i == len(s) || !isHex(s[i]) && (s[i] < 'A' || 'F' < s[i]) {
						return i, errSyntax
					}
				}
			} else if strings.IndexByte(`"\/bfnrt`, s[i]) < 0 {
				return i, errSyntax
			}
		}
	}
	return i, errSyntax
}

// numberEnd returns where the number ends that begins at i; i if there is none.
func numberEnd(s string, i int) int {
	begin := i
	digits := func() bool {
		from := i
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		return i > from
	}
	if s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if !digits() {
		return begin
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return begin
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return begin
		}
	}
	return i
}

// appendValue appends a tree to b, without space between its parts.
func appendValue(b []byte, v *node) []byte {
	switch v.kind {
	case '{':
		b = append(b, '{')
		for i := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendValue(b, &v.names[i]), ':')
			b = appendValue(b, &v.items[i])
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		for i := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, &v.items[i])
		}
		return append(b, ']')
	case '"':
		if !utf8.ValidString(v.raw) {
			return append(b, strings.ToValidUTF8(v.raw, "\ufffd")...)
		}
	}
	return append(b, v.raw...)
}
