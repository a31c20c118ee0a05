// Package mask removes the secrets from JSON documents of unknown shape. Package
// persistence calls it before it writes a snapshot of the proxy's configuration. In
// doubt it masks: too much is better than too little.
package mask

import (
	"encoding/json"
	"fmt"
)

// placeholder replaces a secret.
const placeholder = "***"

// maxDepth bounds the nesting of a document, with the documents in its strings.
const maxDepth = 1000

// JSON returns doc with its secrets replaced by placeholder: the scalars under names such
// as "password", apart from true, false and null, and whatever in any string looks
// like a private key, a credential or a token. Structure and order of fields stay,
// numbers stay as they are written; space between them does not. It does not keep
// doc. The errors are those of a document that is no JSON or nested more than 1000
// deep; they never contain its text.
func JSON(doc []byte) ([]byte, error) {
	v, err := parse(doc, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("mask JSON of %d bytes: %w", len(doc), err)
	}
	return encode(clean(v, maxDepth))
}

// clean masks by shape first, so that the names are the same when a masked document is
// masked again.
func clean(v any, depth int) any { return byName(byShape(v, depth), false) }

// byShape masks in every string and in every name. Depth is how deep a document in
// a string may be nested.
func byShape(v any, depth int) any {
	switch v := v.(type) {
	case object:
		for i, m := range v {
			v[i] = member{name: maskString(m.name, depth-1), value: byShape(m.value, depth-1)}
		}
	case array:
		for i := range v {
			v[i] = byShape(v[i], depth-1)
		}
	case string:
		return maskString(v, depth)
	}
	return v
}

// byName masks all scalars when v is under a secret's name, and otherwise those
// that are under one further down.
func byName(v any, secret bool) any {
	switch v := v.(type) {
	case object:
		var about context
		if !secret {
			about = contextOf(v)
		}
		for i, m := range v {
			v[i].value = byName(m.value, secret || about.secret(m.name))
		}
	case array:
		for i := range v {
			v[i] = byName(v[i], secret)
		}
	case string:
		if secret && v != "" {
			return placeholder
		}
	case json.Number:
		if secret {
			return placeholder
		}
	}
	return v
}
