package mask

import (
	"bytes"
	"encoding/json"
	"errors"
)

// The tree of a document is made of object, array, string, json.Number, bool and
// nil. An object keeps its fields' order, and fields that occur twice.
type (
	object []member
	array  []any
	member struct {
		name  string
		value any
	}
)

var errTooDeep = errors.New("nested too deep")

// parse returns the tree of the one JSON document in doc, or errTooDeep, or why it
// is no JSON.
func parse(doc []byte, depth int) (any, error) {
	// Decoder.Token alone lets some faults pass, such as a comma too many.
	var whole json.RawMessage
	if err := json.Unmarshal(doc, &whole); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	return parseValue(d, depth)
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth <= 0 {
		return nil, errTooDeep
	}
	if delim == '[' {
		list := array{}
		for d.More() {
			v, err := parseValue(d, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	fields := object{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := parseValue(d, depth-1)
		if err != nil {
			return nil, err
		}
		fields = append(fields, member{name: name.(string), value: v})
	}
	_, err = d.Token()
	return fields, err
}

// encode writes a tree without space between its parts.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := encodeValue(&b, e, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func encodeValue(b *bytes.Buffer, e *json.Encoder, v any) error {
	switch v := v.(type) {
	case object:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := encodeValue(b, e, m.name); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := encodeValue(b, e, m.value); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case array:
		b.WriteByte('[')
		for i := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := encodeValue(b, e, v[i]); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		if err := e.Encode(v); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // the encoder's newline
	}
	return nil
}
