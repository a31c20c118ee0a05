package trigger

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// Trigger is one trigger of the configuration. It has one of Where, Bytes and Close.
type Trigger struct {
	Name  string
	Where string   // a condition over a call, see package query
	Bytes []string // byte patterns with the escapes of Go's strings

	// Direction limits Bytes to "in" or "out"; "" means both.
	Direction string

	Close []record.CloseReason
}

// Limits of a set.
const (
	maxTriggers     = 64       // they are bits of a number
	maxName         = 64       // bytes
	maxPattern      = 1 << 10  // bytes of a pattern
	maxPatternBytes = 8 << 10  // of all patterns of a direction: the automaton's states are numbers of 16 bits
	defaultDecoders = 64 << 20 // bytes
)

// closeReasons are the reasons that a trigger may name.
var closeReasons = []record.CloseReason{
	record.CloseRemote, record.CloseLocal, record.CloseShutdown, record.CloseReadError, record.CloseWriteError, record.CloseWriteTimeout, record.CloseMoved,
}

// codings are the content codings that the filter decodes; "" stands for none.
var codings = []string{"", "identity", "gzip", "x-gzip", "deflate"}

// Options say what a set has besides its triggers. Zero values mean the defaults.
type Options struct {
	// Field is the path of the triggers in errors; the default is "flight.triggers".
	Field string

	// Decoders bounds the memory of all decoders together, in bytes. The default is 64 MiB.
	Decoders int64

	// Answers reports whether the answers on a connection are recorded. Where they are not, a
	// call without an answer says nothing. nil means that they always are.
	Answers func(*record.Endpoint) bool

	// Report, when not nil, is called with faults that somebody should know of: a
	// *PanicError, or ErrDecoders once for each time that the memory has become full. It is called by the
	// goroutines of the matchers and must not wait.
	Report func(error)
}

// compiled is a trigger that was checked.
type compiled struct {
	Trigger
	query   *query.Query // nil without Where
	texts   []string     // Bytes without their escapes
	closes  map[record.CloseReason]bool
	answers bool // it depends on what the server sends
}

