// Package oracle reads what the recorder wrote, for the end-to-end tests and for
// examples/demo to judge it by. It is written from docs/format.md alone and shares
// no code with the encoders or with the readers of pkg/dump, so that a mistake in
// those cannot hide itself. It is strict: a line that is not exactly as the format
// says is an error.
package oracle
