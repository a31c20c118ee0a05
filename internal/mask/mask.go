// Package mask removes the secrets from JSON documents of unknown shape, and from
// single values that an error is about to quote. Package persistence calls it before it
// writes a snapshot of the proxy's configuration. In doubt it masks: too much is better
// than too little.
//
// A secret is found by the name of its value (words.go, names.go, context.go), or by
// its own shape (tokens.go, keys.go, urls.go); values.go has what stays under a secret's
// name. Strings are texts of many formats: assignments, YAML, command lines (text.go,
// assignment.go), XML (element.go), or JSON again.
//
// Copy reads a document of any length (stream.go) and masks it value by value, each of
// them as a tree (tree.go, document.go). The time is proportional to the length of a
// document. What errors may quote is in quote.go.
package mask

// placeholder replaces a secret.
const placeholder = "***"

// maxDepth bounds the nesting of a document, with the documents in its strings.
const maxDepth = 1000

// sliceBytes is how much is masked between two calls of pause.
const sliceBytes = 8 << 10

// masker masks one document.
type masker struct {
	pause func() error // may be nil
	work  int          // bytes since the last pause
	err   error        // of pause; all further masking is in vain

	classes map[string]class // of the names seen so far, maxClasses at most
}

const maxClasses = 4 << 10

func newMasker(pause func() error) *masker {
	return &masker{pause: pause, classes: map[string]class{}}
}

// step counts work done, and pauses. It reports whether masking is in vain.
func (m *masker) step(n int) (canceled bool) {
	if m.work += n; m.work >= sliceBytes && m.pause != nil && m.err == nil {
		m.work = 0
		m.err = m.pause()
	}
	return m.err != nil
}

// class returns the class of a name, wherever it stands.
func (m *masker) class(name string) class {
	if c, ok := m.classes[name]; ok {
		return c
	}
	c := classOf(name)
	if len(m.classes) < maxClasses && len(name) <= maxName {
		m.classes[name] = c
	}
	return c
}
