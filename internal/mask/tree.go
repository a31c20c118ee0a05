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

// parse returns the tree of the one JSON document in doc.
func parse(doc string, depth int) (*node, error) {
	v, n, err := parsePrefix(doc, depth)
	if err != nil {
		return nil, err
	}
	if skipSpace(doc, n) != len(doc) {
		return nil, errSyntax
	}
	return v, nil
}

// parsePrefix returns the tree of the JSON document that s begins with, and its length.
// With an error the length is how far s was read.
func parsePrefix(s string, depth int) (v *node, n int, err error) {
	v = &node{}
	n, err = parseValue(v, s, skipSpace(s, 0), depth)
	return v, n, err
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

func parseValue(v *node, s string, i, depth int) (int, error) {
	if i >= len(s) {
		return i, errSyntax
	}
	v.kind = s[i]
	switch c := s[i]; {
	case c == '"':
		return parseString(v, s, i)
	case c == '{' || c == '[':
		if depth <= 0 {
			return i, errTooDeep
		}
		return parseItems(v, s, i+1, depth-1)
	case c == '-' || isDigit(c):
		v.kind = '0'
		end := numberEnd(s, i)
		if end == i {
			return i, errSyntax
		}
		v.raw = s[i:end]
		return end, nil
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(s[i:], word) {
			v.raw = word
			return i + len(word), nil
		}
	}
	return i, errSyntax
}

func parseItems(v *node, s string, i, depth int) (int, error) {
	end := byte('}')
	if v.kind == '[' {
		end = ']'
	}
	if i = skipSpace(s, i); i < len(s) && s[i] == end {
		return i + 1, nil
	}
	for {
		var err error
		if v.kind == '{' {
			var name node
			if i = skipSpace(s, i); i >= len(s) || s[i] != '"' {
				return i, errSyntax
			}
			if i, err = parseString(&name, s, i); err != nil {
				return i, err
			}
			name.kind = '"'
			if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
				return i, errSyntax
			}
			i++
			v.names = append(v.names, name)
		}
		v.items = append(v.items, node{})
		if i, err = parseValue(&v.items[len(v.items)-1], s, skipSpace(s, i), depth); err != nil {
			return i, err
		}
		i = skipSpace(s, i)
		switch {
		case i < len(s) && s[i] == ',':
			i++
		case i < len(s) && s[i] == end:
			return i + 1, nil
		default:
			return i, errSyntax
		}
	}
}

func parseString(v *node, s string, i int) (int, error) {
	end, err := stringEnd(s, i)
	if err != nil {
		return end, err
	}
	v.raw = s[i:end]
	return end, nil
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
					if i++; i == len(s) || !isHex(s[i]|0x20) {
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
