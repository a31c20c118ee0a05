package tcpcopy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mosn.io/tcpcopy/internal/mask"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// compileTriggers checks what the triggers look for. answers are the fields of those that
// depend on what servers send, such as "flight.triggers[0].where".
func compileTriggers(triggers []strategy.FlightTrigger) (answers []string, faults []*model.FieldError) {
	for i := range triggers {
		c := triggerChecker{path: fmt.Sprintf("%s[%d]", triggersField, i)}
		if field := c.check(&triggers[i]); field != "" {
			answers = append(answers, c.path+"."+field)
		}
		faults = append(faults, c.faults...)
	}
	return answers, faults
}

// triggerChecker checks one trigger.
type triggerChecker struct {
	path   string
	faults []*model.FieldError
}

func (c *triggerChecker) bad(field string, value any, valid string) {
	c.faults = append(c.faults, &model.FieldError{Field: strings.TrimSuffix(c.path+"."+field, "."), Value: value, Valid: valid})
}

// check returns the field that depends on answers, empty if none does.
func (c *triggerChecker) check(t *strategy.FlightTrigger) (answers string) {
	if t.Where == "" && len(t.Bytes) == 0 && len(t.Close) == 0 {
		c.bad("", mask.Kind("a trigger without a condition"), "one of where, bytes and close, not empty, as in "+triggerExample)
	}
	if t.Direction != "" && len(t.Bytes) == 0 {
		c.bad("direction", t.Direction, "only together with bytes")
	}
	c.patterns(t.Bytes)
	c.reasons(t.Close)
	switch {
	case t.Where != "" && c.dependsOnAnswers(t.Where):
		return "where"
	case len(t.Bytes) > 0 && t.Direction == strategy.DirectionOut:
		return "bytes"
	}
	return ""
}

// dependsOnAnswers checks a query and reports whether it depends on answers.
func (c *triggerChecker) dependsOnAnswers(where string) bool {
	q, err := query.Compile(where)
	var fault *query.Error
	switch {
	case errors.As(err, &fault):
		c.bad("where", where, fmt.Sprintf("a query over calls; %s (%d:%d)", fault.Message, fault.Line, fault.Column))
		return false
	case err != nil:
		c.bad("where", where, "a query over calls; "+err.Error())
		return false
	}
	return q.DependsOnAnswers()
}

// maxPattern bounds a pattern of a trigger, in bytes.
const maxPattern = 1 << 10

func (c *triggerChecker) patterns(patterns []string) {
	for i, text := range patterns {
		bytes, err := unescape(text)
		if err != nil || bytes == "" || len(bytes) > maxPattern {
			c.bad(fmt.Sprintf("bytes[%d]", i), text, fmt.Sprintf(`a text of 1 … %d bytes, in which \x00, \n and other escapes of Go stand for bytes`, maxPattern))
		}
	}
}

// unescape returns the bytes that a text with Go's escapes stands for.
func unescape(text string) (string, error) {
	var b strings.Builder
	for rest := text; rest != ""; {
		if strings.HasPrefix(rest, `\"`) || strings.HasPrefix(rest, `\'`) {
			b.WriteByte(rest[1])
			rest = rest[2:]
			continue
		}
		if rest[0] != '\\' {
			b.WriteByte(rest[0])
			rest = rest[1:]
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

func (c *triggerChecker) reasons(reasons []string) {
	valid := []string{
		string(record.CloseRemote), string(record.CloseLocal), string(record.CloseShutdown), string(record.CloseReadError),
		string(record.CloseWriteError), string(record.CloseWriteTimeout), string(record.CloseMoved),
	}
	for i, reason := range reasons {
		if !slices.Contains(valid, reason) {
			c.bad(fmt.Sprintf("close[%d]", i), reason, strings.Join(valid, ", "))
		}
	}
}
