// Package mosnproc runs cmd/mosn as a child process for the end-to-end tests and
// for examples/demo: it builds the binary, writes a configuration into the
// process's folder, starts it, waits until it serves, calls its admin server and stops
// it. Package oracle reads the files that the recorder writes.
package mosnproc
