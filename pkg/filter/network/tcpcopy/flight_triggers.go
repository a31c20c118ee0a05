package tcpcopy

import (
	"errors"
	"fmt"
	"slices"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// triggersOf returns the triggers as package persistence has them.
func triggersOf(all []strategy.FlightTrigger) []persistence.Trigger {
	out := make([]persistence.Trigger, len(all))
	for i, t := range all {
		out[i] = persistence.Trigger{Name: t.Name, Where: t.Where, Bytes: t.Bytes, Direction: t.Direction}
		for _, reason := range t.Close {
			out[i].Close = append(out[i].Close, record.CloseReason(reason))
		}
	}
	return out
}

// checkTriggers checks what the triggers look for. answers are the fields of those that
// depend on what servers send, such as "flight.triggers[0].where".
func checkTriggers(triggers []strategy.FlightTrigger) (answers []string, faults []*model.FieldError) {
	set, err := persistence.CompileTriggers(triggersOf(triggers), persistence.TriggerOptions{Field: triggersField})
	if err != nil {
		return nil, fieldErrors(err)
	}
	names := set.DependOnAnswers()
	for i, t := range triggers {
		if !slices.Contains(names, t.Name) {
			continue
		}
		field := "where"
		if len(t.Bytes) > 0 {
			field = "bytes"
		}
		answers = append(answers, fmt.Sprintf("%s[%d].%s", triggersField, i, field))
	}
	return answers, nil
}

// fieldErrors returns the field errors that are joined in err.
func fieldErrors(err error) (all []*model.FieldError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, fieldErrors(e)...)
		}
		return all
	}
	var f *model.FieldError
	if errors.As(err, &f) {
		all = append(all, f)
	}
	return all
}