// Compile checks all triggers and makes a set of them. Its error joins a
// *model.FieldError for every fault.
func Compile(triggers []Trigger, o Options) (*Set, error) {
	if o.Field == "" {
		o.Field = "flight.triggers"
	}
	if o.Decoders == 0 {
		o.Decoders = defaultDecoders
	}
	c := &checker{field: o.Field, names: map[string]bool{}}
	if len(triggers) > maxTriggers {
		c.bad("", len(triggers), fmt.Sprintf("at most %d triggers", maxTriggers))
		triggers = triggers[:maxTriggers]
	}
	all := make([]compiled, len(triggers))
	for i := range triggers {
		c.field = fmt.Sprintf("%s[%d]", o.Field, i)
		all[i] = c.trigger(&triggers[i])
	}
	c.field = o.Field
	var automata [2]*automaton
	for _, dir := range record.Directions() {
		patterns := patternsOf(all, dir)
		size := 0
		for i := range patterns {
			size += len(patterns[i].text)
		}
		if size > maxPatternBytes {
			c.bad("", fmt.Sprintf("%d bytes of different patterns in direction %s", size, dir), fmt.Sprintf("at most %d bytes in all", maxPatternBytes))
			continue
		}
		if len(patterns) > 0 {
			automata[dir] = newAutomaton(patterns)
		}
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return newSet(all, automata, o), nil
}

// checker collects the faults of triggers.
type checker struct {
	field string
	names map[string]bool
	errs  []error
}

func (c *checker) bad(field string, value any, valid string) {
	if field != "" {
		field = "." + field
	}
	c.errs = append(c.errs, &model.FieldError{Field: c.field + field, Value: value, Valid: valid})
}

// trigger checks a trigger.
func (c *checker) trigger(t *Trigger) compiled {
	k := compiled{Trigger: *t}
	switch {
	case t.Name == "" || len(t.Name) > maxName || !utf8.ValidString(t.Name) || strings.ContainsFunc(t.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		c.bad("name", t.Name, fmt.Sprintf("1 … %d bytes of printable characters", maxName))
	case c.names[t.Name]:
		c.bad("name", t.Name, "a name that no other trigger has")
	}
	c.names[t.Name] = true
	var has []string
	for _, field := range []struct {
		name string
		set  bool
	}{{"where", t.Where != ""}, {"bytes", len(t.Bytes) > 0}, {"close", len(t.Close) > 0}} {
		if field.set {
			has = append(has, field.name)
		}
	}
	if len(has) != 1 {
		value := "without any"
		if len(has) > 1 {
			value = strings.Join(has, " and ")
		}
		c.bad("", value, "exactly one of where, bytes and close; write a trigger for each")
	}
	switch {
	case t.Direction != "" && t.Direction != record.In.String() && t.Direction != record.Out.String():
		c.bad("direction", t.Direction, "in, out, or none for both")
	case t.Direction != "" && len(t.Bytes) == 0:
		c.bad("direction", t.Direction, "only together with bytes")
	}
	if t.Where != "" {
		c.where(&k)
	}
	for i, text := range t.Bytes {
		plain, err := unescape(text)
		field := fmt.Sprintf("bytes[%d]", i)
		switch {
		case err != nil:
			c.bad(field, text, "text with the escapes of Go's strings, such as \\r\\n, \\x00, \\u00e9; "+err.Error())
		case plain == "" || len(plain) > maxPattern:
			c.bad(field, text, fmt.Sprintf("1 … %d bytes", maxPattern))
		case !slices.Contains(k.texts, plain):
			k.texts = append(k.texts, plain)
		}
	}
	if len(t.Bytes) > 0 {
		k.answers = t.Direction == record.Out.String()
	}
	k.closes = map[record.CloseReason]bool{}
	for i, reason := range t.Close {
		if !slices.Contains(closeReasons, reason) {
			c.bad(fmt.Sprintf("close[%d]", i), string(reason), oneOf(closeReasons))
		}
		k.closes[reason] = true
	}
	return k
}

// where checks a condition. What the filter cannot decode is refused.
func (c *checker) where(k *compiled) {
	q, err := query.Compile(k.Where)
	switch {
	case err != nil:
		c.bad("where", k.Where, "a condition over a call: "+err.Error())
	case len(q.Protocols()) == 0:
		c.bad("where", k.Where, "a condition that a call can meet; no call of any protocol meets this one")
	case q.Asks("window"):
		c.bad("where", k.Where, "a condition without window: when triggers are matched, there is none yet")
	case q.Needs().Bodies() && !q.CanHoldWithCodings(codings...):
		c.bad("where", k.Where, "a condition over bodies with a coding that the proxy decodes: "+oneOf(codings[1:])+", or none; tcpcopyctl also decodes br and zstd")
	default:
		k.query = q
		k.answers = q.DependsOnAnswers()
	}
}

func oneOf[T ~string](words []T) string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = string(word)
	}
	return strings.Join(all, ", ")
}

// patternsOf returns the different patterns of a direction, with the triggers that have
// them.
func patternsOf(all []compiled, dir record.Direction) []pattern {
	var patterns []pattern
	index := map[string]int{}
	for i := range all {
		if all[i].Direction != "" && all[i].Direction != dir.String() {
			continue
		}
		for _, text := range all[i].texts {
			at, known := index[text]
			if !known {
				at = len(patterns)
				index[text] = at
				patterns = append(patterns, pattern{text: text, window: chooseWindow(text)})
			}
			patterns[at].owners |= 1 << i
		}
	}
	return patterns
}

// eachBit calls each with the number of every bit of a set of triggers.
func eachBit(set uint64, each func(i int)) {
	for ; set != 0; set &= set - 1 {
		each(bits.TrailingZeros64(set))
	}
}
