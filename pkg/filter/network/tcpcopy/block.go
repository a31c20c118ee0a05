package tcpcopy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
)

// block is a JSON object of the configuration that is taken apart field by
// field, so that all its faults are found at once. The fields' faults go to errs
// with their full names.
type block struct {
	path   string // "" for the outermost, otherwise the block's name
	fields map[string]json.RawMessage
	errs   *[]error
}

func newBlock(path string, text json.RawMessage, errs *[]error) *block {
	b := &block{path: path, errs: errs}
	if err := json.Unmarshal(text, &b.fields); err != nil || b.fields == nil { // nil after null
		b.bad("", scalarText(text), "a JSON object")
	}
	return b
}

// blockOf returns a configuration as MOSN hands it over as the outermost block.
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

// raw takes a field's text; nil when the block does not have it.
func (b *block) raw(field string) json.RawMessage {
	text := b.fields[field]
	delete(b.fields, field)
	return text
}

// block takes a field that is an object; nil when there is none.
func (b *block) block(field string) *block {
	text := b.raw(field)
	if text == nil {
		return nil
	}
	return newBlock(field, text, b.errs)
}

// value takes a field into v. It is true when the block has the field and its
// type is right; valid says what it may be.
func (b *block) value(field string, v any, valid string) bool {
	text := b.raw(field)
	if text == nil {
		return false
	}
	if string(text) == "null" || json.Unmarshal(text, v) != nil {
		b.bad(field, scalarText(text), valid)
		return false
	}
	return true
}

// word takes a field that is one of some words. ok tells whether the block has it.
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

// size takes a field that is a number of bytes, with or without a unit.
func (b *block) size(field string, fallback int64) int64 {
	text := b.raw(field)
	if text == nil {
		return fallback
	}
	n, err := persistence.ParseSize(scalarText(text))
	if err != nil {
		b.bad(field, scalarText(text), err.Error())
		return fallback
	}
	return n
}

// unknown reports the fields that nobody has taken.
func (b *block) unknown() {
	for field := range b.fields {
		b.bad(field, scalarText(b.fields[field]), "no field of that name")
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
