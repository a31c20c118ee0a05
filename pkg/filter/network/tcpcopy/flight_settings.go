package tcpcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mosn.io/tcpcopy/internal/mask"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// flightBlock is the name of the flight recorder's block.
const flightBlock = "flight"

// flightSettings is the flight block.
type flightSettings struct {
	strategy.FlightConfig

	// answers are the fields that depend on what servers send, such as
	// "flight.triggers[0].where".
	answers []string
}

// parseFlightText parses a flight block that stands alone. The error names every fault.
func parseFlightText(text []byte) (*flightSettings, error) {
	var errs []error
	if !json.Valid(text) {
		return nil, &model.FieldError{Field: flightBlock, Value: mask.Kind("no JSON"), Valid: "a JSON object"}
	}
	f := parseFlight(newBlock(flightBlock, text, &errs))
	return f, errors.Join(errs...)
}

// parseFlight parses the flight block.
func parseFlight(b *block) *flightSettings {
	f := &flightSettings{FlightConfig: strategy.DefaultFlightConfig()}
	if text, given := b.fields["size"]; given {
		const valid = "1MiB … 64GiB, or 0 for no ring"
		n := b.size("size", -1)
		if n != -1 && n != 0 && (n < strategy.MinRing || n > strategy.MaxRing) {
			b.bad("size", mask.Scalar(text), valid)
		}
		f.Size = max(n, 0)
	} else if b.fields != nil { // nil has its fault already
		b.bad("size", mask.Kind("not set"), "a size such as \"256MiB\", or 0 for no ring")
	}
	f.Before, f.After = b.duration("before", f.Before), b.duration("after", f.After)
	f.Scope = b.scope(f.Scope)
	f.CPUMaxRate, f.MemMaxRate = b.rate("cpu_max_rate", f.CPUMaxRate), b.rate("mem_max_rate", f.MemMaxRate)
	f.Budget = b.budget("captures", f.Budget)
	if text, given := b.fields["decoders"]; given {
		f.Decoders = b.size("decoders", f.Decoders)
		if f.Decoders < strategy.MinDecoders || f.Decoders > strategy.MaxRing {
			b.bad("decoders", mask.Scalar(text), "1MiB … 64GiB")
		}
	}
	b.value("crash", &f.Crash, "true or false")
	var triggers []json.RawMessage
	if b.value("triggers", &triggers, "a list of triggers such as "+triggerExample) {
		if len(triggers) > strategy.MaxTriggers {
			b.bad("triggers", mask.Kind(fmt.Sprintf("a list of %d", len(triggers))), fmt.Sprintf("at most %d triggers", strategy.MaxTriggers))
			triggers = triggers[:strategy.MaxTriggers]
		}
		for i, text := range triggers {
			f.addTrigger(newBlock(fmt.Sprintf("%s[%d]", triggersField, i), text, b.errs))
		}
		f.compile(b.errs)
	}
	b.unknown()
	return f
}

// triggersField is the field of the triggers, as errors name it.
const triggersField = flightBlock + ".triggers"

// compile checks what the triggers look for, and adds the faults of fields that have none yet.
func (f *flightSettings) compile(errs *[]error) {
	answers, faults := checkTriggers(f.Triggers)
	f.answers = answers
	known := *errs
	for _, fault := range faults {
		if !slices.ContainsFunc(known, func(err error) bool { return concerns(err, fault.Field) }) {
			*errs = append(*errs, fault)
		}
	}
}

// concerns reports whether err is of the field, of a part of it, or of what it is a part of.
func concerns(err error, field string) bool {
	var fault *model.FieldError
	return errors.As(err, &fault) && (fault.Field == field || strings.HasPrefix(fault.Field, field+".") || strings.HasPrefix(fault.Field, field+"[") || strings.HasPrefix(field, fault.Field+"."))
}

const triggerExample = `{"name": "errors", "where": "failed"}`

// addTrigger parses a trigger and adds it.
func (f *flightSettings) addTrigger(b *block) {
	t := strategy.FlightTrigger{Before: f.Before, After: f.After, Scope: f.Scope}
	if b.fields == nil {
		f.Triggers = append(f.Triggers, t)
		return // it is no object
	}
	const validName = "1 … 64 bytes of printable characters, other than \"request\""
	if _, given := b.fields["name"]; !given {
		b.bad("name", mask.Kind("not set"), validName)
	} else if b.value("name", &t.Name, validName) {
		switch {
		case !isTriggerName(t.Name):
			b.bad("name", t.Name, validName)
		case slices.ContainsFunc(f.Triggers, func(o strategy.FlightTrigger) bool { return o.Name == t.Name }):
			b.bad("name", t.Name, "a name that no trigger before it has")
		}
	}
	var kinds []string
	given := func(field string, v any, valid string) {
		if _, there := b.fields[field]; there {
			kinds = append(kinds, field)
			b.value(field, v, valid)
		}
	}
	given("where", &t.Where, `a query such as "failed or latency > 2s"`)
	given("bytes", &t.Bytes, `a list of texts such as ["-----BEGIN"]`)
	given("close", &t.Close, `a list of close reasons such as ["OnReadErrClose"]`)
	t.Direction, _ = b.word("direction", "", strategy.DirectionIn, strategy.DirectionOut)
	switch {
	case len(kinds) == 0:
		b.bad("", mask.Kind("a trigger without a condition"), "one of where, bytes and close, as in "+triggerExample)
	case len(kinds) > 1:
		b.bad("", mask.Kind("a trigger with "+strings.Join(kinds, " and ")), "one of where, bytes and close in a trigger; write one trigger for each")
	}
	t.Before, t.After = b.duration("before", t.Before), b.duration("after", t.After)
	t.Scope = b.scope(t.Scope)
	b.unknown()
	f.Triggers = append(f.Triggers, t)
}

