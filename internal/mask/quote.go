package mask

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Kind is what an error says of a value that it does not show, such as "a text of 12
// bytes".
type Kind string

// maxShown bounds what an error shows of a value or of an unknown name, bytes.
const maxShown = 64

// KindOf returns the kind of a value in JSON, or of a text that is none.
func KindOf(value []byte) Kind {
	v, err := parse(string(value), maxDepth)
	if err != nil {
		return Kind(fmt.Sprintf("a text of %d bytes that is no JSON", len(value)))
	}
	switch v.kind {
	case '{':
		return Kind(fmt.Sprintf("an object with %d fields", len(v.items)))
	case '[':
		return Kind(fmt.Sprintf("an array of %d values", len(v.items)))
	case '"':
		return textKind(v.text())
	case '0':
		return "a number"
	case 'n':
		return "null"
	}
	return "a truth value"
}

func textKind(text string) Kind { return Kind(fmt.Sprintf("a text of %d bytes", len(text))) }

// Scalar returns a value in JSON as an error may show it: a string's content, another
// scalar as it is written, and only the kind of an object or array.
func Scalar(value []byte) any {
	v, err := parse(string(value), maxDepth)
	switch {
	case err != nil, v.kind == '{', v.kind == '[':
		return KindOf(value)
	case v.kind == '"':
		return v.text()
	}
	return v.raw
}

// Value returns what an error may show of the value of a known field: a string in
// quotes, another value as it is printed. It shows only the kind of a value whose name
// or shape is a secret's, or that is long.
func Value(field string, value any) string {
	if at := strings.LastIndexByte(field, '.'); at >= 0 {
		field = field[at+1:]
	}
	hidden := classOf(field).isSecret()
	switch v := value.(type) {
	case Kind:
		return string(v)
	case string:
		if hidden || !harmless(v) {
			return string(textKind(v))
		}
		return strconv.Quote(v)
	case json.RawMessage:
		return string(KindOf(v))
	}
	text := fmt.Sprint(value)
	if hidden || !harmless(text) {
		return string(textKind(text))
	}
	return text
}

// Name returns what an error may show of an unknown field's name: the name, unless it is
// long, or looks like a secret itself, or is no word at all.
func Name(name string) string {
	plain := name != "" && harmless(name)
	for i := 0; i < len(name) && plain; i++ {
		plain = isDashed(name[i]) || name[i] == '.'
	}
	if !plain {
		return fmt.Sprintf("(a name of %d bytes)", len(name))
	}
	return name
}

// harmless reports whether a text is short and has nothing of a secret's shape.
func harmless(text string) bool {
	if len(text) > maxShown && !(isPath(text) && len(text) <= 4*maxShown) {
		return false
	}
	return newMasker(nil).maskString(text, 1) == text && (isPath(text) || !random(text))
}

// random reports whether a text looks like drawn by lot: long, without space, letters
// and digits in many turns.
func random(text string) bool {
	if len(text) < 12 || strings.ContainsAny(text, " ") {
		return false
	}
	turns, last := 0, byte(0)
	for i := range len(text) {
		kind := byte('.')
		switch c := text[i]; {
		case isDigit(c):
			kind = '0'
		case 'A' <= c && c <= 'Z':
			kind = 'A'
		case isLetter(c):
			kind = 'a'
		}
		if kind != last && kind != '.' && last != '.' && last != 0 {
			turns++
		}
		last = kind
	}
	return turns*4 >= len(text)
}
