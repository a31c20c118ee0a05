// Package oracle reads the files of the recorder. The end-to-end tests and
// examples/demo use it to check them. It is written from docs/format.md alone and
// shares no code with the encoders or with the readers of pkg/dump, so that a mistake
// in those cannot hide itself. It is strict: a line that does not follow the format
// exactly is an error.
package oracle
