package tcpcopy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// badField adds a fault of a trigger's field.
type badField = func(field string, value any, valid string)

// checkWhere checks the query of a trigger and reports whether it depends on answers.
func checkWhere(where string, bad badField) (answers bool) {
	q, err := query.Compile(where)
	var fault *query.Error
	switch {
	case errors.As(err, &fault):
		bad("where", where, fmt.Sprintf("a query over calls; %s (%d:%d)", fault.Message, fault.Line, fault.Column))
		return false
	case err != nil:
		bad("where", where, "a query over calls; "+err.Error())
		return false
	}
	return q.DependsOnAnswers()
}

// Limits of a trigger's patterns.
const (
	maxPatterns = 64
	maxPattern  = 256 // bytes
)

// checkPatterns checks the patterns of a trigger.
func checkPatterns(patterns []string, bad badField) {
	const valid = `a text of 1 … 256 bytes, in which \x00, \n and other escapes of Go stand for bytes`
	if len(patterns) == 0 || len(patterns) > maxPatterns {
		bad("bytes", fmt.Sprintf("a list of %d", len(patterns)), fmt.Sprintf("1 … %d texts", maxPatterns))
	}
	for i, text := range patterns {
		bytes, err := unescape(text)
		if err != nil || len(bytes) == 0 || len(bytes) > maxPattern {
			bad(fmt.Sprintf("bytes[%d]", i), text, valid)
		}
	}
}

// unescape returns the bytes that a text with Go's escapes stands for.
func unescape(text string) (string, error) {
	var b strings.Builder
	for rest := text; rest != ""; {
		if rest[0] != '\\' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if strings.HasPrefix(rest, `\"`) || strings.HasPrefix(rest, `\'`) {
			b.WriteByte(rest[1])
			rest = rest[2:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return "", err
		}
		if multibyte {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		rest = tail
	}
	return b.String(), nil
}

// checkReasons checks the close reasons of a trigger.
func checkReasons(reasons []string, bad badField) {
	valid := []string{
		string(record.CloseRemote), string(record.CloseLocal), string(record.CloseShutdown),
		string(record.CloseReadError), string(record.CloseWriteError), string(record.CloseWriteTimeout),
	}
	if len(reasons) == 0 {
		bad("close", "an empty list", "one or more of "+strings.Join(valid, ", "))
	}
	for i, reason := range reasons {
		if !slices.Contains(valid, reason) {
			bad(fmt.Sprintf("close[%d]", i), reason, strings.Join(valid, ", "))
		}
	}
}
