// Package trace reads from header fields which trace a call belongs to. The parsers of
// protocols with header fields call it.
package trace

import (
	"strings"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// Fields collects what the header fields of one request say of its trace. Where several
// of them do, the standard one counts, whatever their order: traceparent
// (https://www.w3.org/TR/trace-context), b3 and X-B3-*
// (https://github.com/openzipkin/b3-propagation), uber-trace-id
// (https://www.jaegertracing.io/docs/1.21/client-libraries). The zero value has none.
type Fields struct {
	call.Trace
	Source Source // where Trace is from
}

// Source is a kind of header fields, in the order in which they count.
type Source uint8

// The sources.
const (
	None Source = iota
	Jaeger
	B3Multi
	B3Single
	W3C
)

// longest is the length of the longest name of a header field that Add knows.
const longest = len("uber-trace-id")

// Add adds a header field. The case of its name does not matter.
func Add[T string | []byte](f *Fields, name, value T) {
	if len(name) > longest || len(name) < len("b3") {
		return
	}
	var lower [longest]byte
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(name)]) {
	case "traceparent":
		f.traceparent(string(value))
	case "b3":
		f.b3(string(value))
	case "x-b3-traceid":
		if id, ok := hex(string(value), 16, 32); ok && f.Source <= B3Multi {
			f.multi()
			f.TraceID = id
		}
	case "x-b3-spanid":
		if id, ok := hex(string(value), 16, 16); ok && f.Source <= B3Multi {
			f.multi()
			f.SpanID = id
		}
	case "uber-trace-id":
		f.jaeger(string(value))
	}
}

// multi makes the fields ready for one of X-B3-*, which come one by one.
func (f *Fields) multi() {
	if f.Source < B3Multi {
		f.set(B3Multi, "", "")
	}
}

func (f *Fields) set(source Source, trace, span string) {
	f.Source, f.Trace = source, call.Trace{TraceID: trace, SpanID: span}
}

// traceparent is version-trace-parent-flags; versions after 00 may have more.
func (f *Fields) traceparent(value string) {
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	value = strings.TrimSpace(value)
	if f.Source >= W3C || len(value) < length || len(value) > length && (value[:2] == "00" || value[length] != '-') {
		return
	}
	parts := strings.SplitN(value[:length], "-", 4)
	if len(parts) != 4 || parts[0] == "ff" {
		return
	}
	trace, okTrace := hex(parts[1], 32, 32)
	span, okSpan := hex(parts[2], 16, 16)
	if okTrace && okSpan {
		f.set(W3C, trace, span)
	}
}

// b3 is trace-span-sampled-parent, of which the last two may be missing. A sampling
// decision alone names no trace.
func (f *Fields) b3(value string) {
	parts := strings.Split(strings.TrimSpace(value), "-")
	if f.Source >= B3Single || len(parts) < 2 || len(parts) > 4 {
		return
	}
	trace, okTrace := hex(parts[0], 16, 32)
	span, okSpan := hex(parts[1], 16, 16)
	if okTrace && okSpan {
		f.set(B3Single, trace, span)
	}
}

// jaeger is trace:span:parent:flags, perhaps with the colons escaped. Leading zeros may be missing.
func (f *Fields) jaeger(value string) {
	if f.Source >= Jaeger {
		return
	}
	if strings.Contains(value, "%") {
		value = strings.NewReplacer("%3A", ":", "%3a", ":").Replace(value)
	}
	parts := strings.Split(strings.TrimSpace(value), ":")
	if len(parts) != 4 {
		return
	}
	trace, okTrace := hex(parts[0], 1, 32)
	span, okSpan := hex(parts[1], 1, 16)
	if okTrace && okSpan {
		f.set(Jaeger, trace, span)
	}
}

// hex returns text in lower case, if it is hexadecimal digits, from least to most of
// them, and not only zeros.
func hex(text string, least, most int) (string, bool) {
	text = strings.TrimSpace(text)
	if len(text) < least || len(text) > most {
		return "", false
	}
	zero := true
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
			zero = zero && c == '0'
		default:
			return "", false
		}
	}
	return strings.ToLower(text), !zero
}