func isTriggerName(name string) bool {
	if name == "" || len(name) > record.MaxTriggerName || name == record.CauseRequest {
		return false
	}
	return utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// duration removes and returns a field that is a length of time from 0 on.
func (b *block) duration(field string, fallback time.Duration) time.Duration {
	const valid = `a duration from "0s" to "1h", such as "30s" or "1m30s"`
	var text string
	if !b.value(field, &text, valid) {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > strategy.MaxFlightTime {
		b.bad(field, text, valid)
		return fallback
	}
	return d
}

// scope removes and returns the field scope.
func (b *block) scope(fallback strategy.ScopeKind) strategy.ScopeKind {
	var words []string
	for _, kind := range strategy.ScopeKinds() {
		words = append(words, string(kind))
	}
	word, _ := b.word("scope", string(fallback), words...)
	return strategy.ScopeKind(word)
}

// rate removes and returns a field that is a limit in percent.
func (b *block) rate(field string, fallback float64) float64 {
	const valid = "a number, more than 0 and less than 100 percent"
	v := fallback
	if b.value(field, &v, valid) && !(v > 0 && v < 100) {
		b.bad(field, v, valid)
		return fallback
	}
	return v
}

// budget removes and returns a field that says how many captures may begin within a time.
func (b *block) budget(field string, fallback strategy.Budget) strategy.Budget {
	valid := fmt.Sprintf(`a number up to %d and a time from "1s" to "24h", such as "20/1h"`, strategy.MaxBudget)
	var text string
	if !b.value(field, &text, valid) {
		return fallback
	}
	number, per, ok := strings.Cut(text, "/")
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	d, perErr := time.ParseDuration(strings.TrimSpace(per))
	if !ok || err != nil || n > strategy.MaxBudget || perErr != nil || d < strategy.MinBudgetPer || d > strategy.MaxBudgetPer {
		b.bad(field, text, valid)
		return fallback
	}
	return strategy.Budget{Captures: int(n), Per: d}
}

// needsFlow returns the fault of the flight block where no file says which bytes are of
// which connection; nil if there is one that does.
func (f *flightSettings) needsFlow(formats []persistence.Format) error {
	if !f.IsOn() || tellsConnections(formats) {
		return nil
	}
	return formatsFault(formats)
}

// tellsConnections reports whether a file of the formats says which bytes are of which
// connection.
func tellsConnections(formats []persistence.Format) bool {
	return slices.Contains(formats, persistence.FormatHexMeta) || slices.Contains(formats, persistence.FormatPcapng)
}

// formatsFault returns the fault of formats that do not tell connections apart.
func formatsFault(formats []persistence.Format) error {
	var words []string
	for _, format := range formats {
		words = append(words, string(format))
	}
	return &model.FieldError{Field: "output.formats", Value: strings.Join(words, ", "), Valid: "hex_meta or pcapng among them where there is a flight block, because other files do not say which bytes are of which connection"}
}

// needsAnswers returns the faults of the triggers that depend on answers where no listener
// records those; nil if one does.
func (f *flightSettings) needsAnswers(both bool) error {
	if !f.IsOn() || both {
		return nil
	}
	return answersFault(f.answers)
}

// answersFault returns the faults of fields that depend on answers where no listener records
// those; nil if there are none.
func answersFault(fields []string) error {
	var errs []error
	for _, field := range fields {
		errs = append(errs, &model.FieldError{Field: field, Value: mask.Kind("a condition on answers"), Valid: "one that requests alone can meet, because no listener has capture.direction both"})
	}
	return errors.Join(errs...)
}

// flightFitsLocked refuses a listener that brings a flight block, or an output, if the two
// do not fit together. A block from elsewhere that does not fit refuses no listener: there is no
// ring then. Nor does a block without an output, or one whose triggers need answers that nothing
// records: MOSN may be about to add a listener that has an output, or records both.
func (r *recorder) flightFitsLocked(s *settings, next settings) error {
	if next.flight == nil || next.output == nil || s.flight == nil && s.output == nil {
		return nil
	}
	return next.flight.needsFlow(next.output.formats)
}

// recordsBothLocked reports whether a listener records both directions.
func (r *recorder) recordsBothLocked() bool {
	for _, l := range r.listeners {
		if l.scope.both {
			return true
		}
	}
	return false
}

// formatsOf returns the formats of an output block, which may be nil.
func formatsOf(output *outputSettings) []persistence.Format {
	if output == nil {
		return persistence.DefaultConfig().Formats
	}
	return output.formats
}
