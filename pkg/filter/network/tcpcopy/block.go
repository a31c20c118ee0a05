package tcpcopy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mosn.io/tcpcopy/internal/mask"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
)

// block is a JSON object of the configuration that is parsed field by field, so that
// all its faults are found at once. A method that reads a field removes it from fields,
// and adds the field's fault with its full name to errs.
type block struct {
	path   string // "" for the outermost, otherwise the block's name
	fields map[string]json.RawMessage
	errs   *[]error
}

func newBlock(path string, text json.RawMessage, errs *[]error) *block {
	b := &block{path: path, errs: errs}
	if err := json.Unmarshal(text, &b.fields); err != nil || b.fields == nil { // nil after null
		b.bad("", mask.KindOf(text), "a JSON object")
	}
	return b
}

// blockOf returns the outermost block of a configuration as MOSN passes it.
func blockOf(config map[string]any, errs *[]error) (*block, error) {
	if config == nil {
		config = map[string]any{} // "config" left out
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return newBlock("", text, errs), nil
}

// bad adds the fault of a field; field is "" for the block itself.
func (b *block) bad(field string, value any, valid string) {
	name := b.path
	if name != "" && field != "" {
		name += "."
	}
	name += field
	if name == "" {
		name = "config"
	}
	*b.errs = append(*b.errs, &model.FieldError{Field: name, Value: value, Valid: valid})
}

// raw removes and returns a field's text, nil if the block does not have it.
func (b *block) raw(field string) json.RawMessage {
	text := b.fields[field]
	delete(b.fields, field)
	return text
}

// block removes and returns a field that is an object, nil if there is none.
func (b *block) block(field string) *block {
	text := b.raw(field)
	if text == nil {
		return nil
	}
	return newBlock(field, text, b.errs)
}

// value removes a field and stores it in v. It returns true if the block has the field
// and its type is right; valid says what it may be.
func (b *block) value(field string, v any, valid string) bool {
	text := b.raw(field)
	if text == nil {
		return false
	}
	if string(text) == "null" || json.Unmarshal(text, v) != nil {
		b.bad(field, mask.Scalar(text), valid)
		return false
	}
	return true
}

// word removes and returns a field that is one of the valid words. ok reports whether
// the block has it.
func (b *block) word(field, fallback string, valid ...string) (word string, ok bool) {
	choice := strings.Join(valid, ", ")
	if !b.value(field, &word, choice) {
		return fallback, false
	}
	if !slices.Contains(valid, word) {
		b.bad(field, word, choice)
		return fallback, false
	}
	return word, true
}

// size removes and returns a field that is a number of bytes, with or without a unit.
func (b *block) size(field string, fallback int64) int64 {
	text := b.raw(field)
	if text == nil {
		return fallback
	}
	n, err := persistence.ParseSize(scalarText(text))
	if err != nil {
		b.bad(field, mask.Scalar(text), err.Error())
		return fallback
	}
	return n
}

// unknown adds a fault for each field that has not been removed. What such a field holds
// may be anything, also a secret: the fault has only its kind.
func (b *block) unknown() {
	for field := range b.fields {
		b.bad(mask.Name(field), mask.KindOf(b.fields[field]), "no field of that name")
	}
}

// scalarText returns a JSON value as text: a string's content, otherwise the
// value as it is written.
func scalarText(text json.RawMessage) string {
	var s string
	if json.Unmarshal(text, &s) == nil && string(text) != "null" {
		return s
	}
	return string(text)
}
