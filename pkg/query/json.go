package query

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// step is a part of the JSON form: what is written before a field, the opening of an
// object, or what closes one.
type step struct {
	before string // with the comma, the braces and the key
	field  *field // nil where an object opens or closes
	object string // the name of the object that opens, with a dot after each part, or ""
	after  int    // the step behind the end of the object
}

// steps are the JSON form of a call, made of the table of fields.
var steps = makeSteps()

func makeSteps() []step {
	var all []step
	var open []int // the steps of the objects that are open
	prefix, separator := "", "{"
	add := func(s step, key string) {
		s.before = separator + `"` + key + `":`
		all = append(all, s)
		separator = ","
	}
	for i := range fields {
		f := &fields[i]
		if f.key == "" {
			continue
		}
		own := f.name[:strings.LastIndexByte(f.name, '.')+1]
		for !strings.HasPrefix(own, prefix) {
			all = append(all, step{before: "}"})
			last := &all[open[len(open)-1]]
			last.after = len(all)
			open = open[:len(open)-1]
			prefix = prefix[:strings.LastIndexByte(prefix[:len(prefix)-1], '.')+1]
		}
		for prefix != own {
			part, _, _ := strings.Cut(own[len(prefix):], ".")
			prefix += part + "."
			open = append(open, len(all))
			add(step{object: prefix}, part)
			separator = "{"
		}
		add(step{field: f}, f.key)
	}
	return append(all, step{before: "}"})
}

// AppendJSON appends the JSON form of c to dst: an object with the fields of this
// package's table, in its order. Missing values are null. Text is valid UTF-8: other bytes
// become U+FFFD.
func AppendJSON(dst []byte, c *Call) []byte {
	for i := 0; i < len(steps); i++ {
		s := &steps[i]
		switch {
		case s.object != "" && !objectThere(s.object, c):
			dst = append(append(dst, s.before...), "null"...)
			i = s.after - 1
		case s.field == nil:
			dst = append(dst, s.before...)
		case s.field.key == insteadOf && c.Instead == "":
		case s.field.key == "missing":
			if n, _ := s.field.number(c); n != 0 { // it is absent and not 0
				dst = s.field.appendValue(append(dst, s.before...), c)
			}
		case s.field.key == "size":
			if m := c.message(sideOf(s.field.name)); m.Between != 0 { // it is absent where it is the length
				dst = s.field.appendValue(append(dst, s.before...), c)
			}
		default:
			dst = s.field.appendValue(append(dst, s.before...), c)
		}
	}
	return dst
}

// objectThere reports whether the object with that name is in the JSON form of c; null is there if not.
func objectThere(object string, c *Call) bool {
	switch m := c.message(sideOf(object)); object {
	case "request.", "response.":
		return m.Present
	case "request.body.", "response.body.":
		return m.HasBody
	case "trace.":
		return c.Trace != (call.Trace{})
	default:
		return true
	}
}

// sideOf returns the side whose field or object has that name; of one that is of neither, Request.
func sideOf(name string) Side {
	if strings.HasPrefix(name, "response.") {
		return Response
	}
	return Request
}

// appendValue appends the value of f.
func (f *field) appendValue(dst []byte, c *Call) []byte {
	switch {
	case f.name == "id":
		dst = append(appendEscaped(append(dst, '"'), c.Identity.Conn), '#')
		return append(strconv.AppendUint(dst, c.N, 10), '"')
	case f.name == incomplete:
		dst = append(dst, '[')
		for i, word := range c.Incomplete.Words() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendText(dst, word)
		}
		return append(dst, ']')
	case f.text != nil:
		return appendText(dst, f.text(c))
	case f.flag != nil:
		return strconv.AppendBool(dst, f.flag(c))
	case f.at != nil:
		t := f.at(c)
		if t.IsZero() {
			return append(dst, "null"...)
		}
		dst = append(dst, '"')
		return append(t.UTC().AppendFormat(dst, time.RFC3339Nano), '"')
	}
	value, ok := f.number(c)
	switch {
	case !ok:
		return append(dst, "null"...)
	case f.kind == kindDuration:
		return appendMilliseconds(dst, value)
	default:
		return strconv.AppendInt(dst, value, 10)
	}
}

// appendMilliseconds appends nanoseconds as milliseconds, exactly.
func appendMilliseconds(dst []byte, ns int64) []byte {
	if ns < 0 {
		dst, ns = append(dst, '-'), -ns
	}
	dst = strconv.AppendInt(dst, ns/1e6, 10)
	if rest := ns % 1e6; rest != 0 {
		dst = append(dst, '.')
		for digit := int64(1e5); rest != 0; digit /= 10 {
			dst = append(dst, byte('0'+rest/digit))
			rest %= digit
		}
	}
	return dst
}

// appendText appends s as a string of JSON.
func appendText(dst []byte, s string) []byte {
	return append(appendEscaped(append(dst, '"'), s), '"')
}

// appendEscaped appends what is between the quotes of a string of JSON. Characters that
// matter in HTML only stay as they are.
func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	done := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= ' ' && b < utf8.RuneSelf && b != '"' && b != '\\' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if b >= utf8.RuneSelf && (r != utf8.RuneError || size > 1) && r != '\u2028' && r != '\u2029' {
			i += size
			continue
		}
		dst = append(dst, s[done:i]...)
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default: // others that are not printed, and bytes that are no UTF-8
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
		i += size
		done = i
	}
	return append(dst, s[done:]...)
}
