package replay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// jsonPath names values in a JSON document.
type jsonPath []jsonStep

// jsonStep goes from a value into one of its parts: by name, by index or, where
// all is set, into each.
type jsonStep struct {
	name  string
	index int // -1 for a name
	all   bool
}

// parseJSONPath reads a path such as "items[*].id". A leading "$." is passed over.
func parseJSONPath(text string) (jsonPath, error) {
	rest := strings.TrimPrefix(strings.TrimPrefix(text, "$"), ".")
	if rest == "" {
		return nil, errors.New("empty, valid: names joined by dots, such as items[*].id")
	}
	var path jsonPath
	for rest != "" {
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			word, after, ok := strings.Cut(inner, "]")
			if !ok {
				return nil, fmt.Errorf("%q has no end, valid: [0] or [*]", rest)
			}
			step := jsonStep{all: word == "*"}
			if !step.all {
				index, err := strconv.Atoi(word)
				if err != nil || index < 0 {
					return nil, fmt.Errorf("index %q, valid: 0, 1, … or *", word)
				}
				step.index = index
			}
			path = append(path, step)
			rest = strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, errors.New("a name is missing between dots")
		}
		path = append(path, jsonStep{name: rest[:end], index: -1, all: rest[:end] == "*"})
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	return path, nil
}

// cutOut replaces the values that the path names in v, and returns v.
func (p jsonPath) cutOut(v any) any {
	if len(p) == 0 {
		return ignored
	}
	step, rest := p[0], p[1:]
	switch parts := v.(type) {
	case map[string]any:
		for name, part := range parts {
			if step.index < 0 && (step.all || step.name == name) {
				parts[name] = rest.cutOut(part)
			}
		}
	case []any:
		for i, part := range parts {
			if step.all || step.index == i {
				parts[i] = rest.cutOut(part)
			}
		}
	}
	return v
}
