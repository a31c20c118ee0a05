// Package mosnproc runs cmd/mosn as a child process for the end-to-end tests and
// for examples/demo: it builds the binary, writes a configuration into a folder
// of the process's own, starts it, waits until it serves, talks to its admin
// server and stops it. It knows nothing of the files that the recorder writes;
// package oracle reads those.
package mosnproc
